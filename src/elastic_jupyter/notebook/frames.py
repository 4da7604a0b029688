"""Jupyter messages as they travel in websocket frames, in both protocols.

The v1 protocol (``v1.kernel.websocket.jupyter.org``) is always binary: little-endian offsets, then
the channel, four JSON parts and the buffers. The legacy one is JSON text, or, with buffers,
big-endian offsets, one JSON part and the buffers. Source: jupyter_server's "WebSocket kernel wire
protocols".

Upstream has functions for this (jupyter_server 2.21.1, ``services/kernels/connection/base.py``),
but they turn dates into objects and parse all content; here most content is never looked at.
"""

import json
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from elastic_jupyter import untrusted_json

V1 = "v1.kernel.websocket.jupyter.org"

Json = dict[str, Any]


class Message:
    """One message. ``metadata`` and ``content`` are parsed when first asked for.

    ``parts`` are header, parent header, metadata and content, as JSON bytes or as dicts.
    """

    __slots__ = ("_content", "_metadata", "buffers", "channel", "header", "parent")

    def __init__(
        self, channel: str, parts: Sequence[bytes | Json], *, buffers: Sequence[bytes] = ()
    ) -> None:
        header, parent, self._metadata, self._content = parts
        self.channel = channel
        self.header: Json = _load(header)
        self.parent: Json = _load(parent)
        self.buffers = tuple(buffers)

    @property
    def metadata(self) -> Json:
        """The metadata as a dict."""
        self._metadata = _load(self._metadata)
        return self._metadata

    @property
    def content(self) -> Json:
        """The content as a dict."""
        self._content = _load(self._content)
        return self._content

    @property
    def msg_id(self) -> str:
        """The id of this message; empty when it has none."""
        return str(self.header.get("msg_id", ""))

    @property
    def msg_type(self) -> str:
        """The type, such as ``execute_request``; empty when it has none."""
        return str(self.header.get("msg_type", ""))

    @property
    def parent_id(self) -> str:
        """The id of the request that this message belongs to; empty when there is none."""
        return str(self.parent.get("msg_id", ""))

    def __repr__(self) -> str:
        return f"<Message {self.channel} {self.msg_type} {self.msg_id} for {self.parent_id}>"


def _load(part: bytes | Json | None) -> Json:
    value = json.loads(part) if isinstance(part, bytes) else part
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"a message part is no JSON object: {type(value).__name__}")
    return value or {}


def decode(frame: str | bytes, protocol: str | None) -> Message:
    """Return the message in ``frame``; ``protocol`` is the websocket's subprotocol.

    Raises ``ValueError`` when the frame is not a message.
    """
    try:
        with untrusted_json.reading():
            if protocol == V1:
                return _decode_v1(frame if isinstance(frame, bytes) else frame.encode())
            return _decode_legacy(frame)
    except (struct.error, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a Jupyter message: {error!r}") from error


def encode(message: Message, protocol: str | None) -> str | bytes:
    """Return the frame of ``message``: bytes for a binary frame, str for text."""
    return _encode_v1(message) if protocol == V1 else _encode_legacy(message)


def _decode_v1(frame: bytes) -> Message:
    count = int.from_bytes(frame[:8], "little")
    if not 6 <= count <= len(frame) // 8:
        raise ValueError(f"a v1 message of {len(frame)} bytes cannot have {count} offsets")
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    channel, header, parent, metadata, content, *buffers = (
        frame[start:stop] for start, stop in pairwise(offsets)
    )
    return Message(channel.decode(), (header, parent, metadata, content), buffers=buffers)


def _encode_v1(message: Message) -> bytes:
    parts = [
        message.channel.encode(),
        *(
            part if isinstance(part, bytes) else json.dumps(part).encode()
            for part in (message.header, message.parent, message._metadata, message._content)
        ),
        *message.buffers,
    ]
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join([struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets), *parts])


def _decode_legacy(frame: str | bytes) -> Message:
    buffers: list[bytes] = []
    if isinstance(frame, bytes):
        (count,) = struct.unpack_from("!I", frame)
        offsets = [*struct.unpack_from(f"!{count}I", frame, 4), len(frame)]
        text, *buffers = (frame[start:stop] for start, stop in pairwise(offsets))
        message = json.loads(text)
    else:
        message = json.loads(frame)
    return Message(
        message.get("channel") or "shell",
        [message.get(part) or {} for part in ("header", "parent_header", "metadata", "content")],
        buffers=buffers,
    )


def _encode_legacy(message: Message) -> str | bytes:
    whole = {
        "channel": message.channel,
        "header": message.header,
        "msg_id": message.msg_id,
        "msg_type": message.msg_type,
        "parent_header": message.parent,
        "metadata": message.metadata,
        "content": message.content,
    }
    if not message.buffers:
        return json.dumps({**whole, "buffers": []})
    parts = [json.dumps(whole).encode(), *message.buffers]
    offsets = [4 * (len(parts) + 1)]
    for part in parts[:-1]:
        offsets.append(offsets[-1] + len(part))
    return b"".join([struct.pack(f"!{len(parts) + 1}I", len(parts), *offsets), *parts])
