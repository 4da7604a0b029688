"""What came back with a kernel that woke, and what did not: bounded, to be kept in its object."""

from collections.abc import Mapping, Sequence

from elastic_jupyter.api.kernel import MAX_WAKE_NAMES, JupyterKernel, Lost, Wake
from elastic_jupyter.policy import notices

#: Characters of a name or type, and of a reason, that are kept.
_WORD, _REASON = 128, 256


def wake(epoch: int, restored: Sequence[str], lost: Sequence[Mapping[str, str]]) -> Wake:
    """Return the wake of a kernel's incarnation; each of ``lost`` has name, type and reason."""
    return Wake(
        epoch=epoch,
        restored=[_short(name, _WORD) for name in restored[:MAX_WAKE_NAMES]],
        lost=[
            Lost(
                name=_short(one["name"], _WORD),
                type=_short(one["type"], _WORD),
                reason=_short(one["reason"], _REASON),
            )
            for one in lost[:MAX_WAKE_NAMES]
        ],
        restored_count=len(restored),
        lost_count=len(lost),
    )


def wake_of(kernel: JupyterKernel, *, epoch: int | None) -> Wake | None:
    """Return how this incarnation of a kernel woke; None: it did not, or nobody knows."""
    activity = kernel.status.activity if kernel.status else None
    known = activity.wake if activity else None
    return known if known is not None and known.epoch == epoch else None


def back(wake: Wake) -> str:
    """Return the names that came back, as a sentence has them; empty: none."""
    return notices.listed(wake.restored, of=wake.restored_count)


def gone(wake: Wake) -> str:
    """Return what did not come back, each with its type and why; empty: nothing."""
    gone = [notices.lost_one(one.name, one.type, one.reason) for one in wake.lost]
    return notices.listed(gone, of=wake.lost_count)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
