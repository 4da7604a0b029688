"""Frames against jupyter_server's own functions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.notebook.frames import V1, Message, decode, encode
from tests.unit.notebook.servers import message, pack, unpack

PROTOCOLS = [pytest.param(V1, id="v1"), pytest.param(None, id="legacy")]
BUFFERS = st.lists(st.binary(max_size=20), max_size=4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(buffers=BUFFERS, text=st.text(max_size=20))
def test_reads_what_jupyter_server_writes(
    protocol: str | None, buffers: list[bytes], text: str
) -> None:
    sent = message("comm_msg", {"text": text}, parent={"msg_id": "p"}, buffers=buffers)
    got = decode(pack(sent, protocol), protocol)
    assert (got.channel, got.header, got.parent, got.metadata, got.content) == (
        "shell",
        sent["header"],
        {"msg_id": "p"},
        {},
        {"text": text},
    )
    assert list(got.buffers) == buffers
    assert (got.msg_type, got.msg_id, got.parent_id) == (
        "comm_msg",
        sent["header"]["msg_id"],
        "p",
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(buffers=BUFFERS, text=st.text(max_size=20))
def test_writes_what_jupyter_server_reads(
    protocol: str | None, buffers: list[bytes], text: str
) -> None:
    parts: list[dict[str, Any]] = [
        {"msg_id": "i", "msg_type": "t"},
        {},
        {"m": 1},
        {"text": text},
    ]
    frame = encode(Message("iopub", parts, buffers=buffers), protocol)
    assert isinstance(frame, bytes) == bool(protocol or buffers)
    got = unpack(frame, protocol)
    assert got["channel"] == "iopub"
    assert [got[part] for part in ("header", "parent_header", "metadata", "content")] == parts
    assert [bytes(buffer) for buffer in got["buffers"]] == buffers


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(junk=st.binary(max_size=80) | st.text(max_size=40))
def test_junk_is_a_value_error(protocol: str | None, junk: bytes | str) -> None:
    try:
        decode(junk, protocol)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("frame", "protocol"),
    [
        pytest.param("{}{", None, id="no JSON"),
        pytest.param("[]", None, id="no JSON object"),
        pytest.param("[" * 9999, None, id="nested too deeply"),
        pytest.param('{"header": 1}', None, id="a header that is no object"),
        pytest.param(b"\x01", None, id="cut legacy offsets"),
        pytest.param(b"\x07" + b"\x00" * 7, V1, id="v1 offsets beyond the end"),
        pytest.param(b"\x01" + b"\x00" * 90, V1, id="too few v1 parts"),
    ],
)
def test_what_is_no_message_is_refused(frame: str | bytes, protocol: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(frame, protocol)
