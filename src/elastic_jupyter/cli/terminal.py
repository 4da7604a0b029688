"""The terminal that a command writes to, if it is one."""

import shutil
import sys


def width() -> int | None:
    """Return the columns of the terminal, None where a file or a program reads what is printed."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
