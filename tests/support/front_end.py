"""A front end that talks to a gateway on loopback: REST and one websocket, the legacy protocol."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.session import Session
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from elastic_jupyter.gateway.app import GatewayApp
from elastic_jupyter.policy import tokens
from tests.support.loopback import ANN, MASTER

Message = dict[str, Any]
#: Seconds that anything on loopback may take on a busy machine.
PATIENCE = 30


def _encoded(body: Any) -> str | bytes:
    """Return the body of a request; bytes are sent as they are."""
    return body if isinstance(body, bytes) else json.dumps(body or {})


@dataclass
class Cell:
    """What came back for one execution."""

    msg_id: str
    messages: list[Message] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.reply is not None and self.idle

    @property
    def reply(self) -> Message | None:
        return next((m for m in self.messages if m["msg_type"] == "execute_reply"), None)

    @property
    def idle(self) -> bool:
        return any(
            m["msg_type"] == "status" and m["content"]["execution_state"] == "idle"
            for m in self.messages
        )

    def text(self, name: str = "stdout") -> str:
        return "".join(
            m["content"]["text"]
            for m in self.messages
            if m["msg_type"] == "stream" and m["content"]["name"] == name
        )

    @property
    def waiting(self) -> list[str]:
        return [
            m["content"]["data"]["text/plain"]
            for m in self.messages
            if m["msg_type"] in ("display_data", "update_display_data")
        ]

    @property
    def held_with(self) -> list[str]:
        """The names of the variables with which a gateway said that it holds this, in order."""
        return [
            m["content"]["variables"]
            for m in self.messages
            if m["msg_type"] == "elastic_jupyter_held"
        ]


class FrontEnd:
    """One notebook's client of one gateway."""

    def __init__(self, gateway: GatewayApp, *, identity: tokens.NotebookIdentity = ANN) -> None:
        self._gateway = gateway
        self._token = tokens.mint(MASTER, identity)

    async def rest(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        """Ask the gateway; ``headers`` take the place of the token's or come beside it."""
        return await AsyncHTTPClient(force_instance=True).fetch(
            HTTPRequest(
                f"http://127.0.0.1:{self._gateway.port}{path}",
                method=method,
                body=None if method in ("GET", "DELETE") else _encoded(body),
                headers={"Authorization": f"token {self._token}", **(headers or {})},
                request_timeout=PATIENCE,
            ),
            raise_error=False,
        )

    async def start(self, name: str = "python3", **more: Any) -> str:
        response = await self.rest("POST", "/api/kernels", {"name": name, **more})
        assert response.code == 201, response.body
        return str(json.loads(response.body)["id"])

    async def kernels(self) -> list[Message]:
        return list(json.loads((await self.rest("GET", "/api/kernels")).body))

    async def open(self, kernel_id: str, *, session: str = "tab-1", query: str = "") -> "Tab":
        ws = await websocket_connect(
            HTTPRequest(
                f"ws://127.0.0.1:{self._gateway.port}/api/kernels/{kernel_id}/channels"
                f"?session_id={session}{query}",
                headers={"Authorization": f"token {self._token}"},
            )
        )
        tab = Tab(ws, session)
        self._gateway.clients.append(tab)  # closed with the gateway
        return tab


class Tab:
    """One open websocket."""

    def __init__(self, ws: WebSocketClientConnection, session: str) -> None:
        self.ws = ws
        self.last_iopub = ""
        self.ended = False
        #: The execution states that it was told.
        self.states: list[str] = []
        #: What it was told for JupyterLab's extension.
        self.told: list[Message] = []
        #: What it was told of comms, in order.
        self.comms: list[Message] = []
        self._session = Session(session=session)
        self._cells: dict[str, Cell] = {}

    def goes_on_with(self, other: "Tab") -> None:
        """Take what is said of the cells of a tab that was there before."""
        self._cells |= other._cells

    @property
    def resumed(self) -> str | None:
        return self.ws.headers.get("X-Elastic-Jupyter-Resumed")

    async def send(
        self, msg_type: str, content: Message, *, channel: str = "shell", subshell: str = ""
    ) -> Cell:
        message = self._session.msg(msg_type, content)
        if subshell:
            message["header"]["subshell_id"] = subshell
        # A session counts its messages from 0, so that a tab that comes back would repeat ids.
        message["msg_id"] = message["header"]["msg_id"] = uuid.uuid4().hex
        message["channel"] = channel
        await self.ws.write_message(json.dumps(message, default=str))
        cell = self._cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"])
        return cell

    async def execute(self, code: str, *, subshell: str = "") -> Cell:
        return await self.send(
            "execute_request",
            {"code": code, "silent": False, "store_history": True, "allow_stdin": False},
            subshell=subshell,
        )

    def adopt(self, cell: Cell) -> None:
        """Go on with a cell that another websocket of this session sent."""
        self._cells[cell.msg_id] = cell

    async def run(self, code: str) -> Cell:
        cell = await self.execute(code)
        await self.until(lambda: cell.done)
        return cell

    async def touch(self, comm_id: str, *, subshell: str = "", **data: Any) -> Cell:
        """Do something to a widget, and wait until that is over."""
        content = {"comm_id": comm_id, "data": data}
        cell = await self.send("comm_msg", content, subshell=subshell)
        await self.until(lambda: cell.idle)
        return cell

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read messages until ``condition`` holds; fail with what was seen."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await self.read()
        except TimeoutError:
            seen = {cell.msg_id: cell.messages for cell in self._cells.values()}
            raise AssertionError(f"waited {PATIENCE} s; seen: {seen}") from None

    async def read(self) -> None:
        raw = await self.ws.read_message()
        self.ended = raw is None
        assert raw is not None, f"the websocket was closed ({self.ws.close_code})"
        message = json.loads(raw)
        msg_id = message["header"]["msg_id"]
        if message["channel"] == "iopub" and not msg_id.startswith("elastic-jupyter-"):
            self.last_iopub = msg_id  # of the kernel's own, as the notebook side remembers it
        if message["msg_type"] == "elastic_jupyter_state":
            self.told.append(message["content"])
        if message["msg_type"].startswith("comm_") and message["channel"] == "iopub":
            self.comms.append(message)
        if message["msg_type"] == "status":
            self.states.append(message["content"]["execution_state"])
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        if cell is not None:
            cell.messages.append(message)

    async def close_and_read(self, cell: Cell) -> None:
        """Close the websocket and take what was on its way."""
        self.ws.close()
        while (raw := await self.ws.read_message()) is not None:
            message = json.loads(raw)
            if message["parent_header"].get("msg_id") == cell.msg_id:
                cell.messages.append(message)
        self.ended = True

    async def close(self) -> None:
        """Close the websocket and read it to its end, which tornado tells only once."""
        self.ws.close()
        while not self.ended:
            self.ended = await self.ws.read_message() is None
