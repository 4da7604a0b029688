"""What stands around the extension in tests: real servers, a relay to cut, a scripted gateway."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import url_concat
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketHandler,
    websocket_connect,
)

import elastic_jupyter.notebook
from tests.support.ports import free_port

V1 = "v1.kernel.websocket.jupyter.org"
TOKEN = "secret"
DATA_FILE = Path(elastic_jupyter.notebook.__file__).parent / (
    "jupyter-config/elastic_jupyter_notebook.json"
)
Message = dict[str, Any]


def pack(message: Message, protocol: str | None) -> str | bytes:
    """Return the frame of a message, by jupyter_server's own functions."""
    buffers = message.get("buffers", [])
    if protocol == V1:
        parts = [
            json.dumps(message[part]).encode()
            for part in ("header", "parent_header", "metadata", "content")
        ]
        framed: bytes = serialize_msg_to_ws_v1([*parts, *buffers], message["channel"])
    elif buffers:
        framed = serialize_binary_message(message)
    else:
        return json.dumps(message)
    return framed


def unpack(frame: str | bytes, protocol: str | None) -> Message:
    """Return the message in a frame, by jupyter_server's own functions."""
    if protocol == V1:
        channel, (header, parent, metadata, content, *buffers) = deserialize_msg_from_ws_v1(frame)
        return {
            "channel": channel,
            "header": json.loads(header),
            "parent_header": json.loads(parent),
            "metadata": json.loads(metadata),
            "content": json.loads(content),
            "buffers": buffers,
        }
    message: Message = (
        deserialize_binary_message(frame) if isinstance(frame, bytes) else json.loads(frame)
    )
    return message


def message(
    msg_type: str,
    content: Message,
    *,
    channel: str = "shell",
    parent: Message | None = None,
    buffers: list[bytes] | None = None,
    session: str = "browser",
) -> Message:
    """Return a message with a new id."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": msg_type,
        "session": session,
        "username": "someone",
        "date": "2026-01-01T00:00:00.000000Z",
        "version": "5.3",
    }
    return {
        "channel": channel,
        "header": header,
        "msg_id": header["msg_id"],
        "msg_type": msg_type,
        "parent_header": parent or {},
        "metadata": {},
        "content": content,
        "buffers": buffers or [],
    }


def execution(code: str) -> Message:
    """Return an execute_request."""
    content = {"code": code, "silent": False, "store_history": True, "stop_on_error": True}
    return message("execute_request", content)


class Server:
    """A `jupyter server` process on the loopback. Its log is printed when the test fails."""

    def __init__(self) -> None:
        self.port = 0
        self.log: list[str] = []
        #: Tell the process to end (SIGTERM).
        self.terminate: Callable[[], None]
        self._logged = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, home: Path, *arguments: str) -> AsyncIterator["Server"]:
        """Start a server with ``home`` as its files and configuration, and stop it at the end."""
        self = cls()
        config = home / "config" / "jupyter_server_config.d"
        config.mkdir(parents=True, exist_ok=True)
        # Installed beside us, slow to load and of no interest here.
        others = ("jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim")
        (config / "others.json").write_text(
            json.dumps({"ServerApp": {"jpserver_extensions": dict.fromkeys(others, False)}})
        )
        env = {name: value for name, value in os.environ.items() if "JUPYTER" not in name}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            f"--ServerApp.root_dir={home}",
            f"--IdentityProvider.token={TOKEN}",
            *arguments,
            env={
                **env,
                "JUPYTER_PREFER_ENV_PATH": "0",
                "JUPYTER_CONFIG_DIR": str(home / "config"),
                "JUPYTER_DATA_DIR": str(home / "data"),
                "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
                "IPYTHONDIR": str(home / "ipython"),
            },
            stderr=asyncio.subprocess.PIPE,
        )
        self.terminate = process.terminate
        reader = asyncio.create_task(self._read(process))
        try:
            url = await self.logs(r"http://127\.0\.0\.1:(\d+)/", within=30)
            self.port = int(url[1])
            await self._listens()
            yield self
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            await reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            async with self._logged:
                self.log.append(line.decode(errors="replace"))
                self._logged.notify_all()

    async def _listens(self) -> None:
        """Wait for the server's port: it names it before it opens it, and says nothing then."""
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)  # paces the looks
                else:
                    writer.close()
                    return

    async def logs(self, pattern: str, *, since: int = 0, within: float = 10) -> re.Match[str]:
        """Wait for a line of the log that matches, the first after line ``since``."""

        def found() -> re.Match[str] | None:
            return next((m for line in self.log[since:] if (m := re.search(pattern, line))), None)

        try:
            async with asyncio.timeout(within), self._logged:
                match = await self._logged.wait_for(found)
        except TimeoutError:
            raise AssertionError(f"{pattern!r} not logged:\n{''.join(self.log)}") from None
        assert match is not None
        return match

    async def rest(self, method: str, where: str, /, **body: Any) -> HTTPResponse:
        """Call ``/api/<where>`` and return the answer, also of an error."""
        return await AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{self.port}/api/{where}",
            method=method,
            headers={"Authorization": f"token {TOKEN}"},
            body=json.dumps(body) if method in ("POST", "PATCH") else None,
            request_timeout=40,
            raise_error=False,
        )

    async def start_kernel(self) -> str:
        """Start a kernel and return its id."""
        answer = await self.rest("POST", "kernels", name="python3")
        assert answer.code == 201, (answer.body, self.log[-20:])
        kernel_id: str = json.loads(answer.body)["id"]
        return kernel_id

    @contextlib.asynccontextmanager
    async def tab(
        self, kernel_id: str, protocol: str | None = V1, *, session: str | None = None
    ) -> AsyncIterator["Tab"]:
        """Open the websocket of a browser tab, and close it at the end.

        ``session`` is that of a tab that comes back.
        """
        session = session or uuid.uuid4().hex
        ws = await websocket_connect(
            HTTPRequest(
                url_concat(
                    f"ws://127.0.0.1:{self.port}/api/kernels/{kernel_id}/channels",
                    {"session_id": session},
                ),
                headers={"Authorization": f"token {TOKEN}"},
            ),
            subprotocols=[protocol] if protocol else None,
        )
        assert ws.selected_subprotocol == protocol
        tab = Tab(ws, protocol, session)
        try:
            yield tab
        finally:
            await tab.close()


class Tab:
    """A browser tab: what it sent and what it received."""

    def __init__(self, ws: WebSocketClientConnection, protocol: str | None, session: str) -> None:
        self.ws = ws
        self.protocol = protocol
        self.session = session
        self.inbox: list[Message] = []
        self.closed = False

    async def send(self, request: Message) -> str:
        """Send a message and return its id."""
        frame = pack(request, self.protocol)
        await self.ws.write_message(frame, binary=isinstance(frame, bytes))
        msg_id: str = request["header"]["msg_id"]
        return msg_id

    async def execute(self, code: str) -> str:
        """Send a cell and return the request's id."""
        return await self.send(execution(code))

    async def until(self, want: Callable[[], object], *, within: float = 20) -> None:
        """Receive until ``want`` holds."""
        try:
            async with asyncio.timeout(within):
                while not want():
                    frame = await self.ws.read_message()
                    if frame is None:
                        self.closed = True
                        assert want(), f"the websocket was closed\n{self.transcript()}"
                        return
                    self.inbox.append(unpack(frame, self.protocol))
        except TimeoutError:
            raise AssertionError(f"not within {within} s\n{self.transcript()}") from None

    async def until_closed(self, *, within: float = 20) -> None:
        """Receive until the server has closed the websocket."""
        async with asyncio.timeout(within):
            while (frame := await self.ws.read_message()) is not None:
                self.inbox.append(unpack(frame, self.protocol))
        self.closed = True

    async def ended(self, msg_id: str, *, within: float = 20) -> dict[str, Any]:
        """Wait for reply and idle of a cell; return the reply's content."""

        def both() -> bool:
            return bool(self.of(msg_id, "execute_reply")) and "idle" in self.states(msg_id)

        await self.until(both, within=within)
        content: dict[str, Any] = self.of(msg_id, "execute_reply")[0]["content"]
        return content

    def of(self, msg_id: str, msg_type: str | None = None) -> list[Message]:
        """The messages received for a request."""
        return [
            one
            for one in self.inbox
            if one["parent_header"].get("msg_id") == msg_id
            and msg_type in (None, one["header"]["msg_type"])
        ]

    def states(self, msg_id: str) -> list[str]:
        """The execution states received for a request."""
        return [one["content"]["execution_state"] for one in self.of(msg_id, "status")]

    def text(self, msg_id: str, name: str = "stdout") -> str:
        """What a cell printed."""
        streams = self.of(msg_id, "stream")
        return "".join(s["content"]["text"] for s in streams if s["content"]["name"] == name)

    def transcript(self) -> str:
        """The last messages, one a line."""
        return "\n".join(
            f"{one['channel']} {one['header']['msg_type']} "
            f"for {one['parent_header'].get('msg_id')}: {str(one['content'])[:300]}"
            for one in self.inbox[-30:]
        )

    def drop(self) -> None:
        """End the TCP connection, as a browser that crashes."""
        assert self.ws.protocol is not None
        self.ws.protocol.stream.close()

    async def close(self) -> None:
        """Close the websocket and wait for its end."""
        self.ws.close()
        while not self.closed:
            self.closed = await self.ws.read_message() is None


class Relay:
    """A TCP connection between notebook server and gateway that can be cut."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def restore(self) -> None:
        """Accept connections (again)."""
        self._listener = await asyncio.start_server(self._join, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Drop all connections and refuse new ones."""
        assert self._listener is not None
        self._listener.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._listener.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._open |= {writer, there}
            await asyncio.gather(
                self._pipe(reader, there), self._pipe(there_reader, writer), return_exceptions=True
            )
            self._open -= {writer, there}
            there.close()
        writer.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class Upstream:
    """The gateway's end of one websocket of the notebook server."""

    def __init__(self, handler: "_Channels") -> None:
        self._handler = handler
        self.protocol: str | None = handler.selected_subprotocol
        self.query = {
            name: handler.get_query_argument(name) for name in handler.request.query_arguments
        }
        self.received: asyncio.Queue[Message] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def get(self, msg_type: str) -> Message:
        """Return the next message, which must be of this type."""
        async with asyncio.timeout(10):
            got = await self.received.get()
        assert got["header"]["msg_type"] == msg_type, got
        return got

    async def say(
        self,
        channel: str,
        msg_type: str,
        content: Message,
        *,
        to: Message,
        buffers: list[bytes] | None = None,
    ) -> str:
        """Send a message in the kernel's name and return its id."""
        said = message(
            msg_type,
            content,
            channel=channel,
            parent=to["header"],
            buffers=buffers,
            session="kernel",
        )
        frame = pack(said, self.protocol)
        await self._handler.write_message(frame, binary=isinstance(frame, bytes))
        msg_id: str = said["header"]["msg_id"]
        return msg_id

    async def state(self, state: str, *, to: Message) -> str:
        """Publish an execution state."""
        return await self.say("iopub", "status", {"execution_state": state}, to=to)

    async def answer_probe(self) -> Message:
        """Answer the request that the notebook server asks after a gap, as a kernel does."""
        probe = await self.get("kernel_info_request")
        await self.state("busy", to=probe)
        await self.say(probe["channel"], "kernel_info_reply", {"status": "ok"}, to=probe)
        await self.state("idle", to=probe)
        return probe

    def drop(self) -> None:
        """End the TCP connection as a killed process does."""
        self._handler.ws_connection.stream.close()  # type: ignore[union-attr]

    def close(self, code: int) -> None:
        """Close the websocket in order."""
        self._handler.close(code)


class Gateway:
    """A gateway whose every message is written in the test."""

    def __init__(self) -> None:
        self.port = free_port()
        self.kernels: set[str] = set()
        self.websockets: asyncio.Queue[Upstream] = asyncio.Queue()
        #: The HTTP status of the handshake instead of 101.
        self.refuse_with: int | None = None
        self.resumed: str | None = None
        self.speaks_v1 = True
        #: Called within the handshake.
        self.during_handshake: Callable[[], Awaitable[object]] | None = None
        self._server: HTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        application = Application(
            [
                (r"/api/kernels", _Kernels, {"gateway": self}),
                (r"/api/kernels/([^/]+)", _Kernel, {"gateway": self}),
                (r"/api/kernels/([^/]+)/channels", _Channels, {"gateway": self}),
            ]
        )
        self._server = application.listen(self.port, "127.0.0.1")

    async def stop(self) -> None:
        """Stop listening and drop idle connections."""
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()

    async def accepted(self) -> Upstream:
        """Return the next websocket that the notebook server opens."""
        async with asyncio.timeout(10):
            return await self.websockets.get()


def model(kernel_id: str) -> Message:
    """Return what REST says of a kernel."""
    return {
        "id": kernel_id,
        "name": "python3",
        "last_activity": "2026-01-01T00:00:00.000000Z",
        "execution_state": "idle",
        "connections": 1,
    }


class _Kernels(RequestHandler):
    def initialize(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def get(self) -> None:
        self.write(json.dumps([model(kernel_id) for kernel_id in self.gateway.kernels]))

    def post(self) -> None:
        kernel_id = str(uuid.uuid4())
        self.gateway.kernels.add(kernel_id)
        self.set_status(201)
        self.write(model(kernel_id))


class _Kernel(RequestHandler):
    def initialize(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def get(self, kernel_id: str) -> None:
        if kernel_id not in self.gateway.kernels:
            raise HTTPError(404)
        self.write(model(kernel_id))

    def delete(self, kernel_id: str) -> None:
        self.gateway.kernels.discard(kernel_id)
        self.set_status(204)


class _Channels(WebSocketHandler):
    def initialize(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def prepare(self) -> None:
        if self.gateway.during_handshake:
            await self.gateway.during_handshake()
        if self.gateway.refuse_with:
            raise HTTPError(self.gateway.refuse_with)
        if self.gateway.resumed:
            self.set_header("X-Elastic-Jupyter-Resumed", self.gateway.resumed)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return V1 if self.gateway.speaks_v1 and V1 in subprotocols else None

    def open(self, kernel_id: str) -> None:
        self.upstream = Upstream(self)
        self.gateway.websockets.put_nowait(self.upstream)

    def on_message(self, frame: str | bytes) -> None:
        self.upstream.received.put_nowait(unpack(frame, self.upstream.protocol))

    def on_close(self) -> None:
        self.upstream.closed.set()


@contextlib.asynccontextmanager
async def notebook_server(
    home: Path, gateway_port: int, *options: str, gateway_token: str = TOKEN
) -> AsyncIterator[Server]:
    """Run a notebook server behind a gateway; the extension is on through its data file alone."""
    config = home / "config" / "jupyter_server_config.d"
    config.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA_FILE, config)
    async with Server.run(
        home,
        f"--GatewayClient.url=http://127.0.0.1:{gateway_port}",
        f"--GatewayClient.auth_token={gateway_token}",
        *options,
    ) as server:
        yield server


class Stack(NamedTuple):
    """A stock Jupyter server as the gateway, a connection to cut, a notebook server."""

    gateway: Server
    relay: Relay
    notebook: Server


class Scripted(NamedTuple):
    """A gateway played by the test, and a notebook server in front of it."""

    gateway: Gateway
    notebook: Server
