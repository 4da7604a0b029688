"""Who gets the next GPU, and the place of everybody else."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.policy import queue
from elastic_jupyter.policy.accelerators import Request
from elastic_jupyter.policy.queue import Claim, ClassKey, Place, Ticket, Verdict

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE_GPU = ClassKey((Request("nvidia.com/gpu", 1),), (), "", "default-scheduler")
NO_GPU = "0/1 nodes are available"


def a_claim(
    name: str,
    *,
    asked: int = 0,
    created: int = 0,
    namespace: str = "team",
    admitted: int | None = None,
    reason: str = "",
) -> Claim:
    """A claim that was asked for, created and admitted at seconds after noon."""
    ticket = Ticket(
        NOON + timedelta(seconds=asked), NOON + timedelta(seconds=created), namespace, name
    )
    at = None if admitted is None else NOON + timedelta(seconds=admitted)
    return Claim(ticket, ONE_GPU, at, reason)


def decide(claims: Iterable[Claim], *, at: float = 0, left_out: Collection[Claim] = ()) -> Verdict:
    """The verdict at this second after noon."""
    now = NOON + timedelta(seconds=at)
    return queue.decide(claims, now=now, left_out=[claim.ticket for claim in left_out])


@pytest.mark.parametrize(
    ("claims", "want"),
    [
        pytest.param(
            [a_claim("late", asked=2), a_claim("early", asked=1)],
            ["early", "late"],
            id="first asked first served",
        ),
        pytest.param(
            [a_claim("a", asked=1, created=3), a_claim("b", asked=2, created=2)],
            ["a", "b"],
            id="asking counts and not the object",
        ),
        pytest.param(
            [a_claim("a", created=2), a_claim("b", created=1)],
            ["b", "a"],
            id="of two at once the older object is first",
        ),
        pytest.param(
            [a_claim("b"), a_claim("a"), a_claim("c", namespace="before")],
            ["c", "a", "b"],
            id="names decide at last",
        ),
        pytest.param(
            [a_claim("early", asked=1), a_claim("late", asked=2, admitted=0)],
            ["late", "early"],
            id="who is with the scheduler stays ahead",
        ),
    ],
)
def test_the_order_of_the_queue(claims: list[Claim], want: list[str]) -> None:
    assert [ticket.name for ticket in decide(claims).places] == want


def test_the_first_of_a_waiting_line_is_admitted() -> None:
    first, second = a_claim("a", asked=1), a_claim("b", asked=2)
    assert decide([second, first]) == Verdict(
        admit=first.ticket,
        places={first.ticket: Place(1, 2, ""), second.ticket: Place(2, 2, "")},
    )


def test_nobody_is_admitted_while_somebody_is_with_the_scheduler() -> None:
    first, second = a_claim("a", admitted=0, reason=NO_GPU), a_claim("b")
    assert decide([first, second], at=3600) == Verdict(
        admit=None,
        places={first.ticket: Place(1, 2, NO_GPU), second.ticket: Place(2, 2, NO_GPU)},
    )


@pytest.mark.parametrize(
    ("at", "want"),
    [
        pytest.param(4, Verdict(None, {}, timedelta(seconds=6)), id="the scheduler has its time"),
        pytest.param(10, Verdict(a_claim("b").ticket, {}), id="and then the next is admitted"),
        pytest.param(-10, Verdict(a_claim("b").ticket, {}), id="a time far ahead is none"),
    ],
)
def test_a_head_of_which_the_scheduler_says_nothing_steps_aside(at: int, want: Verdict) -> None:
    first, second = a_claim("a", admitted=0), a_claim("b")
    verdict = decide([first, second], at=at)
    assert replace(verdict, places={}) == want
    assert (first.ticket in verdict.places) == (want.admit is None)
    assert second.ticket in verdict.places


def test_who_stepped_aside_is_ahead_again_once_the_scheduler_speaks() -> None:
    heard = a_claim("a", admitted=0, reason=NO_GPU)
    silent, next_ = a_claim("c", admitted=0), a_claim("b", admitted=11)
    verdict = decide([next_, silent, heard], at=12)
    assert list(verdict.places) == [heard.ticket, next_.ticket]
    assert verdict.look_again == timedelta(seconds=9)


def test_who_is_left_out_has_no_place_and_is_in_nobodys_way() -> None:
    first, second = a_claim("a", asked=1), a_claim("b", asked=2)
    assert decide([first, second], left_out=[first]) == Verdict(
        admit=second.ticket, places={second.ticket: Place(1, 1, "")}
    )
    assert decide([first], left_out=[first]) == Verdict(admit=None, places={})


def test_an_empty_queue_admits_nobody() -> None:
    assert decide([]) == Verdict(admit=None, places={})


def test_a_class_reads_as_what_its_pods_ask_for() -> None:
    requests = (Request("nvidia.com/gpu", 2), Request("rdma/hca", 1))
    assert str(ONE_GPU._replace(requests=requests)) == "nvidia.com/gpu: 2, rdma/hca: 1"


MOMENTS = st.integers(0, 3)
QUEUES = st.lists(
    st.builds(
        a_claim,
        st.sampled_from("abcdefgh"),
        asked=MOMENTS,
        created=MOMENTS,
        namespace=st.sampled_from(["red", "blue"]),
        admitted=st.sampled_from([None, 0, 3]),
        reason=st.sampled_from(["", "no node"]),
    ),
    unique_by=lambda claim: (claim.ticket.namespace, claim.ticket.name),
    max_size=8,
)


@given(QUEUES)
def test_everybody_gets_exactly_one_place(claims: list[Claim]) -> None:
    places = decide(claims).places
    assert set(places) == {claim.ticket for claim in claims}
    assert [place.position for place in places.values()] == list(range(1, len(claims) + 1))
    assert {place.length for place in places.values()} <= {len(claims)}


@given(QUEUES)
def test_who_is_admitted_is_first_and_still_gated(claims: list[Claim]) -> None:
    verdict = decide(claims)
    gated = [claim.ticket for claim in claims if claim.gated]
    assert (verdict.admit is not None) == (bool(claims) and len(gated) == len(claims))
    if verdict.admit is not None:
        assert verdict.admit in gated
        assert verdict.places[verdict.admit].position == 1


@given(QUEUES)
def test_the_ungated_are_ahead_and_tickets_order_the_rest(claims: list[Claim]) -> None:
    ahead = sorted(claim.ticket for claim in claims if not claim.gated)
    behind = sorted(claim.ticket for claim in claims if claim.gated)
    assert list(decide(claims).places) == ahead + behind


@given(QUEUES, st.randoms())
def test_the_order_of_the_pods_in_the_cache_does_not_matter(
    claims: list[Claim], random: Random
) -> None:
    shuffled = random.sample(claims, len(claims))
    assert decide(shuffled) == decide(claims)


@given(QUEUES)
def test_everybody_gets_a_gpu_one_at_a_time_in_the_order_of_asking(claims: list[Claim]) -> None:
    waiting = {claim.ticket: replace(claim, admitted_at=None) for claim in claims}
    served = []
    for _ in claims:
        admitted = decide(waiting.values()).admit
        assert admitted is not None
        waiting[admitted] = replace(waiting[admitted], admitted_at=NOON)
        assert decide(waiting.values()).admit is None
        served.append(admitted)
        del waiting[admitted]
    assert served == sorted(claim.ticket for claim in claims)


@given(QUEUES, st.integers(0, 20), st.data())
def test_whoever_is_in_nobodys_way_does_not_keep_the_others_from_a_gpu(
    claims: list[Claim], at: int, data: st.DataObject
) -> None:
    left_out = [claim for claim in claims if claim.gated and data.draw(st.booleans())]
    verdict = decide(claims, at=at, left_out=left_out)
    silent = [c for c in claims if c.admitted_at and not c.reason]
    aside = [*left_out, *(c for c in silent if NOON + timedelta(seconds=at - 10) >= c.admitted_at)]
    rest = [claim for claim in claims if claim not in aside]
    assert verdict == decide(rest, at=at)
    assert set(verdict.places) == {claim.ticket for claim in rest}


@given(QUEUES, st.integers(0, 20))
def test_nothing_changes_before_it_is_time_to_look_again(claims: list[Claim], at: int) -> None:
    verdict = decide(claims, at=at)
    if verdict.look_again is None:
        assert decide(claims, at=at + 3600) == verdict
        return
    left = verdict.look_again.total_seconds()
    assert left > 0
    assert decide(claims, at=at + left - 0.001).places == verdict.places
    assert set(decide(claims, at=at + left).places) < set(verdict.places)
