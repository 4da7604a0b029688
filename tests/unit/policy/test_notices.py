"""The sentences that a waiting user reads."""

from datetime import timedelta

import pytest

from elastic_jupyter.policy import notices


@pytest.mark.parametrize(
    ("position", "want"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (22, "22nd")],
)
def test_the_place_in_the_queue_reads_as_people_say_it(position: int, want: str) -> None:
    assert notices.place(position, 30) == f"{want} of 30"


def test_the_queue_text_ends_with_the_schedulers_reason() -> None:
    text = notices.queued(2, 3, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    assert text.startswith("Waiting for a GPU: 2nd of 3 in the queue.")
    assert text.endswith("Insufficient nvidia.com/gpu.")


@pytest.mark.parametrize(
    ("kind", "name", "want"),
    [
        ("thread", "worker", "thread 'worker'"),
        ("gpu", "GPU 0 at 87 %", "work on 'GPU 0 at 87 %'"),
        ("task", "a\nb", r"task 'a\nb'"),
    ],
)
def test_what_was_left_running_is_told_in_a_line(kind: str, name: str, want: str) -> None:
    assert notices.left(kind, name) == want


@pytest.mark.parametrize(
    ("seconds", "want"), [(45, "45 s"), (120, "2 min"), (5400, "1.5 h"), (7200, "2.0 h")]
)
def test_durations_are_rounded_to_what_matters(seconds: int, want: str) -> None:
    assert notices.duration(timedelta(seconds=seconds)) == want
