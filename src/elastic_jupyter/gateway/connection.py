"""One websocket of a front end, which stays open while the kernel comes and goes.

Requests sent while there is no kernel are held in order; what can be answered without one is.
Nobody is told ``restarting`` or ``dead``, at which front ends drop what they wait for. One waiting
text is updated in place and cleared before the output; an interrupt cancels the claim.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.websocket import WebSocketClosedError
from traitlets import default

from elastic_jupyter.gateway import messages
from elastic_jupyter.gateway.messages import Asked, Said
from elastic_jupyter.gateway.parked import (
    CHANNELS,
    Parked,
    close_streams,
    read_reply,
    waits,
    without_questions,
)
from elastic_jupyter.gateway.touched import Answers, is_of_comm, is_question, opened
from elastic_jupyter.policy import notices

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: Requests held for one websocket; beyond it a request is refused with an error.
MAX_HELD = 1000
#: Seconds for the answer to a first question. Others wait as long.
HEARD_WITHIN = 2.0
#: The close code of an orderly end, after which the client finds all output in the next gateway.
SERVICE_RESTART = 1012
#: Close code of a websocket whose notebook is not served any more (RFC 6455, 7.4.1).
POLICY_VIOLATION = 1008


class ElasticConnection(ZMQChannelsWebsocketConnection):
    """Overrides the upstream connection (jupyter_server 2.21) from ``prepare`` to ``disconnect``.

    Upstream waits for the kernel during the handshake and opens a subscription per websocket; here
    the handshake is accepted at once and iopub comes from the kernel's shared ``IOPub``.
    """

    @default("kernel_info_timeout")
    def _default_kernel_info_timeout(self) -> float:
        return 0.0

    @default("session")
    def _default_session(self) -> Session:
        return Session(digest_history_size=1024)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held: list[Asked] = []
        self._answers = Answers()
        self._unanswered: dict[str, messages.Header] = {}
        self._waiting_for: messages.Header | None = None
        self._attached = False
        self._turned_away = False
        self._told_starting = False
        #: Since when it holds an execution, by the loop's time.
        self.waits_since = 0.0

    @property
    def manager(self) -> ElasticKernelManager:
        """The kernel behind this websocket."""
        return cast("ElasticKernelManager", self.parent)

    @property
    def executes(self) -> bool:
        """Whether the kernel has an execution of this front end that it has not answered."""
        return any(
            header.get("msg_type") == "execute_request" for header in self._unanswered.values()
        )

    @property
    def waits(self) -> bool:
        """Whether it holds an execution for a kernel that is not there."""
        return waits(self.held)

    # -- life of the websocket

    async def prepare(self) -> None:
        """Accept the handshake at once; say whether a returning front end gets all it missed."""
        await self._register_session()  # type: ignore[no-untyped-call]
        for other in list(self.manager.connections):
            if other.session_id == self.session_id:  # of it the end comes late, or never
                other.disconnect()
        if self._returns():
            covered = self.manager.returning.covers(
                self.session_id, self._last_msg_id(), self._orderly()
            )
            self.websocket_handler.set_header(
                "X-Elastic-Jupyter-Resumed", "covered" if covered else "gap"
            )
            variables = self.manager.returning.not_run_since(self.session_id)
            if variables is not None:
                self.websocket_handler.set_header("X-Elastic-Jupyter-Not-Run-Since", variables)

    async def connect(self) -> None:  # type: ignore[override]  # upstream: a Future
        """Take part in the kernel's messages, now or when it runs."""
        self.multi_kernel_manager.notify_connect(self.kernel_id)
        ZMQChannelsWebsocketConnection._open_sockets.add(self)
        self.manager.connections.add(self)
        self.manager.returning.serve(self.session_id)
        if self.manager.mapping.unserved.include(self.manager):  # since the handshake began
            self.turn_away()
            return
        self.manager.front_ends.tell(self)
        missed = self.manager.returning.missed_by(self)
        parked = self.manager.parked.take(self.session_id)
        if parked is not None:
            self._take_up(parked)
        if self.manager.iopub is not None:
            self.attach(missed, parked)
        elif self.waits:
            self.manager.want()
            self.show_waiting(self.manager.waiting_text)
        elif self.manager.execution_state == "starting" and not self._returns():
            # JupyterLab else shows "Unknown", as without a server, for as long as this waits.
            self._told_starting = True
            self.say({}, messages.STARTING)

    def _take_up(self, parked: Parked) -> None:
        """Go on with the requests that this front end sent before it left."""
        self._unanswered, self.held = parked.unanswered, parked.held
        self._waiting_for = parked.waiting_for
        if parked.said:
            self._clear_waiting()
        for channel, parts in parked.said:
            self._write(channel, parts)
        if parked.failure:
            self.fail(*parked.failure)
        self.tell_held(self.held)

    async def reach(self) -> None:
        """Connect to a kernel that has just started, and return when it hears this front end.

        What is sent over a connection that is still being made is overtaken by others'. A kernel
        that is silent for ``HEARD_WITHIN`` is not waited for.
        """
        heard = asyncio.Event()
        self._connect_channels()
        stream = self.channels["shell"]
        stream.on_recv(lambda _: heard.set())
        new_session(self.manager.session.key).send(stream, "kernel_info_request")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), HEARD_WITHIN)

    def _connect_channels(self) -> None:
        self.channels = {
            channel: self.manager.connect_channel(channel, self.session.bsession)
            for channel in CHANNELS
        }

    def attach(self, missed: list[list[bytes]] | None = None, parked: Parked | None = None) -> None:
        """Connect to the running kernel: what was missed, then the held requests in order."""
        iopub = self.manager.iopub
        if iopub is None or self._attached:
            return
        self.session.key = self.manager.session.key
        if parked is not None and parked.streams:
            self.channels = parked.streams
        elif not self.channels:
            self._connect_channels()
        self._attached = True
        if self._told_starting and self._waiting_for is None:
            self.say({}, messages.BUSY if self.manager.busy else messages.IDLE)
        self._told_starting = False
        self._clear_waiting()
        for header in self._unanswered.values():
            if header.get("msg_type") == "execute_request":
                self.manager.notice.tell(self, header)
        for parts in missed or []:
            self.on_iopub(parts)
        for channel, frames in parked.replies if parked else []:
            self._on_reply(channel, frames)
        for channel, stream in self.channels.items():
            stream.on_recv(partial(self._on_reply, channel))
        iopub.listeners.add(self)
        if not self.manager.hibernation.saves:
            self.forward_held()

    def detach(self) -> None:
        """Leave the kernel; requests are held from now on."""
        self._attached = False
        if self.manager.iopub is not None:
            self.manager.iopub.listeners.discard(self)
        close_streams(self.channels)
        self.channels = {}

    def disconnect(self) -> None:  # type: ignore[override]  # as upstream, unlike its base
        """Handle the end of the websocket; keep replies for this front end's return.

        May be called before that end is known, which calls it again.
        """
        if self._open_sessions.get(self.session_key) is self.websocket_handler:
            self._open_sessions.pop(self.session_key)
        if self not in self.manager.connections:
            return
        self.multi_kernel_manager.notify_disconnect(self.kernel_id)
        self.manager.connections.discard(self)
        self.manager.notice.leave_untold(self)
        ZMQChannelsWebsocketConnection._open_sockets.discard(self)
        if not self._close_future.done():
            self._close_future.set_result(None)
        left = Parked(
            identity=self.session.bsession,
            streams=self.channels,
            iopub_from=0,
            unanswered=self._unanswered,
            held=[asked for asked in self.held if self._is_kept(asked)],
            waiting_for=self._waiting_for,
            sends_again=self._sends_again,
        )
        if self._attached and self.manager.iopub is not None:
            self._attached = False
            self.manager.iopub.listeners.discard(self)
            self.channels = {}
            self.manager.returning.park(self.session_id, left)
        else:
            self.detach()
            left.streams = {}  # they may just have been made
            if left.held:
                self.manager.returning.park(self.session_id, left)

    def _is_kept(self, asked: Asked) -> bool:
        """Say whether a request waits on for a front end that left."""
        if asked.msg_type != "execute_request":
            return not messages.is_probe(asked.header)
        # Else the next gateway has its client send it again, and it would run twice.
        stays = not (self._sends_again and self.manager.mapping.hands_over)
        return stays or self.manager.returning.not_run_since(self.session_id) is None

    def close_for_restart(self) -> None:
        """End the websocket so that the client comes back to the gateway that took over.

        Executions that wait are known to nobody else, and have certainly not run.
        """
        self._turned_away = not self._attached  # a client may send on for a while
        if self._sends_again:
            self._hand_back()
        if self.waits:
            self.fail(
                "GatewayRestarting",
                "The gateway was replaced while this waited for its kernel. It did not run: run it "
                "again.",
            )
        self.websocket_handler.close(SERVICE_RESTART, "handover")

    def _hand_back(self) -> None:
        """Leave executions that wait to a client which gives them to the next gateway."""
        self._clear_waiting()
        waiting = [asked for asked in self.held if asked.msg_type == "execute_request"]
        for asked in waiting:
            self.say(asked.header, messages.HANDED_BACK)
        self.held = [asked for asked in self.held if asked not in waiting]

    def turn_away(self) -> None:
        """End the websocket of a notebook that is not served any more; no cell comes after it."""
        self._turned_away = True  # a client may send on for a while
        if self.held:
            self.fail("NotServed", "The gateway does not serve this notebook any more.")
        self.websocket_handler.close(POLICY_VIOLATION, "the notebook is not served")

    # -- from the front end

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Pass a request on, answer it, or hold it."""
        if self._turned_away or self not in self.manager.connections:
            return
        try:
            asked = messages.parse(incoming_msg, self.subprotocol)
        except ValueError as error:
            self.log.warning("a websocket frame was dropped: %s", error)
            return
        if self.manager.front_ends.takes(asked):
            self.manager.spawn(self.manager.front_ends.answer(self, asked))
            return
        if asked.msg_type == "kernel_info_request":
            self.manager.front_ends.tell(self)
        if self._attached and not self._holds(asked):
            self._forward(asked)
            return
        answer = self.manager.answer_asleep(asked.header)
        question = self.manager.awaits_comms and is_question(asked, opened(self.held))
        probe = messages.is_probe(asked.header)
        behind = {"execute_request"}
        if asked.msg_type == "comm_info_request":
            behind.add("comm_open")
        # The order is that of a channel: nobody waits for a debugger that waits for a kernel.
        queues = any(
            held.channel == asked.channel and (probe or held.msg_type in behind)
            for held in self.held
        )
        if answer is not None and not question and not queues:
            self.say(asked.header, *answer)
            return
        if answer is not None and asked.msg_type == "kernel_info_request" and not probe:
            # Front ends stop waiting for it after a few seconds, so it does not queue.
            self.say(asked.header, *answer)
            return
        if is_of_comm(asked) and (self.manager.asleep or self.manager.hibernation.saves):
            if not self.waits and not question:
                now = asyncio.get_running_loop().time()
                sleeps = self.manager.sleeps
                kept = sleeps and self.manager.touched.keep(asked)
                said = self._answers.to(asked, sleeps=sleeps, kept=kept, now=now)
                self.say(asked.header, *said)
                return
        elif not (is_of_comm(asked) or asked.msg_type.endswith("_request")):
            return  # it has nobody to go to
        if len(self.held) >= MAX_HELD:
            self.say(
                asked.header,
                *messages.failure(asked.header, "TooManyRequests", "the kernel is not there yet"),
            )
            return
        if asked.msg_type == "execute_request" and not self.waits:
            self.waits_since = asyncio.get_running_loop().time()
        self.held.append(asked)
        if asked.msg_type == "execute_request":
            self.say(asked.header, messages.BUSY)
            self.tell_held([asked])
            self.manager.hibernation.cancel()
            self.manager.want()
            self.show_waiting(self.manager.waiting_text)

    def tell_held(self, held: list[Asked]) -> None:
        """Tell a client that sends executions again with which variables these will run."""
        variables = self.manager.variables
        if not self._sends_again or variables is None:
            return
        for asked in held:
            if asked.msg_type == "execute_request":
                self.say(asked.header, messages.held(variables))

    def _holds(self, asked: Asked) -> bool:
        """Say whether a request waits for the end of a save, in which nothing runs."""
        waits = asked.msg_type in ("execute_request", "comm_info_request") or is_of_comm(asked)
        return bool(self.held or self.manager.touched) or (self.manager.hibernation.saves and waits)

    def forward_held(self) -> None:
        """Pass on what was held while the kernel's variables were saved, in order."""
        if not self._attached:
            return
        self._clear_waiting()
        held, self.held = [*self.manager.touched.take(), *self.held], []
        for asked in held:
            self._forward(asked)

    def _forward(self, asked: Asked) -> None:
        stream = self.channels.get(asked.channel)
        if stream is None:
            self.log.warning("a message for the unknown channel %r was dropped", asked.channel)
            return
        asked = self.manager.subshells.redirect(asked)
        if asked.channel != "stdin" and asked.msg_type.endswith("_request"):
            self._unanswered[str(asked.header.get("msg_id"))] = asked.header
        if asked.msg_type == "execute_request":
            self.manager.notice.tell(self, asked.header)
            self.manager.touch()
            if self.manager.facts and self.manager.facts.disturbance:
                self.say(
                    asked.header,
                    messages.notice(notices.disturbed(self.manager.facts.disturbance)),
                )
        self.session.send_raw(stream, asked.parts)

    # -- to the front end

    def on_iopub(self, parts: list[bytes]) -> None:
        """Pass on one message of the shared subscription."""
        self._write("iopub", parts)

    def _on_reply(self, channel: str, frames: list[bytes]) -> None:
        reply = read_reply(self.session, frames)
        if reply is None:
            self.log.warning("a reply with a wrong signature was dropped")
            return
        self._unanswered.pop(reply[0], None)
        if channel == "control":
            self.manager.subshells.hear(reply[1])
        self._write(channel, reply[1])
        self.manager.release_if_asked()

    def say(self, parent: messages.Header, *said: Said) -> None:
        """Send messages in the kernel's name, as answers to ``parent``."""
        for one in said:
            parts = messages.build(one, parent=parent, kernel_session=self.manager.kernel_session)
            self._write(one.channel, parts)

    def _write(self, channel: str, parts: list[bytes]) -> None:
        handler = self.websocket_handler
        if handler is None or handler.ws_connection is None:
            return
        framed = messages.frame(channel, parts, self.subprotocol)
        try:
            handler.write_message(framed, binary=isinstance(framed, bytes))
        except WebSocketClosedError:
            self.log.debug("a message came after the websocket's end")

    def show_waiting(self, text: str) -> None:
        """Show what the first held execution waits for."""
        first = next((a.header for a in self.held if a.msg_type == "execute_request"), None)
        if first is None:
            return
        update = self._waiting_for is not None
        self._waiting_for = first if self._waiting_for is None else self._waiting_for
        request_id = str(self._waiting_for["msg_id"])
        self.say(self._waiting_for, messages.waiting(text, request_id=request_id, update=update))

    def _clear_waiting(self) -> None:
        if self._waiting_for is not None:
            self.say(self._waiting_for, messages.CLEAR_WAITING)
            self._waiting_for = None

    def warn(self, text: str) -> None:
        """Show a line in every cell that runs."""
        for header in self._unanswered.values():
            if header.get("msg_type") == "execute_request":
                self.say(header, messages.notice(text))

    def fail(self, ename: str, evalue: str) -> None:
        """End every request that the kernel will not answer any more.

        What a page asks of widgets waits on, where they come back with a later wake.
        """
        self._clear_waiting()
        failed = without_questions(self.held) if self.manager.awaits_comms else [*self.held]
        if self.manager.sleeps:
            for asked in failed:
                if is_of_comm(asked):  # a touch while it woke
                    self.manager.touched.keep(asked)
        headers = [*self._unanswered.values(), *(asked.header for asked in failed)]
        self._unanswered.clear()
        self.held = [asked for asked in self.held if asked not in failed]
        for header in headers:
            self.say(header, *messages.failure(header, ename, evalue))

    def fail_unanswered(self, ename: str, evalue: str) -> None:
        """End the executions that the kernel got and will not answer any more."""
        for msg_id, header in list(self._unanswered.items()):
            if header.get("msg_type") == "execute_request":
                del self._unanswered[msg_id]
                self.say(header, *messages.failure(header, ename, evalue))

    # -- the client's words about itself and its return (query of the websocket's URL)

    @property
    def _sends_again(self) -> bool:
        return self.websocket_handler.get_argument("sends_again", None) == "true"

    def _returns(self) -> bool:
        return self.websocket_handler.get_argument("last_msg_id", None) is not None

    def _last_msg_id(self) -> str:
        return str(self.websocket_handler.get_argument("last_msg_id", None) or "")

    def _orderly(self) -> bool:
        code = self.websocket_handler.get_argument("close_code", None)
        return bool(code == str(SERVICE_RESTART))

    @property
    def resume_point(self) -> str | None:
        """The last iopub message that a returning front end has seen; None: it did not say."""
        return self._last_msg_id() if self._returns() else None

    @property
    def orderly(self) -> bool:
        """Whether the previous gateway ended its websocket on purpose, output complete."""
        return self._orderly()


def new_session(key: bytes) -> Session:
    """Return a session that signs with ``key``; 1,024 digests are enough against a replay."""
    return Session(key=key, digest_history_size=1024)
