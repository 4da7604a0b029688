from datetime import UTC, datetime

import pytest

from elastic_jupyter.local import holders
from elastic_jupyter.local.holders import Holder, Owner

#: Times are shown as the machine's user has them.
SINCE = datetime(2026, 11, 26, 4, 7, tzinfo=UTC).astimezone()
SHOWN = f"{SINCE:%d %b %H:%M}"


def a_holder(number: int = 0, user: str = "ann") -> Holder:
    return Holder(f"GPU {number}", user, "", None)


def test_an_owner_is_read_as_it_was_written() -> None:
    owner = Owner("ann", "ann-3f2a", SINCE)
    assert holders.decode(holders.encode(owner)) == owner


@pytest.mark.parametrize(
    ("content", "want"),
    [
        pytest.param(b"", Owner(), id="empty"),
        pytest.param(b'{"user": "an', Owner(), id="half written"),
        pytest.param(b"\xff\xfe", Owner(), id="no text"),
        pytest.param(b"[1]", Owner(), id="another shape"),
        pytest.param(b"[" * 4096, Owner(), id="deep"),
        pytest.param(b'{"user": 5, "kernel": ["k"], "since": 7}', Owner(), id="other types"),
        pytest.param(b'{"user": "ann", "since": "2026-11-26T04:07"}', Owner("ann"), id="no zone"),
        pytest.param(
            b'{"user": "ann", "since": "0001-01-01T00:00:00+14:00"}', Owner("ann"), id="before time"
        ),
        pytest.param(
            b'{"user": "ann", "since": "9999-12-31T23:59:59-14:00"}', Owner("ann"), id="after time"
        ),
        pytest.param(
            b'{"user": "ann", "since": %b}' % (b"[" * 900 + b"]" * 900),
            Owner("ann"),
            id="a deep time",
        ),
        pytest.param(b'{"since": %b}' % (b"9" * 4080), Owner(), id="a huge number"),
        pytest.param(b'{"since": 1e999, "user": -1e999}', Owner(), id="infinite numbers"),
        pytest.param(b'{"user": "\\ud800ann"}', Owner("ann"), id="half a character"),
        pytest.param("{'user': 'ann'}".encode("utf-16"), Owner(), id="another encoding"),
        pytest.param(
            b'{"user": "a\\u001b[31mnn\\n", "kernel": "k"}', Owner("a[31mnn", "k"), id="controls"
        ),
    ],
)
def test_what_cannot_be_read_is_not_known(content: bytes, want: Owner) -> None:
    assert holders.decode(content) == want


def test_what_others_wrote_is_bounded() -> None:
    assert len(holders.decode(holders.encode(Owner("u" * 3000))).user) == 64


@pytest.mark.parametrize(
    ("held", "total", "wants", "want"),
    [
        pytest.param([], 1, 1, "", id="nothing is in the way"),
        pytest.param([a_holder()], 2, 1, "", id="enough is free"),
        pytest.param(
            [Holder("stand-in 0", "ann", "ann-3f2a", SINCE)],
            1,
            1,
            "1 GPU of this machine is in use: stand-in 0 by ann (kernel ann-3f2a) since " + SHOWN,
            id="one",
        ),
        pytest.param(
            [a_holder(0), a_holder(1, "bob")],
            2,
            1,
            "2 GPUs of this machine are in use: GPU 0 by ann, GPU 1 by bob",
            id="all",
        ),
        pytest.param(
            [a_holder()],
            2,
            2,
            "1 GPU of this machine is in use: GPU 0 by ann; the first in the line wants 2",
            id="some are free and too few",
        ),
        pytest.param(
            [Holder("GPU 0", "", "0123456789-0123456789", None)],
            1,
            1,
            "1 GPU of this machine is in use: GPU 0 by somebody (kernel 0123456789-0…)",
            id="nobody knows whose",
        ),
        pytest.param(
            [a_holder(number) for number in range(8)],
            8,
            1,
            "8 GPUs of this machine are in use: GPU 0 by ann, GPU 1 by ann, GPU 2 by ann, "
            "GPU 3 by ann and 4 more",
            id="many",
        ),
        pytest.param(
            [
                *(a_holder(number) for number in range(5)),
                Holder("GPU 5", obstacle="/x/lease,y: it is no plain file"),
            ],
            6,
            1,
            "6 GPUs of this machine are in use: GPU 5, which cannot be leased "
            "(/x/lease,y: it is no plain file), GPU 0 by ann, GPU 1 by ann, GPU 2 by ann and 2 "
            "more",
            id="what must be repaired is named first",
        ),
    ],
)
def test_one_who_waits_reads_who_has_the_gpus(
    held: list[Holder], total: int, wants: int, want: str
) -> None:
    assert holders.in_use(held, total, first_wants=wants) == want
