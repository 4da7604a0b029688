"""Front ends that left: their requests, and what is said to them until they come back.

A browser that sleeps, or a notebook server that is replaced, must find its cells ended or running.
So requests that wait for a kernel still get it, and every request gets its answer or a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

import zmq
from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

from elastic_jupyter.gateway.messages import Asked, Header
from elastic_jupyter.gateway.replay import Ring
from elastic_jupyter.gateway.touched import Touched, is_question, opened

if TYPE_CHECKING:
    from elastic_jupyter.gateway.notice import Notice

CHANNELS = ("shell", "control", "stdin")
#: Front ends of one kernel that are remembered.
MAX_PARKED = 8
#: Replies kept for one of them; a front end has few requests in flight.
MAX_REPLIES = 1000


@dataclass
class Parked:
    """One front end that is away.

    ``identity`` is that of its sockets. ``streams`` are to the running kernel, empty while there is
    none; ``iopub_from`` is its place in the kernel's output. ``held`` are requests that wait for a
    kernel, ``unanswered`` those that one has got, by id. ``said`` is what a kernel that has gone
    said to it, as channel and parts. ``failure``, an exception's name and text, is the answer to
    whatever has none. ``sends_again``: what has certainly not run it will send to another gateway.
    """

    identity: bytes
    streams: dict[str, ZMQStream]
    iopub_from: int
    unanswered: dict[str, Header]
    held: list[Asked]
    waiting_for: Header | None
    replies: list[tuple[str, list[bytes]]] = field(default_factory=list)
    said: list[tuple[str, list[bytes]]] = field(default_factory=list)
    failure: tuple[str, str] | None = None
    sends_again: bool = False

    @property
    def executes(self) -> bool:
        """Whether it wants code to be run."""
        running = self.unanswered.values()
        return waits(self.held) or any(one.get("msg_type") == "execute_request" for one in running)

    def listen(self, streams: dict[str, ZMQStream]) -> None:
        """Keep what comes on the streams."""
        self.streams = streams
        for channel, stream in streams.items():
            stream.on_recv(partial(self._keep, channel))

    def _keep(self, channel: str, frames: list[bytes]) -> None:
        if len(self.replies) < MAX_REPLIES:
            self.replies.append((channel, frames))

    def close(self) -> None:
        """Close the streams."""
        close_streams(self.streams)
        self.streams = {}

    def settle(self, ring: Ring, session: Session) -> None:
        """Keep what the kernel has said, since its streams and its output go now."""
        self.said += [("iopub", kept.parts) for kept in ring.since(self.iopub_from)[0]]
        for channel, frames in self.replies:
            if reply := read_reply(session, frames):
                self.unanswered.pop(reply[0], None)
                self.said.append((channel, reply[1]))
        self.replies.clear()
        self.close()


class ParkedFrontEnds:
    """Those of one kernel, by their session's id; the oldest go beyond ``MAX_PARKED``."""

    def __init__(self) -> None:
        self._parked: dict[str, Parked] = {}

    @property
    def listening(self) -> bool:
        """Whether the kernel's output is kept for anybody."""
        return any(parked.streams for parked in self._parked.values())

    @property
    def waiting(self) -> bool:
        """Whether an execution waits for the kernel."""
        return any(waits(parked.held) and not parked.failure for parked in self._parked.values())

    def get(self, session_id: str) -> Parked | None:
        """Return one, which stays."""
        return self._parked.get(session_id)

    def take(self, session_id: str) -> Parked | None:
        """Return one, which is here again."""
        return self._parked.pop(session_id, None)

    def put(self, session_id: str, parked: Parked) -> None:
        """Remember one."""
        if old := self.take(session_id):
            old.close()
        while len(self._parked) >= MAX_PARKED:
            # Of a page that was only looked at nothing is missed.
            oldest = sorted(self._parked, key=lambda one: self._parked[one].executes)[0]
            self._parked.pop(oldest).close()
        self._parked[session_id] = parked

    def fail(self, ename: str, evalue: str) -> None:
        """End what has no answer with an error, but for what a page asks of widgets."""
        for parked in self._parked.values():
            if (parked.unanswered or without_questions(parked.held)) and parked.failure is None:
                parked.failure = (ename, evalue)

    def hand_back(self) -> None:
        """Leave executions that wait to the clients that send them again to the next gateway."""
        for parked in self._parked.values():
            if parked.sends_again and parked.failure is None:
                parked.held = [one for one in parked.held if one.msg_type != "execute_request"]

    def leave(self, notice: Notice) -> None:
        """Leave them a notice about the running kernel that nobody was there to be told."""
        for parked in self._parked.values():
            if parked.streams:
                notice.leave(parked)

    def settle(self, ring: Ring, session: Session) -> None:
        """Let go of the running kernel. Who asked it for nothing is forgotten."""
        for session_id, parked in list(self._parked.items()):
            if not parked.streams:
                continue  # it waits for a kernel
            if parked.unanswered or parked.held:
                parked.settle(ring, session)
            else:
                self._parked.pop(session_id).close()

    def forward(
        self,
        connect: Callable[[str, bytes], ZMQStream],
        session: Session,
        touched: Touched,
        *,
        redirect: Callable[[Asked], Asked],
        iopub_from: int,
    ) -> bool:
        """Give what waited for a kernel to the one that runs now; say whether it is to run code.

        ``connect`` makes a stream of a channel and an identity, ``touched`` goes first;
        ``redirect`` returns a message as this kernel can take it.
        """
        runs = False
        for parked in self._parked.values():
            requests = without_questions(parked.held)
            failed = requests if parked.failure else []
            waited = [asked for asked in parked.held if asked not in failed]
            parked.held = failed
            if not waited:
                continue
            runs = runs or waits(waited)
            if not parked.streams:
                parked.iopub_from = iopub_from
                parked.listen({channel: connect(channel, parked.identity) for channel in CHANNELS})
            for asked in (*touched.take(), *waited):
                if asked.channel in parked.streams:
                    # A page that only looked need not be remembered.
                    if asked in requests and asked.msg_type.endswith("_request"):
                        parked.unanswered[str(asked.header.get("msg_id"))] = asked.header
                    stream = cast("zmq.Socket[bytes]", parked.streams[asked.channel])
                    session.send_raw(stream, redirect(asked).parts)
        return runs


def waits(held: Iterable[Asked]) -> bool:
    """Say whether an execution is among the requests that are held for a kernel."""
    return any(asked.msg_type == "execute_request" for asked in held)


def without_questions(held: list[Asked]) -> list[Asked]:
    """Return the requests that are held for a kernel, but for what a page asks of widgets."""
    comms = opened(held)
    return [asked for asked in held if not is_question(asked, comms)]


def read_reply(session: Session, frames: list[bytes]) -> tuple[str, list[bytes]] | None:
    """Return the id of the request and the parts of a reply; None: its signature is wrong."""
    try:
        _, parts = session.feed_identities(frames)
        message = session.deserialize(parts, content=False)
    except (ValueError, TypeError, KeyError):
        return None
    return message["parent_header"].get("msg_id", ""), cast("list[bytes]", parts[1:])


def close_streams(streams: dict[str, ZMQStream]) -> None:
    """Close ZMQ streams that are still open."""
    for stream in streams.values():
        if not stream.closed():
            stream.on_recv(None)
            stream.close()
