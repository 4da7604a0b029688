"""An event loop whose time jumps to the next timer as soon as nothing else can happen.

A test of a backoff of minutes takes milliseconds and can assert how much time passed. Sockets work,
as long as both ends live in this process: what is sent on loopback has arrived when nobody runs.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

GRACE = 0.001
"""Real seconds without any event before the time jumps: for threads and for the kernel."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Like the default loop, but no timer is ever waited for."""

    def __init__(self) -> None:
        self._jumped = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return super().time() + self._jumped

    def jump(self, seconds: float) -> None:
        """Move the time forward."""
        self._jumped += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(min(timeout, GRACE))
        if not events and timeout > GRACE:
            self._loop.jump(timeout - GRACE)
        return events


def loop_factories() -> Mapping[str, Any]:
    """Return what the hook ``pytest_asyncio_loop_factories`` of a conftest.py returns."""
    return {"virtual_time": VirtualTimeLoop}
