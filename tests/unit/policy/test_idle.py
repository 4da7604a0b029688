"""When a kernel is idle long enough."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.policy import idle
from elastic_jupyter.policy.idle import Action, Activity

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("activity", "timeout", "want"),
    [
        pytest.param(
            Activity(busy=False, last_execution=NOW - HOUR), HOUR, Action.RECLAIM, id="at the limit"
        ),
        pytest.param(
            Activity(busy=False, last_execution=NOW - HOUR + timedelta(seconds=1)),
            HOUR,
            Action.KEEP,
            id="a second before the limit",
        ),
        pytest.param(
            Activity(busy=True, last_execution=NOW - 5 * HOUR),
            HOUR,
            Action.KEEP,
            id="a long cell is not idle",
        ),
        pytest.param(
            Activity(busy=False, last_execution=NOW - 99 * HOUR),
            timedelta(0),
            Action.KEEP,
            id="0 means never",
        ),
        pytest.param(
            Activity(busy=False, last_execution=NOW - 99 * HOUR),
            timedelta(seconds=-1),
            Action.KEEP,
            id="less than 0 means never",
        ),
        pytest.param(
            Activity(False, NOW - 99 * HOUR, unreachable_since=NOW - idle.UNREACHABLE_TIMEOUT),
            timedelta(0),
            Action.RECLAIM,
            id="0 means never while anybody can reach it",
        ),
        pytest.param(
            Activity(False, NOW - 99 * HOUR, unreachable_since=NOW - timedelta(minutes=59)),
            timedelta(0),
            Action.KEEP,
            id="a mistake can be taken back",
        ),
        pytest.param(
            Activity(False, NOW - timedelta(minutes=59), unreachable_since=NOW - 9 * HOUR),
            timedelta(0),
            Action.KEEP,
            id="a cell that ended after its notebook was turned away",
        ),
        pytest.param(
            Activity(True, NOW - 99 * HOUR, unreachable_since=NOW - 99 * HOUR),
            timedelta(0),
            Action.KEEP,
            id="a long cell that nobody can reach",
        ),
        pytest.param(
            Activity(False, NOW - 2 * HOUR, unreachable_since=NOW - timedelta(minutes=1)),
            HOUR,
            Action.RECLAIM,
            id="where kernels are culled there is one limit",
        ),
        pytest.param(
            Activity(False, NOW - 9 * HOUR, keep_until=NOW + timedelta(seconds=1)),
            HOUR,
            Action.KEEP,
            id="idle for too long but kept by request",
        ),
        pytest.param(
            Activity(False, NOW - 9 * HOUR, keep_until=NOW),
            HOUR,
            Action.RECLAIM,
            id="the request has run out",
        ),
        pytest.param(
            Activity(False, NOW - timedelta(minutes=1), keep_until=NOW - timedelta(minutes=30)),
            HOUR,
            Action.KEEP,
            id="to be kept does not shorten the time",
        ),
        pytest.param(
            Activity(False, NOW, keep_until=NOW + HOUR, suspend=True),
            timedelta(0),
            Action.RECLAIM,
            id="a release wins over all else",
        ),
        pytest.param(
            Activity(True, NOW - 9 * HOUR, suspend=True),
            HOUR,
            Action.KEEP,
            id="a release waits for the cell's end",
        ),
    ],
)
def test_idle_verdict(activity: Activity, timeout: timedelta, want: Action) -> None:
    assert idle.decide(activity, timeout=timeout, now=NOW).action is want


@given(st.timedeltas(timedelta(0), 99 * HOUR), st.timedeltas(timedelta(seconds=1), 9 * HOUR))
def test_a_kernel_is_reclaimed_exactly_from_the_moment_that_the_verdict_names(
    since: timedelta, timeout: timedelta
) -> None:
    activity = Activity(busy=False, last_execution=NOW - since)
    verdict = idle.decide(activity, timeout=timeout, now=NOW)
    assert verdict.reclaim_at is not None
    assert (verdict.action is Action.RECLAIM) == (verdict.reclaim_at <= NOW)
    again = idle.decide(activity, timeout=timeout, now=verdict.reclaim_at)
    assert again.action is Action.RECLAIM
