"""When variables are saved again that could not be."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.policy import saves

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def series(length: int, jitter: float) -> list[timedelta]:
    """Return the pauses after saves that fail one after the other."""
    pauses = []
    failure = None
    for _ in range(length):
        failure = saves.failed("no", before=failure, now=NOW, jitter=jitter, released=False)
        pauses.append(failure.again_at - failure.at)
    return pauses


def test_the_pauses_double_up_to_the_longest() -> None:
    minutes = [pause / timedelta(minutes=1) for pause in series(9, jitter=1)]
    assert minutes == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(st.integers(1, 200), st.floats(0, 1))
def test_each_pause_is_between_half_and_all_of_what_it_is_due(length: int, jitter: float) -> None:
    pause, due = series(length, jitter)[-1], series(length, 1)[-1]
    assert due / 2 <= pause <= due <= saves.LONGEST


@pytest.mark.parametrize(
    ("released", "executed", "suspend", "want"),
    [
        pytest.param(False, -1, False, True, id="nothing happened"),
        pytest.param(False, 1, False, False, id="something was executed"),
        pytest.param(True, 1, True, False, id="something was executed before it goes"),
        pytest.param(False, -1, True, False, id="somebody asks for its release"),
        pytest.param(True, -1, True, True, id="that is what failed"),
    ],
)
def test_how_long_a_failure_counts(
    *, released: bool, executed: int, suspend: bool, want: bool
) -> None:
    failure = saves.failed("no", before=None, now=NOW, jitter=0, released=released)
    last = NOW + timedelta(seconds=executed)
    assert failure.holds(last_execution=last, suspend=suspend) is want
