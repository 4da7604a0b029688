"""Output kept for a front end that was away."""

from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.gateway.replay import Ring


def filled(count: int, *, max_messages: int = 100) -> Ring:
    ring = Ring(max_messages=max_messages)
    for number in range(count):
        ring.append(f"m{number}", [b"%d" % number])
    return ring


def test_the_messages_after_the_last_seen_one_are_given_in_order() -> None:
    after = filled(5).after("m2")
    assert after is not None
    assert [kept.msg_id for kept in after] == ["m3", "m4"]


def test_a_message_that_is_not_kept_any_more_is_not_found() -> None:
    assert filled(5, max_messages=2).after("m1") is None


def test_a_dropped_message_makes_the_rest_incomplete() -> None:
    kept, complete = filled(5, max_messages=2).since(1)
    assert [one.msg_id for one in kept] == ["m3", "m4"]
    assert not complete


def test_numbers_go_on_when_the_limit_changes() -> None:
    ring = filled(3)
    ring.limit(0)
    assert ring.since(0) == ([], False)
    ring.limit(100)
    ring.append("m3", [b"3"])
    kept, complete = ring.since(3)
    assert [one.msg_id for one in kept] == ["m3"]
    assert complete


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(0, 70))
def test_the_limit_in_bytes_holds_and_nothing_is_out_of_order(sizes: list[int], since: int) -> None:
    ring = Ring(max_bytes=100)
    for number, size in enumerate(sizes):
        ring.append(str(number), [b"x" * size])
    kept, complete = ring.since(since)
    assert sum(one.size for one in kept) <= 100
    numbers = [int(one.msg_id) for one in kept]
    assert numbers == sorted(numbers)
    assert complete == (since >= ring.first)
