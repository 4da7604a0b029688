"""The life of one kernel: every pair of a phase and a sight, and walks through many of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api.kernel import Phase
from elastic_jupyter.policy import lifecycle
from elastic_jupyter.policy.lifecycle import Action, Sight, Verdict, Wanted

PHASES: tuple[Phase | None, ...] = (None, *Phase)
NOT_YET_RUNNING = (None, Phase.QUEUED, Phase.PENDING, Phase.DORMANT, Phase.HIBERNATED)
ENDED = (Phase.FAILED, Phase.SUCCEEDED)

WALKS = st.lists(st.sampled_from(Sight), max_size=12)


def walk(sights: list[Sight], *, start: Phase | None = None) -> list[Verdict]:
    """What is decided when one sight comes after the other and each phase is written down."""
    verdicts: list[Verdict] = []
    phase = start
    for sight in sights:
        verdicts.append(lifecycle.decide(phase, sight))
        phase = verdicts[-1].phase
    return verdicts


@pytest.mark.parametrize("phase", NOT_YET_RUNNING)
@pytest.mark.parametrize(
    ("sight", "want"),
    [
        pytest.param(
            Sight.NEVER_MADE, Verdict(Phase.PENDING, Action.START), id="starts what was never made"
        ),
        pytest.param(
            Sight.REFUSED,
            Verdict(Phase.FAILED, Action.CLEAN_UP),
            id="fails what is refused for good",
        ),
        pytest.param(
            Sight.WAITING, Verdict(Phase.QUEUED, Action.NONE), id="queues what waits for a GPU"
        ),
        pytest.param(
            Sight.STARTING, Verdict(Phase.PENDING, Action.NONE), id="waits for what is starting"
        ),
        pytest.param(
            Sight.STALLED, Verdict(Phase.PENDING, Action.NONE), id="waits for what is stalled"
        ),
        pytest.param(
            Sight.RUNNING, Verdict(Phase.RUNNING, Action.NONE), id="says that it runs when it does"
        ),
        pytest.param(
            Sight.SUCCEEDED,
            Verdict(Phase.SUCCEEDED, Action.CLEAN_UP),
            id="takes a quick end for an end",
        ),
        pytest.param(
            Sight.FAILED, Verdict(Phase.FAILED, Action.CLEAN_UP), id="fails with its container"
        ),
        pytest.param(Sight.LOST, Verdict(Phase.FAILED, Action.CLEAN_UP), id="fails with its pod"),
    ],
)
def test_a_kernel_that_does_not_run_yet(phase: Phase | None, sight: Sight, want: Verdict) -> None:
    assert lifecycle.decide(phase, sight) == want


@pytest.mark.parametrize(
    ("sight", "want"),
    [
        pytest.param(
            Sight.NEVER_MADE, Verdict(Phase.RUNNING, Action.NONE), id="is not started once more"
        ),
        pytest.param(
            Sight.REFUSED, Verdict(Phase.RUNNING, Action.NONE), id="was accepted, so not refused"
        ),
        pytest.param(Sight.WAITING, Verdict(Phase.RUNNING, Action.NONE), id="never queues again"),
        pytest.param(Sight.STARTING, Verdict(Phase.RUNNING, Action.NONE), id="never starts again"),
        pytest.param(Sight.STALLED, Verdict(Phase.RUNNING, Action.NONE), id="has started"),
        pytest.param(Sight.RUNNING, Verdict(Phase.RUNNING, Action.NONE), id="runs on"),
        pytest.param(
            Sight.SUCCEEDED, Verdict(Phase.SUCCEEDED, Action.CLEAN_UP), id="ends with exit code 0"
        ),
        pytest.param(
            Sight.FAILED, Verdict(Phase.FAILED, Action.CLEAN_UP), id="fails with its container"
        ),
        pytest.param(Sight.LOST, Verdict(Phase.FAILED, Action.CLEAN_UP), id="fails with its pod"),
    ],
)
def test_a_running_kernel(sight: Sight, want: Verdict) -> None:
    assert lifecycle.decide(Phase.RUNNING, sight) == want


@pytest.mark.parametrize("phase", ENDED)
@pytest.mark.parametrize("sight", Sight)
def test_what_has_ended_stays_ended_whatever_is_seen(phase: Phase, sight: Sight) -> None:
    assert lifecycle.decide(phase, sight) == Verdict(phase, Action.CLEAN_UP)


@pytest.mark.parametrize("sight", Sight)
def test_the_table_is_complete_for_a_kernel_that_is_new(sight: Sight) -> None:
    assert (None, sight) in lifecycle.TRANSITIONS


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sight", Sight)
def test_cleaning_up_is_exactly_what_an_end_asks_for(phase: Phase | None, sight: Sight) -> None:
    verdict = lifecycle.decide(phase, sight)
    assert (verdict.action is Action.CLEAN_UP) == (verdict.phase in ENDED)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sight", Sight)
def test_what_is_seen_twice_changes_the_phase_once(phase: Phase | None, sight: Sight) -> None:
    first, second = walk([sight, sight], start=phase)
    assert second.phase is first.phase


@given(WALKS)
def test_no_kernel_is_started_again_once_it_ran_or_ended(sights: list[Sight]) -> None:
    verdicts = walk([Sight.RUNNING, *sights])
    assert Action.START not in [verdict.action for verdict in verdicts]


@given(WALKS)
def test_phases_follow_one_another_in_one_direction(sights: list[Sight]) -> None:
    stages = {Phase.QUEUED: 0, Phase.PENDING: 0, Phase.RUNNING: 1, **dict.fromkeys(ENDED, 2)}
    seen = [stages[verdict.phase] for verdict in walk(sights)]
    assert seen == sorted(seen)


@given(WALKS, st.sampled_from(ENDED))
def test_a_kernel_ends_once(sights: list[Sight], end: Phase) -> None:
    assert {verdict.phase for verdict in walk(sights, start=end)} <= {end}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sight", Sight)
@pytest.mark.parametrize(
    ("wanted", "rest"), [(Wanted.REST, Phase.DORMANT), (Wanted.REST_SAVED, Phase.HIBERNATED)]
)
def test_whatever_is_there_of_what_is_to_rest_goes_once_that_is_written(
    phase: Phase | None, sight: Sight, wanted: Wanted, rest: Phase
) -> None:
    assert lifecycle.decide(phase, sight, wanted) == Verdict(rest, Action.CLEAN_UP)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("sight", Sight)
def test_what_is_to_be_saved_lives_as_any_other_until_it_is(
    phase: Phase | None, sight: Sight
) -> None:
    saved, other = (lifecycle.decide(phase, sight, w) for w in (Wanted.SAVE, Wanted.RUN))
    assert saved.action is other.action
    runs = other.phase is Phase.RUNNING and sight is Sight.RUNNING
    assert saved.phase is (Phase.HIBERNATING if runs else other.phase)


def test_a_save_that_is_called_off_leaves_the_kernel_running() -> None:
    assert lifecycle.decide(Phase.HIBERNATING, Sight.RUNNING).phase is Phase.RUNNING
