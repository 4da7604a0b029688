"""Clocks for tests (``elastic_jupyter.clock.Clock``)."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 24, 18, tzinfo=UTC)


class StoppedClock:
    """Stands still at ``START`` but for what the test adds to ``passed``, in seconds."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


class LoopClock:
    """Goes with the time of the event loop, also when that jumps."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
