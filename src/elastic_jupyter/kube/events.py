"""Events, the lines that ``kubectl describe`` shows a person."""

import hashlib
import itertools
import os
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from elastic_jupyter import logs
from elastic_jupyter.clock import Clock, SystemClock
from elastic_jupyter.errors import NotFound, StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import EVENT, Object

REMEMBERED = 1000
"""Events whose count is kept; a repeat of an older one becomes an Event of its own."""

REPEAT_SECONDS = 30.0
"""A repeat sooner than this after the last write is only counted."""

MAX_MESSAGE = 1024
"""Characters, the API server's limit for a note in events.k8s.io."""

log = logs.get(__name__)


@dataclass(slots=True)
class _Told:
    name: str
    count: int
    written_at: float


class EventRecorder:
    """Writes core/v1 Events about objects. Needs the rights create and patch on events."""

    def __init__(self, client: Client, *, component: str, clock: Clock | None = None) -> None:
        self._client = client
        self._component = component
        self._clock = clock or SystemClock()
        self._told: OrderedDict[tuple[str, str, str, str], _Told] = OrderedDict()
        # Names of Events of an earlier process are not reused: that would need the right to read.
        self._process = os.urandom(4).hex()
        self._numbers = itertools.count()

    async def event(
        self,
        obj: Object,
        *,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
    ) -> None:
        """Tell something about an object (with ``kind``, ``apiVersion``, ``metadata``).

        ``reason`` is a PascalCase word. The same event again raises the count of the first one.
        Never raises ``StoreError``: an Event is a courtesy, no reconcile fails for it.
        """
        message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
        same = (obj["metadata"].get("uid", ""), type, reason, message)
        told = self._told.get(same)
        try:
            if told is not None:
                try:
                    await self._repeat(obj, told)
                    return
                except NotFound:  # the API server drops Events after an hour
                    pass
            name = await self._first(obj, type=type, reason=reason, message=message)
        except StoreError as error:
            log.warning("event not written", reason=reason, error=error)
            return
        self._told[same] = _Told(name, 1, self._clock.monotonic())
        self._told.move_to_end(same)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    async def _repeat(self, obj: Object, told: _Told) -> None:
        told.count += 1
        now = self._clock.monotonic()
        if now - told.written_at < REPEAT_SECONDS:
            return
        told.written_at = now
        body = {"count": told.count, "lastTimestamp": _stamp(self._clock.now())}
        await self._client.patch(EVENT, _namespace(obj), told.name, body)

    async def _first(self, obj: Object, *, type: str, reason: str, message: str) -> str:
        metadata = obj["metadata"]
        digest = hashlib.sha256(f"{self._process}{next(self._numbers)}".encode()).hexdigest()[:16]
        name = f"{metadata['name'][:200]}.{digest}"
        now = _stamp(self._clock.now())
        event: dict[str, Any] = {
            "metadata": {"name": name, "namespace": _namespace(obj)},
            "involvedObject": {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "name": metadata["name"],
                **{
                    field: metadata[field]
                    for field in ("namespace", "uid", "resourceVersion")
                    if metadata.get(field)
                },
            },
            "type": type,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }
        await self._client.create(EVENT, event)
        return name


def _namespace(obj: Object) -> str:
    return obj["metadata"].get("namespace") or "default"


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
