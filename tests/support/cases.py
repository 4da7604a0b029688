"""Long tables of cases: some of each among the other tests, all with ``ALL_CASES``."""

import os
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")

#: Whether all cases are to be run.
ALL = bool(os.environ.get("ALL_CASES"))


def some(cases: Sequence[Case], *, every: int) -> Sequence[Case]:
    """Return the first of so many, again and again; all where ``ALL_CASES`` is set."""
    return cases if ALL else cases[::every]
