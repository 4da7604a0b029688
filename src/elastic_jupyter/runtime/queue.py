"""Which keys must be looked at: each at most once in the queue and once in work."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from elastic_jupyter.runtime.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A queue of keys that forgets doubles and never hands one key to two workers.

    A key that is added while it is in work is handed out again after ``done``: nothing that happens
    during a pass is missed. Times are the event loop's. Not safe for use from several threads.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Return how many keys wait to be handed out now, those that are delayed not counted."""
        return len(self._ready)

    def add(self, key: K, after: float = 0.0) -> None:
        """Have the key handed out, now or ``after`` so many seconds.

        Of several delays the one that ends first counts. An add without a delay leaves a delayed
        one in place: at worst a key is looked at once too often.
        """
        if after > 0:
            self._add_later(key, after)
        elif key not in self._dirty:
            self._dirty.add(key)
            if key not in self._processing:
                self._hand_out(key)

    def add_failed(self, key: K) -> float:
        """Add the key after its own backoff, one step longer each time; return the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures)
        self.add(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Start the key's backoff from the beginning: a pass succeeded."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and take it into work. Every ``get`` needs a ``done``."""
        while not self._ready:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                # Woken and cancelled at once: the wake-up belongs to the next one in line.
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._ready:
                    self._wake_one()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """End the work on a key; it is handed out again when it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty:
            self._hand_out(key)

    def _add_later(self, key: K, after: float) -> None:
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + after:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(after, self._timer_fired, key)

    def _timer_fired(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _hand_out(self, key: K) -> None:
        self._ready.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
