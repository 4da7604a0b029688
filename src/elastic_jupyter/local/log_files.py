"""Logs that do not fill the disk: one that has grown too long loses its beginning."""

import contextlib
from pathlib import Path

#: Bytes that a log may have.
LONGEST = 16 << 20
#: Bytes that are left of a longer one.
KEPT = 1 << 20
_CUT = b"[elastic-jupyter] what was here was removed: the log had grown to %d MiB\n"


def cut_all(state: Path) -> None:
    """Cut the logs below a state directory that are too long. One that cannot be cut stays."""
    for pattern in ("*.log", "kernels/*/kernel.log"):
        for file in state.glob(pattern):
            with contextlib.suppress(OSError):
                cut(file)


def cut(file: Path, *, longest: int = LONGEST, kept: int = KEPT) -> None:
    """Leave the last ``kept`` bytes, from the next line on, of a log that is too long.

    Whoever writes it must have opened it to append, and goes on at its new end; what it writes
    in just that moment may be lost.
    """
    with file.open("a+b") as log:  # to append, too: or this would overwrite what comes meanwhile
        size = log.seek(0, 2)
        if size <= longest:
            return
        log.seek(size - kept)
        rest = log.read(kept)
        log.truncate(0)
        log.write(_CUT % (size >> 20) + rest[rest.find(b"\n") + 1 :])
