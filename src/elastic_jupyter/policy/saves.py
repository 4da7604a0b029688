"""When variables are saved again that could not be.

A try costs its kernel the seconds in which no cell runs, and the store as much as fits: so it is
not made at each round of the culler, but after pauses that double. An execution ends the series: it
may have made what failed possible. Meanwhile the kernel keeps its resources, and nothing is lost.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: The first pause, in which a store that was restarted is back; and the longest, after which one
#: that was full is tried again.
FIRST, LONGEST = timedelta(seconds=30), timedelta(minutes=30)


@dataclass(frozen=True)
class Failure:
    """The latest of ``count`` saves that failed one after the other. Times are aware UTC.

    ``why`` is a sentence for the user; ``released``: it was by request, and not for idleness.
    """

    why: str
    at: datetime
    again_at: datetime
    released: bool = False
    count: int = 1

    def holds(self, *, last_execution: datetime, suspend: bool) -> bool:
        """Say whether its pause is to be kept: nothing ran since, and nobody has asked since."""
        return last_execution <= self.at and (self.released or not suspend)


def failed(
    why: str, *, before: Failure | None, now: datetime, jitter: float, released: bool
) -> Failure:
    """Return what is known of a save that failed ``now``, after the failure ``before``.

    ``jitter``, from 0 to 1, makes the pause between half and all of what it is due: kernels that
    failed together do not come back together.
    """
    count = before.count + 1 if before else 1
    # No timedelta bears all doublings, and these pass the ceiling.
    whole = min(LONGEST, FIRST * 2 ** min(count - 1, 20))
    return Failure(why, now, now + whole * (0.5 + jitter / 2), released, count)
