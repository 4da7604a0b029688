"""Messages that the gateway says in a kernel's name, and their form on a websocket.

Source: Jupyter's messaging and websocket protocols. They carry the kernel's ``header.session``
because JupyterLab drops queued messages whose session differs from the latest it has seen.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from elastic_jupyter import untrusted_json

#: What starts the id of a request by which the notebook side finds out whether all before it has
#: ended: it is never answered out of turn (notebook.answers).
PROBE = "elastic-jupyter-probe-"
V1 = "v1.kernel.websocket.jupyter.org"

Header = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """One message to a front end: its channel, type and content."""

    channel: str
    msg_type: str
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One message of a front end: its channel, header, and ``parts`` as ZMQ takes them.

    ``parts`` are header, parent header, metadata and content as JSON bytes, then the buffers.
    """

    channel: str
    header: Header
    parts: list[bytes]

    @property
    def msg_type(self) -> str:
        """The request's type, such as ``execute_request``."""
        return str(self.header.get("msg_type", ""))


def is_probe(request: Header) -> bool:
    """Say whether a request is one of the notebook side's, to find out what has ended."""
    return str(request.get("msg_id")).startswith(PROBE)


def parse(raw: str | bytes, subprotocol: str | None) -> Asked:
    """Read a websocket frame of a front end. Raises ``ValueError`` when it is not a message."""
    try:
        with untrusted_json.reading():
            asked = _parse_v1(raw) if subprotocol == V1 else _parse_legacy(raw)
            _check(asked)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"not a Jupyter message: {error!r}") from error
    return asked


def _parse_v1(raw: str | bytes) -> Asked:
    if isinstance(raw, str):
        raise TypeError("the protocol is binary")
    # Upstream reads as many offsets as the frame says that it has.
    if 8 * (int.from_bytes(raw[:8], "little") + 1) > len(raw):
        raise ValueError("the frame ends within its offsets")
    channel, parts = deserialize_msg_from_ws_v1(raw)
    return Asked(channel, json.loads(parts[0]), parts)


def _parse_legacy(raw: str | bytes) -> Asked:
    if isinstance(raw, bytes):
        # As above; struct, which upstream uses, makes a format of as many letters first.
        if not 0 < 4 * int.from_bytes(raw[:4], "big") < len(raw):
            raise ValueError("the frame ends within its offsets")
        message = deserialize_binary_message(raw)
    else:
        message = json.loads(raw)
    if not isinstance(message, dict):
        raise TypeError("no object")
    parts = [
        json.dumps(message.get(part) or {}, default=json_default).encode()
        for part in ("header", "parent_header", "metadata", "content")
    ]
    buffers = message.get("buffers") if isinstance(raw, bytes) else None
    return Asked(message.get("channel") or "shell", message["header"], [*parts, *(buffers or [])])


def _check(asked: Asked) -> None:
    """Raise when a message is none that can be passed on and answered."""
    header = asked.header
    if not isinstance(header, dict) or not isinstance(asked.channel, str):
        raise TypeError("no header, or no channel")
    if not all(isinstance(header.get(key), str) for key in ("msg_id", "msg_type")):
        raise TypeError("a header without msg_id or msg_type")
    if len(asked.parts) < 4:
        raise ValueError("parts are missing")
    # Answers carry it, packed as here: no NaN, no half of a surrogate pair.
    json.dumps(header, ensure_ascii=False, allow_nan=False, default=json_default).encode()


def frame(channel: str, parts: list[bytes], subprotocol: str | None) -> str | bytes:
    """Return the websocket frame of a kernel's message; ``parts`` as in ``Asked``."""
    if subprotocol == V1:
        framed: bytes = serialize_msg_to_ws_v1(parts, channel)
        return framed
    header, parent, metadata, content = (json.loads(part) for part in parts[:4])
    message = {
        "channel": channel,
        "header": header,
        "msg_id": header.get("msg_id"),
        "msg_type": header.get("msg_type"),
        "parent_header": parent,
        "metadata": metadata,
        "content": content,
        "buffers": [bytes(buffer) for buffer in parts[4:]],
    }
    if message["buffers"]:
        return cast("bytes", serialize_binary_message(message))
    return json.dumps(message)


def build(said: Said, *, parent: Header, kernel_session: str) -> list[bytes]:
    """Return the parts of a message in the kernel's name, an answer to the request ``parent``."""
    session = Session(session=kernel_session)
    message = session.msg(said.msg_type, content=dict(said.content))
    # A session's own id would always count from 0. The notebook side never names an id like this as
    # the last one that it saw: no kernel said it, so nobody could find it again.
    message["header"]["msg_id"] = f"elastic-jupyter-{uuid.uuid4().hex}"
    return [
        session.pack(message["header"]),
        session.pack(dict(parent)),
        session.pack({}),
        session.pack(message["content"]),
    ]


STARTING = Said("iopub", "status", {"execution_state": "starting"})
BUSY = Said("iopub", "status", {"execution_state": "busy"})
IDLE = Said("iopub", "status", {"execution_state": "idle"})


def waiting(text: str, *, request_id: str, update: bool) -> Said:
    """Return the waiting text of a request, or its update in place."""
    return Said(
        "iopub",
        "update_display_data" if update else "display_data",
        {
            "data": {"text/plain": text},
            "metadata": {},
            "transient": {"display_id": f"elastic-jupyter-{request_id}"},
        },
    )


def held(variables: str) -> Said:
    """Tell the notebook side that an execution waits for a kernel with these variables."""
    return Said("iopub", "elastic_jupyter_held", {"variables": variables})


#: Gives an execution back to the notebook side: it has not run, and nobody here will run it.
HANDED_BACK = Said("iopub", "elastic_jupyter_handed_back")
CLEAR_WAITING = Said("iopub", "clear_output", {"wait": False})


def notice(text: str) -> Said:
    """Return a line on the cell's stderr."""
    return Said("iopub", "stream", {"name": "stderr", "text": text.rstrip("\n") + "\n"})


def failure(request: Header, ename: str, evalue: str) -> Iterator[Said]:
    """Yield what ends a request with an error: ``error`` and reply, then ``idle``."""
    error = {"ename": ename, "evalue": evalue, "traceback": [f"{ename}: {evalue}"]}
    msg_type = str(request.get("msg_type", ""))
    if msg_type == "execute_request":
        yield Said("iopub", "error", error)
        reply = {"execution_count": 0, "user_expressions": {}, "payload": [], **error}
        yield Said("shell", "execute_reply", {"status": "error", **reply})
    elif msg_type.endswith("_request"):
        # JupyterLab takes an answer on the channel of its request alone.
        channel = "control" if msg_type == "debug_request" else "shell"
        yield Said(channel, msg_type.replace("_request", "_reply"), {"status": "error", **error})
    yield IDLE


#: Replies given while there is no kernel; a request of another type waits for one.
_ASLEEP: Mapping[str, Mapping[str, Any]] = {
    "comm_info_request": {"status": "ok", "comms": {}},
    "history_request": {"status": "ok", "history": []},
    "complete_request": {
        "status": "ok",
        "matches": [],
        "cursor_start": 0,
        "cursor_end": 0,
        "metadata": {},
    },
    "inspect_request": {"status": "ok", "found": False, "data": {}, "metadata": {}},
    "is_complete_request": {"status": "unknown"},
}


def asleep(request: Header, kernel_info: Mapping[str, Any] | None) -> list[Said] | None:
    """Return the answer to ``request`` of a kernel that is not there, or None to wait for it."""
    msg_type = str(request.get("msg_type", ""))
    content = kernel_info if msg_type == "kernel_info_request" else _ASLEEP.get(msg_type)
    if content is None:
        return None
    return [BUSY, Said("shell", msg_type.replace("_request", "_reply"), content), IDLE]
