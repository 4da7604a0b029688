from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.local import tickets
from elastic_jupyter.local.tickets import Ticket

TICKETS = st.builds(
    Ticket,
    asked_at=st.integers(0, 2**63),
    kernel=st.text(max_size=8),
    amount=st.integers(0, 64),
    pool=st.sampled_from(["gpu", "stand-in"]),
    nonce=st.sampled_from(["00", "ff"]),
)
#: As they are on a machine.
PLAIN = st.text(st.sampled_from("abcxyz0189-"), max_size=8)
QUEUED = st.builds(
    Ticket,
    asked_at=st.integers(0, 99),
    kernel=PLAIN,
    amount=st.just(1),
    pool=st.just("gpu"),
    nonce=st.just("00"),
)


@given(TICKETS)
def test_the_name_of_a_file_says_all_of_a_ticket(ticket: Ticket) -> None:
    assert tickets.parse(tickets.name(ticket)) == ticket
    assert "/" not in tickets.name(ticket)


@given(st.lists(QUEUED))
def test_names_sort_in_the_order_of_asking(line: list[Ticket]) -> None:
    names = sorted(tickets.name(ticket) for ticket in line)
    assert [tickets.parse(name) for name in names] == sorted(line)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lease,stand-in%200",
        ".0011aabb",
        "ticket,gpu,1,k,1",
        "ticket,gpu,1,ann,k,1,00",
        "ticket,gpu,now,k,1,00",
        "ticket,gpu,1,k,one,00",
        "ticket,gpu,1,k,-1,00",
        f"ticket,gpu,{'9' * 5000},k,1,00",
        "ticket,gpu,²,k,1,00",
    ],
)
def test_a_name_that_is_no_ticket_is_none(name: str) -> None:
    assert tickets.parse(name) is None


def test_the_longest_name_of_a_kernel_fits_a_file() -> None:
    longest = Ticket(2**63, "k" * 63 + ".100", 64, "stand-in", "0011aabb")
    assert len(tickets.name(longest)) <= 255


def test_the_order_is_exact_to_the_microsecond() -> None:
    moment = datetime(2026, 11, 26, 4, 0, 0, 123456, tzinfo=UTC)
    assert tickets.nanoseconds(moment) % 10**9 == 123456000
    later = tickets.nanoseconds(moment + timedelta(microseconds=1))
    assert later - tickets.nanoseconds(moment) == 1000
    assert tickets.nanoseconds(datetime(1960, 1, 1, tzinfo=UTC)) == 0
