"""When a kernel is idle long enough."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api.kernel import Fallback, ReclaimPolicy
from elastic_jupyter.policy import idle
from elastic_jupyter.policy.idle import Action, Activity, Limits

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
    limits = Limits(timeout, extension=9 * HOUR)
    assert idle.decide(activity, limits, now=NOW).action is want


@pytest.mark.parametrize(
    ("activity", "want"),
    [
        pytest.param(
            Activity(False, NOW - timedelta(minutes=58)), Action.KEEP, id="well before the deadline"
        ),
        pytest.param(
            Activity(False, NOW - timedelta(minutes=59)), Action.WARN, id="as long before as wanted"
        ),
        pytest.param(
            Activity(False, NOW - HOUR, keep_until=NOW + timedelta(seconds=60)),
            Action.WARN,
            id="before what it was kept until ends, too",
        ),
        pytest.param(
            Activity(False, NOW - HOUR, keep_until=NOW + timedelta(seconds=61)),
            Action.KEEP,
            id="kept after the warning",
        ),
        pytest.param(Activity(True, NOW - timedelta(minutes=59)), Action.KEEP, id="a cell runs"),
    ],
)
def test_the_warning_comes_before_the_reclaim(activity: Activity, want: Action) -> None:
    limits = Limits(HOUR, warning=timedelta(minutes=1), extension=HOUR)
    assert idle.decide(activity, limits, now=NOW).action is want


@pytest.mark.parametrize(
    ("idle_for", "want"), [(4, Action.KEEP), (5, Action.WARN), (10, Action.RECLAIM)]
)
def test_half_of_a_short_timeout_is_without_a_warning(idle_for: int, want: Action) -> None:
    warned_at = NOW - timedelta(seconds=idle_for - 5)
    activity = Activity(False, NOW - timedelta(seconds=idle_for), warned_at=warned_at)
    limits = Limits(timedelta(seconds=10), warning=timedelta(minutes=1))
    assert idle.decide(activity, limits, now=NOW).action is want


@pytest.mark.parametrize(
    ("activity", "want"),
    [
        pytest.param(
            Activity(False, NOW - 9 * HOUR, left_running_at=NOW - timedelta(minutes=1)),
            (Action.KEEP, "LeftRunning"),
            id="idle counts from when it was seen",
        ),
        pytest.param(
            Activity(False, NOW - 9 * HOUR, left_running_at=NOW - HOUR),
            (Action.RECLAIM, "IdleTimeout"),
            id="seen long ago, and ended since",
        ),
        pytest.param(
            Activity(False, NOW, left_running_at=NOW - 2 * HOUR),
            (Action.KEEP, "RecentlyUsed"),
            id="before the last execution",
        ),
        pytest.param(
            Activity(False, NOW - HOUR, left_running_at=NOW, suspend=True),
            (Action.RECLAIM, "Released"),
            id="a release goes on regardless",
        ),
        pytest.param(
            Activity(False, NOW - 99 * HOUR, stays=True),
            (Action.KEEP, "Unsavable"),
            id="one that cannot be saved and is to stay",
        ),
        pytest.param(
            Activity(False, NOW, stays=True, suspend=True),
            (Action.RECLAIM, "Released"),
            id="even that one is released",
        ),
        pytest.param(
            Activity(
                False,
                NOW - 99 * HOUR,
                stays=True,
                unreachable_since=NOW - idle.UNREACHABLE_TIMEOUT,
            ),
            (Action.RECLAIM, "IdleTimeout"),
            id="and ends where nobody may reach it",
        ),
    ],
)
def test_what_is_no_execution_and_counts(activity: Activity, want: tuple[Action, str]) -> None:
    verdict = idle.decide(activity, Limits(HOUR), now=NOW)
    assert (verdict.action, verdict.reason) == want


SPANS = st.timedeltas(timedelta(0), 99 * HOUR)
TIMES = SPANS.map(lambda span: NOW - span)
TIMEOUTS = st.timedeltas(timedelta(seconds=1), 9 * HOUR)
ACTIVITIES = st.builds(
    Activity,
    busy=st.booleans(),
    last_execution=TIMES,
    left_running_at=st.none() | TIMES,
    stays=st.booleans(),
    unreachable_since=st.none() | TIMES,
    keep_until=st.none() | TIMES | SPANS.map(lambda span: NOW + span),
    warned_at=st.none() | TIMES,
    save_again_at=st.none() | TIMES | SPANS.map(lambda span: NOW + span),
)
LIMITS = st.builds(Limits, TIMEOUTS | st.just(timedelta(0)), warning=SPANS, extension=SPANS)


@given(ACTIVITIES, LIMITS)
def test_a_kernel_is_reclaimed_exactly_from_the_moment_that_the_verdict_names(
    activity: Activity, limits: Limits
) -> None:
    verdict = idle.decide(activity, limits, now=NOW)
    if verdict.reclaim_at is None:
        assert verdict.action is Action.KEEP
        return
    assert (verdict.action is Action.RECLAIM) == (verdict.reclaim_at <= NOW)
    if verdict.action is Action.KEEP:  # whoever looks in time warns first
        nobody = activity.stays or not limits.timeout  # is there to be warned
        warning = timedelta() if nobody else min(limits.warning, limits.timeout / 2)
        at = verdict.reclaim_at - warning
        assert at > NOW
        activity = replace(activity, warned_at=at)
    else:
        activity = replace(activity, warned_at=verdict.warned_at)
    again = idle.decide(activity, limits, now=verdict.reclaim_at)
    assert (again.action, again.reclaim_at) == (Action.RECLAIM, verdict.reclaim_at)


@given(ACTIVITIES, LIMITS)
def test_nothing_is_reclaimed_while_it_is_busy_or_before_its_time(
    activity: Activity, limits: Limits
) -> None:
    verdict = idle.decide(activity, limits, now=NOW)
    if verdict.action is not Action.RECLAIM:
        return
    assert not activity.busy
    unculled = activity.stays or not limits.timeout
    timeout = idle.UNREACHABLE_TIMEOUT if unculled else limits.timeout
    assert NOW - activity.last_execution >= timeout
    assert activity.left_running_at is None or NOW - activity.left_running_at >= timeout
    assert not (unculled and activity.unreachable_since is None)


@given(ACTIVITIES, LIMITS, SPANS)
def test_nobody_keeps_a_kernel_beyond_the_bound(
    activity: Activity, limits: Limits, longer: timedelta
) -> None:
    unkept = replace(activity, keep_until=None)
    alone = idle.decide(unkept, limits, now=NOW)
    kept = idle.decide(replace(activity, keep_until=NOW + longer), limits, now=NOW)
    if alone.reclaim_at is None:
        assert kept.reclaim_at is None
        return
    assert kept.reclaim_at is not None
    assert kept.keep_limit == alone.keep_limit
    assert kept.keep_limit is not None
    assert kept.keep_limit <= alone.reclaim_at + limits.extension
    late = NOW + limits.warning  # nobody had looked in time to warn
    assert alone.reclaim_at <= kept.reclaim_at <= max(kept.keep_limit, late)


@given(ACTIVITIES, LIMITS)
def test_a_warning_is_at_most_as_early_as_wanted(activity: Activity, limits: Limits) -> None:
    verdict = idle.decide(activity, limits, now=NOW)
    if verdict.action is Action.WARN:
        assert verdict.reclaim_at is not None
        assert timedelta(0) < verdict.reclaim_at - NOW <= limits.warning


@pytest.mark.parametrize(
    ("again_in", "suspend", "want"),
    [
        pytest.param(1, False, (Action.KEEP, "SaveFailed"), id="idle, and its pause lasts"),
        pytest.param(0, False, (Action.RECLAIM, "IdleTimeout"), id="idle, and its pause is over"),
        pytest.param(1, True, (Action.KEEP, "Released"), id="released, and its pause lasts"),
        pytest.param(0, True, (Action.RECLAIM, "Released"), id="released, and its pause is over"),
    ],
)
def test_what_could_not_be_saved_keeps_what_it_has(
    again_in: int, *, suspend: bool, want: tuple[Action, str]
) -> None:
    again_at = NOW + timedelta(seconds=again_in)
    activity = Activity(False, NOW - 9 * HOUR, suspend=suspend, save_again_at=again_at)
    verdict = idle.decide(activity, Limits(HOUR), now=NOW)
    assert (verdict.action, verdict.reason) == want
    assert verdict.reclaim_at == again_at


STEPS = st.lists(
    st.tuples(
        st.timedeltas(timedelta(milliseconds=1), 2 * HOUR),
        st.sampled_from(["look", "execute", "extend", "leave running"]),
    ),
    min_size=1,
    max_size=40,
)


@given(STEPS, LIMITS)
def test_nothing_is_reclaimed_that_was_not_warned_long_enough(
    steps: list[tuple[timedelta, str]], limits: Limits
) -> None:
    """However seldom somebody looks, and whatever the user does in between."""
    now, activity = NOW, Activity(False, NOW)
    warned_at = None
    for passed, what in steps:
        now += passed
        if what == "execute":
            activity, warned_at = replace(activity, last_execution=now), None
        elif what == "leave running":
            activity, warned_at = replace(activity, left_running_at=now), None
        elif what == "extend":
            activity = replace(activity, keep_until=now + HOUR)
        verdict = idle.decide(activity, limits, now=now)
        activity = replace(activity, warned_at=verdict.warned_at)
        if verdict.action is Action.RECLAIM:
            if limits.warning:
                assert warned_at is not None
                assert now - warned_at >= min(limits.warning, limits.timeout / 2)
            return
        if verdict.action is Action.KEEP:
            warned_at = None
        elif warned_at is None:
            warned_at = now


@pytest.mark.parametrize(
    ("policy", "fallback", "savable", "want"),
    [
        ("Delete", "Keep", True, "Delete"),
        ("Delete", "Keep", False, "Delete"),
        ("Hibernate", "Delete", True, "Hibernate"),
        ("Hibernate", "Delete", False, "Delete"),
        ("Hibernate", "Keep", True, "Hibernate"),
        ("Hibernate", "Keep", False, "Keep"),
    ],
)
def test_what_becomes_of_an_idle_kernel(
    policy: str, fallback: str, savable: bool, want: str
) -> None:
    found = idle.outcome(ReclaimPolicy(policy), Fallback(fallback), savable=savable)
    assert found.value == want
