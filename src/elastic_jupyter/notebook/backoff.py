"""Pauses between attempts to reach the gateway."""

import random

#: Seconds. The first pause is short, since after a rollout the new gateway is there already. The
#: longest leaves room for a handshake, the probe and its grace within the 5 s after the gateway's
#: return in which a finished cell has to end.
SHORTEST = 0.1
LONGEST = 2.0


class Backoff:
    """Doubles from ``shortest`` to ``longest`` seconds, each pause between half of that and all."""

    def __init__(self, *, shortest: float = SHORTEST, longest: float = LONGEST) -> None:
        self._shortest = shortest
        self._longest = longest
        self._attempts = 0

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        # The exponent is bounded so that a gateway away for days cannot overflow the float.
        full = min(self._longest, self._shortest * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return full * random.uniform(0.5, 1)

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self._attempts = 0
