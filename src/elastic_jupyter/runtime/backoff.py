"""How long to wait before the next attempt: doubling, with jitter and a ceiling."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits of one kind of retry. Seconds."""

    base: float = 0.05
    ceiling: float = 60.0

    def delay(self, attempt: int) -> float:
        """Return the wait after failure number ``attempt``, which counts from 0.

        Between half and all of ``base * 2 ** attempt``, at most ``ceiling``: clients that failed
        together do not come back together.
        """
        # 2.0 ** 1024 overflows; no base needs more than 64 doublings to pass any ceiling.
        whole = min(self.ceiling, self.base * 2.0 ** min(attempt, 64))
        return whole * random.uniform(0.5, 1.0)
