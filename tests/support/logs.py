"""What ``logs.configure`` does to the process, undone."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Put handlers and levels back at the end."""
    root, ours = logging.getLogger(), logging.getLogger("elastic_jupyter")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
