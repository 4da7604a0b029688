"""Messages on the websocket, in both protocols."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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


def test_a_failed_request_of_a_debugger_ends_where_it_was_made() -> None:
    reply, idle = messages.failure({"msg_type": "debug_request"}, "KernelDied", "out of memory")
    assert (reply.channel, reply.msg_type, idle.msg_type) == ("control", "debug_reply", "status")


def test_an_execution_is_never_answered_without_a_kernel() -> None:
    assert messages.asleep(HEADER, {"status": "ok"}) is None


def test_a_completion_is_answered_without_a_kernel() -> None:
    said = messages.asleep({"msg_type": "complete_request"}, None)
    assert said is not None
    assert [one.msg_type for one in said] == ["status", "complete_reply", "status"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
IDS = st.sampled_from(["1", "execute_request", "\ud800"]) | JSON
HEADERS = JSON | st.fixed_dictionaries({"msg_id": IDS, "msg_type": IDS}, optional={"date": IDS})
MESSAGES = st.fixed_dictionaries(
    {"header": HEADERS},
    optional={"channel": JSON, "content": JSON, "buffers": JSON, "parent_header": JSON},
)
NUMBERS = st.integers(0, 2**64 - 1)


def as_legacy_binary(message: Any, offsets: list[int]) -> bytes:
    head = b"".join((offset % 2**32).to_bytes(4, "big") for offset in offsets)
    return head + json.dumps(message).encode()


def as_v1(message: Any, offsets: list[int]) -> bytes:
    head = b"".join(offset.to_bytes(8, "little") for offset in offsets)
    return head + b"shell" + json.dumps(message.get("header")).encode()


FRAMES = (
    st.binary(max_size=60)
    | st.text(max_size=20)
    | MESSAGES.map(json.dumps)
    | st.builds(as_legacy_binary, MESSAGES, st.lists(st.integers(0, 64) | NUMBERS, max_size=4))
    | st.builds(as_v1, MESSAGES, st.lists(st.integers(0, 99) | NUMBERS, max_size=9))
)


@given(FRAMES, st.sampled_from([messages.V1, None]))
@example((2**63).to_bytes(8, "little") + bytes(64), messages.V1)
@example(b"\x7f\xff\xff\xff" + bytes(64), None)
@example("[" * 5000, None)
@example(json.dumps({"header": {"msg_id": "1", "msg_type": "a"}, "channel": {}}), None)
def test_a_frame_is_dropped_or_can_be_passed_on_and_answered(
    raw: str | bytes, protocol: str | None
) -> None:
    try:
        asked = messages.parse(raw, protocol)
    except ValueError:
        return
    assert hash(asked.channel)
    assert all(isinstance(part, bytes) for part in asked.parts)
    for said in messages.failure(asked.header, "E", "because"):
        parts = messages.build(said, parent=asked.header, kernel_session="k")
        messages.frame(said.channel, parts, protocol)
