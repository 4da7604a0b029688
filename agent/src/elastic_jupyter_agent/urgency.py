"""How urgent this process is while it reads much, beside others on the machine."""

import contextlib
import threading
import time
from collections.abc import Iterator

#: Bytes that are not there in a moment.
MUCH = 64 * 1024 * 1024
#: As ``nice`` counts: a third of what others get, where they want all of a processor.
_NICENESS = b"5"
_OWN = "/proc/self/autogroup"
#: Linux takes one such change in 0.1 s, of all processes that are not root's; s.
_PAUSE = 0.02


@contextlib.contextmanager
def less_urgent(size: int) -> Iterator[None]:
    """Let others' cells come first until the end of the block, in which ``size`` bytes are read.

    Linux shares the processors among sessions, and each kernel on one machine is one (sched(7),
    "The autogroup feature"): ``nice`` counts within a session only, and who is not root cannot take
    it back. In a container that has a share of its own this changes nothing.
    """
    changed = size >= MUCH and _is_usual() and _write(_NICENESS)
    try:
        yield
    finally:
        if changed and not _write(b"0"):
            name = "elastic-jupyter-urgency"
            threading.Thread(target=_be_as_before, name=name, daemon=True).start()


def _be_as_before() -> None:
    """Take the change back; in a thread, as others may have changed their own a moment ago."""
    while not _write(b"0"):
        time.sleep(_PAUSE)


def _is_usual() -> bool:
    with contextlib.suppress(OSError), open(_OWN, "rb") as own:
        return own.read().split()[-1:] == [b"0"]
    return False


def _write(niceness: bytes) -> bool:
    with contextlib.suppress(OSError), open(_OWN, "wb", buffering=0) as own:
        return own.write(niceness) is not None  # which says that it comes too soon
    return False
