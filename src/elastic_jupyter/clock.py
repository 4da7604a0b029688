"""The time, as something that a test can replace.

Pauses and timeouts are not here: they go by the event loop's own time, which tests replace too.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """Return the present as aware UTC. It may jump; use it for what is written down."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back. Use it for differences within this process."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
