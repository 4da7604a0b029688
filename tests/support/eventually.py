"""Waiting for a condition with a deadline that tells what it saw."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    look: Callable[[], T], want: Callable[[T], object], *, within: float, what: str
) -> T:
    """Look again and again until ``want`` holds for what is seen, and return what was seen.

    ``within`` is in seconds. The wait between two looks is the only sleep of the suite: it paces
    the looks and never stands for a condition. Raises ``AssertionError`` naming ``what`` and the
    last thing seen.
    """
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if want(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within:g} s; last seen: {seen!r}")
        time.sleep(0.1)
