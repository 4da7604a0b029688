"""Who gets the next GPU, and the place of everybody else."""

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
ONE_GPU = ClassKey(requests=(Request("nvidia.com/gpu", 1),), node_selector=(), priority="")


def a_claim(
    name: str,
    *,
    asked: int = 0,
    created: int = 0,
    namespace: str = "team",
    gated: bool = True,
    reason: str = "",
) -> Claim:
    """A claim that was asked for and created at seconds after noon."""
    ticket = Ticket(
        NOON + timedelta(seconds=asked), NOON + timedelta(seconds=created), namespace, name
    )
    return Claim(ticket, ONE_GPU, gated, reason)


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
            [a_claim("early", asked=1), a_claim("late", asked=2, gated=False)],
            ["late", "early"],
            id="who is with the scheduler stays ahead",
        ),
    ],
)
def test_the_order_of_the_queue(claims: list[Claim], want: list[str]) -> None:
    assert [ticket.name for ticket in queue.decide(claims).places] == want


def test_the_first_of_a_waiting_line_is_admitted() -> None:
    first, second = a_claim("a", asked=1), a_claim("b", asked=2)
    assert queue.decide([second, first]) == Verdict(
        admit=first.ticket,
        places={first.ticket: Place(1, 2, ""), second.ticket: Place(2, 2, "")},
    )


def test_nobody_is_admitted_while_somebody_is_with_the_scheduler() -> None:
    first = a_claim("a", gated=False, reason="0/1 nodes are available")
    second = a_claim("b", reason="")
    assert queue.decide([first, second]) == Verdict(
        admit=None,
        places={
            first.ticket: Place(1, 2, "0/1 nodes are available"),
            second.ticket: Place(2, 2, "0/1 nodes are available"),
        },
    )


def test_an_empty_queue_admits_nobody() -> None:
    assert queue.decide([]) == Verdict(admit=None, places={})


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
        gated=st.booleans(),
        reason=st.sampled_from(["", "no node"]),
    ),
    unique_by=lambda claim: (claim.ticket.namespace, claim.ticket.name),
    max_size=8,
)


@given(QUEUES)
def test_everybody_gets_exactly_one_place(claims: list[Claim]) -> None:
    places = queue.decide(claims).places
    assert set(places) == {claim.ticket for claim in claims}
    assert [place.position for place in places.values()] == list(range(1, len(claims) + 1))
    assert {place.length for place in places.values()} <= {len(claims)}


@given(QUEUES)
def test_who_is_admitted_is_first_and_still_gated(claims: list[Claim]) -> None:
    verdict = queue.decide(claims)
    gated = [claim.ticket for claim in claims if claim.gated]
    assert (verdict.admit is not None) == (bool(claims) and len(gated) == len(claims))
    if verdict.admit is not None:
        assert verdict.admit in gated
        assert verdict.places[verdict.admit].position == 1


@given(QUEUES)
def test_the_ungated_are_ahead_and_tickets_order_the_rest(claims: list[Claim]) -> None:
    ahead = sorted(claim.ticket for claim in claims if not claim.gated)
    behind = sorted(claim.ticket for claim in claims if claim.gated)
    assert list(queue.decide(claims).places) == ahead + behind


@given(QUEUES, st.randoms())
def test_the_order_of_the_pods_in_the_cache_does_not_matter(
    claims: list[Claim], random: Random
) -> None:
    shuffled = random.sample(claims, len(claims))
    assert queue.decide(shuffled) == queue.decide(claims)


@given(QUEUES)
def test_everybody_gets_a_gpu_one_at_a_time_in_the_order_of_asking(claims: list[Claim]) -> None:
    waiting = {claim.ticket: replace(claim, gated=True) for claim in claims}
    served = []
    for _ in claims:
        admitted = queue.decide(waiting.values()).admit
        assert admitted is not None
        waiting[admitted] = replace(waiting[admitted], gated=False)
        assert queue.decide(waiting.values()).admit is None
        served.append(admitted)
        del waiting[admitted]
    assert served == sorted(claim.ticket for claim in claims)
