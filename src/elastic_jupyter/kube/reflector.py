"""A fresh copy of all objects of a kind, and who is told when one changes.

Lists, then watches from the list's version on. When the version has become too old (410) it lists
again and compares, so that what was deleted meanwhile is told as deleted.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn, TypeAlias

from elastic_jupyter import logs
from elastic_jupyter.errors import Expired, StoreError, Unavailable
from elastic_jupyter.kube.client import INACTIVITY_TIMEOUT, Client
from elastic_jupyter.kube.kinds import Key, Kind, Object, key_of
from elastic_jupyter.runtime.backoff import Backoff

OnChange: TypeAlias = Callable[[Key, Object | None, Object | None], None]
"""Called with (key, old, new): old None: it is new; new None: it is gone."""

BACKOFF = Backoff(base=0.2, ceiling=30.0)

HEALTHY_SECONDS = 5.0
"""A watch that ended in order after so long is followed by the next without a pause."""

log = logs.get(__name__)


class Reflector:
    """Follows the objects of one kind; ``namespace`` None: of all namespaces.

    The objects in ``cache`` are shared: nobody may change them. They come without
    ``metadata.managedFields``.

    Attributes:
        synced: set once the first list is in the cache and its changes were told.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str | None = None,
        *,
        field_selector: str | None = None,
        inactivity: float = INACTIVITY_TIMEOUT,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._inactivity = inactivity
        self._backoff = backoff
        self._cache: dict[Key, Object] = {}
        self._handlers: list[OnChange] = []
        self._on_synced: list[Callable[[], None]] = []
        self._version: str | None = None
        self._failures = 0

    @property
    def cache(self) -> Mapping[Key, Object]:
        """What is known. A live view; empty until the first list, so look at ``synced``."""
        return MappingProxyType(self._cache)

    def on_change(self, handler: OnChange) -> None:
        """Have a function called after each change of the cache, with (key, old, new).

        It runs in the event loop and must not block; what it raises ends ``run``. An object that
        was replaced by another one of the same name is told as gone, then as new. What is in the
        cache already is not told.
        """
        self._handlers.append(handler)

    def on_synced(self, callback: Callable[[], None]) -> None:
        """Have a function called once, right after the changes of the first list were told."""
        self._on_synced.append(callback)

    async def run(self) -> NoReturn:
        """Follow until cancelled. Faults of the server are logged and tried again after a pause."""
        with logs.bind(reflector=self.kind.plural):
            while True:
                pause = 0.0
                try:
                    if self._version is None:
                        await self._list()
                    pause = await self._watch()
                except StoreError as error:
                    pause = self._failed(error)
                await asyncio.sleep(pause)

    def _failed(self, error: StoreError) -> float:
        """Return for how long to pause after an error."""
        pause = self._next_pause()
        if isinstance(error, Expired):
            # The list that follows tells what was missed. Routine, unless it repeats.
            self._version = None
            log.info("version too old, will list again", after=round(pause, 3))
            return pause
        if isinstance(error, Unavailable):
            if error.retry_after:
                wish = min(error.retry_after, self._backoff.ceiling)
                pause += wish  # on top of the jitter: not all at the second the server named
            log.warning("watching failed, will try again", error=error, after=round(pause, 3))
            return pause
        # Refused, or the kind does not exist: a person must act, and no restart of ours is needed.
        log.error("watching is refused, will try again", error=error, after=round(pause, 3))
        return pause

    def _next_pause(self) -> float:
        pause = self._backoff.delay(self._failures)
        self._failures += 1
        return pause

    async def _list(self) -> None:
        listing = await self._client.list(
            self.kind,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        found = {key_of(obj): obj for obj in listing.items}
        for key in [key for key in self._cache if key not in found]:
            self._remove(key)
        for key, obj in found.items():
            self._put(key, obj)
        self._version = listing.resource_version
        if not self.synced.is_set():
            self.synced.set()
            log.debug("synced", objects=len(found))
            for callback in self._on_synced:
                callback()

    async def _watch(self) -> float:
        """Follow until the server ends the watch; return for how long to pause then."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        events = self._client.watch(
            self.kind,
            self._namespace,
            resource_version=self._version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            inactivity=self._inactivity,
        )
        async with contextlib.aclosing(events):
            async for event in events:
                self._take(event.type, event.object)
                self._failures = 0
        if loop.time() - started >= HEALTHY_SECONDS:
            self._failures = 0
            return 0.0
        return self._next_pause()

    def _take(self, event_type: str, obj: Object) -> None:
        if event_type == "DELETED":
            self._remove(key_of(obj))
        elif event_type != "BOOKMARK":
            self._put(key_of(obj), obj)
        self._version = obj["metadata"]["resourceVersion"]

    def _put(self, key: Key, obj: Object) -> None:
        old = self._cache.get(key)
        if old is not None:
            if old["metadata"]["uid"] != obj["metadata"]["uid"]:
                self._remove(key)
                old = None
            elif old["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]:
                return
        self._cache[key] = obj
        self._tell(key, old, obj)

    def _remove(self, key: Key) -> None:
        old = self._cache.pop(key, None)
        if old is not None:
            self._tell(key, old, None)

    def _tell(self, key: Key, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            handler(key, old, new)
