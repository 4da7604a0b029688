"""One browser tab's websocket to one kernel, joined to a websocket of the gateway.

The gateway may go away and come back; the browser's websocket stays open meanwhile. The protocol
with the gateway, on the websocket's URL when it is opened again after a loss:

- ``session_id``: the same as before.
- ``sends_again``: what a gateway hands back as it ends (``elastic_jupyter_handed_back`` on iopub,
  with the execution as its parent) is sent to the next one. So the first URL says, too.
- ``last_msg_id``: the id of the last iopub message of the kernel that arrived here, or empty.
- ``close_code``: the code with which the gateway closed the websocket before, if it did.
- the handshake's answer has ``X-Elastic-Jupyter-Resumed: covered`` when all that iopub said after
  ``last_msg_id`` will be replayed; anything else means that some of it may be lost.
- it has ``X-Elastic-Jupyter-Not-Run-Since`` with the name of the kernel's variables when it has not
  woken since they were saved, or has run nothing of this tab since. What a gateway said that it
  held with these (``elastic_jupyter_held`` on iopub) has not run, and this one does not have it.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

from jupyter_server.gateway.connections import GatewayWebSocketConnection
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.utils import url_path_join
from tornado.escape import url_escape
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import url_concat
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    websocket_connect,
)
from traitlets import Unicode

from elastic_jupyter.notebook import answers
from elastic_jupyter.notebook.answers import Problem, Voice
from elastic_jupyter.notebook.backoff import Backoff
from elastic_jupyter.notebook.frames import Message, decode, encode
from elastic_jupyter.notebook.held import Held
from elastic_jupyter.notebook.ledger import Lane, Ledger
from elastic_jupyter.notebook.rest import CONNECT_TIMEOUT

#: Seconds between pings, and for their answer: a node that vanished is noticed within twice that.
PING_SECONDS = 15.0
#: Seconds for iopub messages to come after the answer to a probe: they travel on another socket.
GRACE = 1.0
#: Seconds after which control requests are settled though the probe has no answer: not every kernel
#: answers questions on that channel.
CONTROL_LIMIT = 4.0
#: Seconds between attempts when the gateway refuses the token.
REFUSED_PAUSES = (5.0, 60.0)
#: Bytes. Tornado's default, 10 MiB, would close the websocket on a larger output. As much as
#: jupyter_server reads for one request (``ServerApp.max_buffer_size``).
MAX_MESSAGE_SIZE = 512 << 20
#: Seconds that the end of a server waits for its websockets.
LEAVING = 3.0
#: The websocket close code by which a browser comes back (RFC 6455, IANA's registry).
SERVICE_RESTART = 1012
RESUMED_HEADER = "X-Elastic-Jupyter-Resumed"
NOT_RUN_SINCE_HEADER = "X-Elastic-Jupyter-Not-Run-Since"


def _now() -> datetime:
    return datetime.now(UTC)


class ElasticGatewayConnection(GatewayWebSocketConnection):
    """Replaces the I/O of ``GatewayWebSocketConnection`` (jupyter_server 2.21.1).

    Overridden: ``connect``, ``disconnect`` and ``handle_incoming_message``, without ``super()``;
    ``close_all`` is called by ``ServerApp`` where there is one.
    Upstream decodes binary frames as text, gives up after five attempts, drops what is sent while
    the gateway is away, leaks the gateway's websocket when the browser leaves during the handshake,
    and forces the legacy protocol.
    """

    # Upstream: "", that is legacy. None lets the browser's handshake choose, as without a gateway.
    kernel_ws_protocol = Unicode(None, allow_none=True, config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._held = Held()
        self._voice = Voice()
        self._ledger: Ledger | None = None
        self._task: asyncio.Task[None] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._problem: Problem | None = None
        self._close_code: int | None = None
        self._was_connected = False

    # -- called by ServerApp

    @classmethod
    async def close_all(cls) -> None:
        """End all websockets in order, when the server ends.

        The gateway's first: it keeps for this tab what the kernel says from then on, and what it
        has written before still arrives at the browser.
        """
        leaving = [asyncio.ensure_future(connection._leave()) for connection in list(_open)]
        if leaving:
            await asyncio.wait(leaving, timeout=LEAVING)

    # -- called by the kernel's manager

    @classmethod
    def interrupt_waiting(cls, kernel_id: str) -> None:
        """End the executions for a kernel that no gateway has: none could end them.

        What a gateway has is not sent again when it is lost, which may be seen only later.
        """
        for connection in list(_open):
            if connection.kernel_id == kernel_id:
                connection._interrupt_waiting()

    # -- called by KernelWebsocketHandler

    async def connect(self) -> None:
        """Start to reach the gateway, for as long as the browser stays; returns at once."""
        self.websocket_handler.set_nodelay(True)
        _open.add(self)
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    # Upstream's base class declares a coroutine, but its handler and all its classes do not await.
    def disconnect(self) -> None:  # type: ignore[override]
        """Handle the browser's leaving: end the gateway's websocket, also one not open yet."""
        self.disconnected = True
        _open.discard(self)
        if len(self._held):
            self.log.info(
                "The browser left while %d messages waited for the gateway", len(self._held)
            )
        if self._task is not None:
            self._task.cancel()

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Pass a frame of the browser on, or hold it while the gateway is away."""
        if self._problem is not None:
            self._answer(incoming_msg, self._problem)
        elif len(self._held) or not self._send(incoming_msg):
            self._hold(incoming_msg)

    # -- to the gateway

    @property
    def _requests(self) -> Ledger:
        # Not made in __init__: the handler sets the session's id after it.
        if self._ledger is None:
            self._ledger = Ledger(self._voice, session=self.session_id)
        return self._ledger

    @property
    def _browser_protocol(self) -> str | None:
        protocol: str | None = self.websocket_handler.selected_subprotocol
        return protocol

    def _send(self, frame: str | bytes) -> bool:
        """Write a frame of the browser to the gateway; False when that cannot be done now."""
        ws = self.ws
        if ws is None or ws.protocol is None or ws.protocol.is_closing():
            return False
        try:
            message = decode(frame, self._browser_protocol)
        except ValueError as error:
            self.log.warning("A frame of the browser was dropped: %s", error)
            return True
        # Before the write: what may have reached the kernel is never taken for unsent.
        self._requests.sent(message)
        if ws.selected_subprotocol != self._browser_protocol:
            frame = encode(message, ws.selected_subprotocol)
        self._write_to_gateway(ws, frame)
        return True

    def _send_own(self, messages: tuple[Message, ...] | list[Message]) -> None:
        ws = self.ws
        for message in messages:
            if ws is not None and ws.protocol is not None:
                self._write_to_gateway(ws, encode(message, ws.selected_subprotocol))

    def _write_to_gateway(self, ws: WebSocketClientConnection, frame: str | bytes) -> None:
        with contextlib.suppress(WebSocketClosedError):  # the reader sees the end, too
            written = ws.write_message(frame, binary=isinstance(frame, bytes))
            written.add_done_callback(_ignore_closed)

    def _hold(self, frame: str | bytes) -> None:
        if not self._held.add(frame):
            self._answer(frame, answers.away(waiting=len(self._held)))

    def _interrupt_waiting(self) -> None:
        problem = answers.interrupted()
        self._requests.interrupted()
        self._say(self._requests.abandon_handed_back(problem, now=_now()))
        for frame in self._held.take(self._executes):
            self._answer(frame, problem)

    def _executes(self, frame: str | bytes) -> bool:
        with contextlib.suppress(ValueError):
            return decode(frame, self._browser_protocol).msg_type == "execute_request"
        return False

    def _flush(self) -> None:
        while len(self._held) and self._send(self._held.first()):
            self._held.pop()

    # -- to the browser

    def _answer(self, frame: str | bytes, problem: Problem) -> None:
        """End a request that goes nowhere."""
        try:
            message = decode(frame, self._browser_protocol)
        except ValueError:
            return
        if message.channel in ("shell", "control"):
            self._say(self._voice.failure(message, problem, now=_now()))

    def _say(self, messages: tuple[Message, ...] | list[Message]) -> None:
        for message in messages:
            frame = encode(message, self._browser_protocol)
            with contextlib.suppress(WebSocketClosedError):  # the browser left
                written = self.websocket_handler.write_message(
                    frame, binary=isinstance(frame, bytes)
                )
                written.add_done_callback(_ignore_closed)

    def _fail_all(self, problem: Problem) -> None:
        self._say(self._requests.abandon(problem, now=_now()))
        while len(self._held):
            self._answer(self._held.pop(), problem)

    # -- the life of the gateway's websocket

    async def _leave(self) -> None:
        self.disconnected = True
        if self.ws is not None:
            self.ws.close()  # its reader goes on until the gateway has said its last
        elif self._task is not None:
            self._task.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})
        self._say(self._requests.abandon_handed_back(answers.ending(), now=_now()))
        while len(self._held):
            self._answer(self._held.pop(), answers.ending())
        self.websocket_handler.close(SERVICE_RESTART, "the notebook server ends")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.log.error("The connection to the gateway failed", exc_info=error)
            # An open websocket that leads nowhere would be a cell that hangs.
            self.websocket_handler.close(1011, "internal error")

    async def _run(self) -> None:
        """Keep a websocket to the gateway until the browser leaves or the kernel is gone."""
        pauses = Backoff()
        slow = Backoff(shortest=REFUSED_PAUSES[0], longest=REFUSED_PAUSES[1])
        while not self.disconnected:
            pause = pauses
            try:
                ws = await self._dial()
            except HTTPClientError as error:
                if error.code == 404 and await self._kernel_is_gone():
                    self._give_up()
                    return
                if error.code in (401, 403):
                    self._refuse(error.code)
                    pause = slow
                self.log.info("The gateway does not accept a websocket: %s", error)
            except (OSError, WebSocketError) as error:
                self.log.info("The gateway cannot be reached: %s", error)
            else:
                self._problem = None
                if await self._serve(ws):
                    pauses.reset()
                    slow.reset()
                self.log.info("The gateway's websocket ended (code %s)", self._close_code)
            if not self.disconnected:
                await asyncio.sleep(pause.next())

    async def _dial(self) -> WebSocketClientConnection:
        client = GatewayClient.instance()
        endpoint = url_path_join(
            client.ws_url or "", client.kernels_endpoint, url_escape(self.kernel_id), "channels"
        )
        query = {"session_id": self.session_id, "sends_again": "true"}
        if self._was_connected:
            query["last_msg_id"] = self._requests.last_msg_id
            if self._close_code is not None:
                query["close_code"] = str(self._close_code)
        arguments = {**client.load_connection_args(), "connect_timeout": CONNECT_TIMEOUT}
        protocol = self._browser_protocol
        opening = asyncio.ensure_future(
            websocket_connect(
                HTTPRequest(url_concat(endpoint, query), **arguments),
                subprotocols=[protocol] if protocol else None,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                max_message_size=MAX_MESSAGE_SIZE,
            )
        )
        try:
            # Tornado goes on with a handshake whose future was cancelled, and nobody would own
            # the websocket then: it is awaited behind a shield, and closed when it comes.
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise

    async def _serve(self, ws: WebSocketClientConnection) -> bool:
        """Pass messages both ways until the websocket ends; return whether any came."""
        assert ws.protocol is not None
        assert ws.headers is not None
        ws.protocol.set_nodelay(True)
        covered = ws.headers.get(RESUMED_HEADER) == "covered"
        not_run_since = ws.headers.get(NOT_RUN_SINCE_HEADER)
        protocol = ws.selected_subprotocol
        self.ws = ws
        self._was_connected = True
        alive = False
        try:
            self._return(covered=covered, not_run_since=not_run_since)
            while (frame := await ws.read_message()) is not None:
                alive = True
                await self._receive(frame, protocol)
        except WebSocketClosedError:
            self.log.debug("The browser left")
        finally:
            self.ws = None
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self._requests.lost(now=_now())
            self._close_code = ws.close_code
            _close(ws)
        return alive

    def _return(self, *, covered: bool, not_run_since: str | None) -> None:
        """Settle what the gap left open; then what was held goes its way."""
        again = self._requests.to_send_again(not_run_since=not_run_since)
        self._say(self._requests.clear_waiting(again, now=_now()))
        probes = self._requests.returned(covered=covered, now=_now())
        self._send_own([*probes, *again])
        self._flush()
        if probes:
            self._later(GRACE, lambda: self._say(self._requests.still_running(now=_now())))
        for probe in probes:
            if probe.channel == "control":
                lane = Lane("control", probe.header.get("subshell_id"))
                self._later(CONTROL_LIMIT, lambda lane=lane: self._settle(lane, final=True))

    async def _receive(self, frame: str | bytes, protocol: str | None) -> None:
        try:
            message = decode(frame, protocol)
        except ValueError as error:
            self.log.warning("A frame of the gateway was dropped: %s", error)
            return
        verdict = self._requests.received(message, now=_now())
        self._say(verdict.before)
        if verdict.forward:
            if protocol != self._browser_protocol:
                frame = encode(message, self._browser_protocol)
            # Awaited, so that a slow browser slows the gateway down instead of filling our memory.
            await self.websocket_handler.write_message(frame, binary=isinstance(frame, bytes))
        if verdict.answered is not None:
            self._settle(verdict.answered, final=False)

    def _settle(self, lane: Lane, *, final: bool) -> None:
        settlement = self._requests.settle(lane, final=final, now=_now())
        self._say(settlement.to_browser)
        self._send_own(settlement.to_kernel)
        if settlement.open and not final:
            self._later(GRACE, lambda: self._settle(lane, final=True))

    def _later(self, seconds: float, do: Any) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, do))

    # -- the gateway says no

    async def _kernel_is_gone(self) -> bool:
        """Ask once more: a proxy in between may say 404 while it has no gateway behind it."""
        try:
            model = await self.kernel_manager.refresh_model()
        except Exception as error:
            self.log.info("The gateway cannot be asked for kernel %s: %s", self.kernel_id, error)
            return False
        return model is None

    def _give_up(self) -> None:
        self.log.warning("The gateway has no kernel %s any more", self.kernel_id)
        self._problem = answers.gone(self.kernel_id)
        self._fail_all(self._problem)
        self.multi_kernel_manager.remove_kernel(self.kernel_id)
        self.websocket_handler.close(1001, "the kernel is gone")

    def _refuse(self, code: int) -> None:
        if self._problem is None:
            self.log.error("The gateway refuses this notebook server's token (HTTP %d)", code)
            self._problem = answers.refused(code)
            self._fail_all(self._problem)


def _ignore_closed(written: "asyncio.Future[None]") -> None:
    """Fetch the outcome of a write nobody waits for; its reader sees a closed websocket."""
    if not written.cancelled():
        written.exception()


def _close_late(opening: "asyncio.Future[WebSocketClientConnection]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())


_open: set[ElasticGatewayConnection] = set()
_closing: set["asyncio.Task[None]"] = set()


def _close(ws: WebSocketClientConnection) -> None:
    """Close a websocket and read it to its end.

    An unread message would hold back the other end's close frame, so that the socket stays for
    tornado's 5 s, and the task that cannot hand it over for ever.
    """

    async def read_to_the_end() -> None:
        while await ws.read_message() is not None:
            pass

    ws.close()
    task = asyncio.create_task(read_to_the_end())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
