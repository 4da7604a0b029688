"""Messages said in the kernel's name where the kernel's own were lost. Pure.

They carry the kernel's ``header.session`` as last seen, because JupyterLab drops messages whose
session differs from the latest it has seen. Websocket messages carry no signature.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from elastic_jupyter.notebook.frames import Json, Message

#: What starts the id of a message that no kernel sent. Such an id is never named to the gateway as
#: the last one seen, since no gateway could find it among a kernel's messages.
OURS = "elastic-jupyter-"
#: What starts the id of a probe.
PROBE = f"{OURS}probe-"


@dataclass(frozen=True)
class Problem:
    """Why a request has no answer of the kernel: an exception's name and its text."""

    ename: str
    evalue: str

    @property
    def content(self) -> Json:
        """The fields that ``error`` messages and error replies share."""
        return {
            "ename": self.ename,
            "evalue": self.evalue,
            "traceback": [f"{self.ename}: {self.evalue}"],
        }


def away(*, waiting: int) -> Problem:
    """More was asked while the gateway was away than is kept."""
    return Problem(
        "GatewayAway",
        f"the gateway cannot be reached and {waiting} requests already wait for it; "
        "this one was not kept: run it again when the gateway is back",
    )


def ending() -> Problem:
    """The notebook server ends, and nobody else knows of the request."""
    return Problem(
        "NotebookServerEnding",
        "the notebook server was ending when this was sent; it did not run: run it again",
    )


def interrupted() -> Problem:
    """The user interrupted the kernel while no gateway had the request."""
    return Problem("KeyboardInterrupt", "it waited for the gateway, and did not run")


def gone(kernel_id: str) -> Problem:
    """The gateway does not know the kernel."""
    return Problem(
        "KernelGone",
        f"the gateway has no kernel {kernel_id} any more, so its variables are gone; "
        "this request was not answered: choose a kernel and run the cells again",
    )


def refused(code: int) -> Problem:
    """The gateway does not let this notebook server in."""
    return Problem(
        "GatewayRefused",
        f"the gateway refused this notebook server's token (HTTP {code}); whether the kernel got "
        "this request is not known: ask the administrator to check the notebook's gateway token",
    )


def gap(lost: datetime, back: datetime, *, started: bool) -> Problem:
    """The gateway was away while the kernel had the request."""
    span = f"the connection to the gateway was lost from {lost:%H:%M:%S} to {back:%H:%M:%S} UTC"
    if started:
        rest = (
            "the kernel and its variables are kept, the cell has finished, "
            "but its reply and output of that time may be lost"
        )
    else:
        rest = (
            "the kernel and its variables are kept, but no sign of this cell was seen: "
            "it may not have run"
        )
    return Problem("GatewayConnectionLost", f"{span}; {rest}")


def lost_output(span: timedelta) -> str:
    """Return the line for a cell that goes on after a gap of the length ``span``."""
    seconds = max(1, round(span.total_seconds()))
    return (
        f"[elastic-jupyter] The connection to the gateway was lost for {seconds} s; "
        "output of that time may be missing.\n"
    )


class Voice:
    """Builds messages in the name of the kernel whose headers it has heard."""

    def __init__(self) -> None:
        self._session = uuid.uuid4().hex
        self._username = "kernel"

    def hear(self, header: Json) -> None:
        """Take on the session and user name of a kernel's message."""
        self._session = header.get("session") or self._session
        self._username = header.get("username") or self._username

    def say(
        self, channel: str, msg_type: str, content: Json, *, to: Json, now: datetime
    ) -> Message:
        """Return a message that answers the request with the header ``to``."""
        header = {
            "msg_id": f"{OURS}{uuid.uuid4().hex}",
            "msg_type": msg_type,
            "session": self._session,
            "username": self._username,
            "date": _iso(now),
            "version": "5.3",
        }
        return Message(channel, (header, to, {}, content))

    def idle(self, request: Json, *, now: datetime) -> Message:
        """Return the ``status`` that ends the output of a request."""
        return self.say("iopub", "status", {"execution_state": "idle"}, to=request, now=now)

    def stderr(self, request: Json, text: str, *, now: datetime) -> Message:
        """Return a line on the cell's stderr."""
        return self.say("iopub", "stream", {"name": "stderr", "text": text}, to=request, now=now)

    def reply(self, request: Message, content: Json, *, now: datetime) -> Message:
        """Return the reply to ``request``, on its channel and with the matching type."""
        return self.say(
            request.channel, reply_type(request.msg_type), content, to=request.header, now=now
        )

    def failure(
        self, request: Message, problem: Problem, *, now: datetime, idle: bool = True
    ) -> list[Message]:
        """Return what ends ``request`` with an error; ``idle``: the output's end is owed, too."""
        said = []
        if request.msg_type == "execute_request":
            said.append(self.say("iopub", "error", problem.content, to=request.header, now=now))
        if expects_reply(request):
            said.append(self.reply(request, error_content(request, problem.content), now=now))
        if idle:
            said.append(self.idle(request.header, now=now))
        return said


def probe(subshell: str | None, channel: str, *, session: str, now: datetime) -> Message:
    """Return a request whose answer shows that the kernel has done all that it got before.

    ``subshell`` is the kernel's subshell whose queue is meant; None: the main one.
    """
    header: dict[str, Any] = {
        "msg_id": f"{PROBE}{uuid.uuid4().hex}",
        "msg_type": "kernel_info_request",
        "session": session,
        "username": "elastic-jupyter",
        "date": _iso(now),
        "version": "5.3",
    }
    if subshell is not None:
        header["subshell_id"] = subshell
    return Message(channel, (header, {}, {}, {}))


def expects_reply(request: Message) -> bool:
    """Return whether the kernel replies to it; comm messages only end with ``idle``."""
    return request.msg_type.endswith("_request")


def reply_type(msg_type: str) -> str:
    """Return the type of the reply to a request of this type."""
    return f"{msg_type.removesuffix('_request')}_reply"


def error_content(request: Message, error: Json) -> Json:
    """Return the content of an error reply to ``request``; ``error`` as in ``Problem.content``."""
    content = {"status": "error", **error}
    if request.msg_type == "execute_request":
        content |= {"execution_count": 0, "user_expressions": {}, "payload": []}
    return content


def _iso(now: datetime) -> str:
    return now.isoformat().replace("+00:00", "Z")
