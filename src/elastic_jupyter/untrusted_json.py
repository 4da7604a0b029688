"""JSON that somebody else wrote, which may be nested deeper than Python's stack."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


class NestedTooDeeply(ValueError):
    """The JSON is in more objects and lists than can be read or written here."""


@contextmanager
def reading() -> Iterator[None]:
    """Read JSON within this, and write what was read.

    Raises ``NestedTooDeeply`` in the place of ``RecursionError``. The garbage collector waits
    meanwhile: what it ends at the bottom of the stack (a socket, a coroutine) would fail there
    with an error that nobody can catch (Python 3.11; since 3.12 C has a depth of its own).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    except RecursionError as error:
        raise NestedTooDeeply("nested too deeply") from error
    finally:
        if collects:
            gc.enable()
