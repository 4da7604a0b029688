"""Messages on the websocket, in both protocols."""

import json

import pytest

from elastic_jupyter.gateway import messages

HEADER = {"msg_id": "1", "msg_type": "execute_request", "session": "s"}
PARTS = [json.dumps(part).encode() for part in (HEADER, {}, {}, {"code": "1"})]


@pytest.mark.parametrize("protocol", [messages.V1, None], ids=["v1", "legacy"])
@pytest.mark.parametrize("buffers", [[], [b"\x00\xff", b"raw"]], ids=["plain", "binary"])
def test_a_frame_is_read_back_as_it_was(protocol: str | None, buffers: list[bytes]) -> None:
    raw = messages.frame("shell", [*PARTS, *buffers], protocol)
    asked = messages.parse(raw, protocol)
    assert (asked.channel, asked.msg_type) == ("shell", "execute_request")
    assert [json.loads(part) for part in asked.parts[:4]] == [json.loads(p) for p in PARTS]
    assert asked.parts[4:] == buffers


@pytest.mark.parametrize(
    ("raw", "protocol"),
    [("{", None), ("[]", None), ('{"channel": "shell"}', None), (b"\x01\x02", messages.V1)],
)
def test_what_is_not_a_message_is_an_error_and_nothing_else(
    raw: str | bytes, protocol: str | None
) -> None:
    with pytest.raises(ValueError, match=r"."):
        messages.parse(raw, protocol)


def test_a_failed_execution_ends_with_error_reply_and_idle() -> None:
    said = list(messages.failure(HEADER, "KernelDied", "out of memory"))
    assert [(one.channel, one.msg_type) for one in said] == [
        ("iopub", "error"),
        ("shell", "execute_reply"),
        ("iopub", "status"),
    ]
    assert said[1].content["evalue"] == "out of memory"


def test_an_execution_is_never_answered_without_a_kernel() -> None:
    assert messages.asleep(HEADER, {"status": "ok"}) is None


def test_a_completion_is_answered_without_a_kernel() -> None:
    said = messages.asleep({"msg_type": "complete_request"}, None)
    assert said is not None
    assert [one.msg_type for one in said] == ["status", "complete_reply", "status"]
