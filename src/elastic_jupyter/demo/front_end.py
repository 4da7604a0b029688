"""A notebook server's side that a browser sees: REST, and one websocket a notebook.

The websocket's messages are JSON (the default protocol of Jupyter Server).
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from elastic_jupyter.errors import StepDiffered, Unavailable

Message = dict[str, Any]


class Server:
    """A notebook server. ``url`` is what ``elastic-jupyter up`` prints, with its token."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Authorization": f"token {parse_qs(parts.query)['token'][0]}"}

    async def get(self, path: str) -> Any:
        """Return the decoded answer of ``GET /api/<path>``. Raises ``Unavailable``."""
        return await self._ask("GET", path)

    async def open(self, name: str, kernel: str, say: Callable[[str], None]) -> "Notebook":
        """Open a notebook with a kernel, and its websocket. ``say`` is told of each message."""
        body = {"path": name, "name": name, "type": "notebook", "kernel": {"name": kernel}}
        session = await self._ask("POST", "sessions", body)
        address = f"{self._base.replace('http', 'ws', 1)}/api/kernels/{session['kernel']['id']}"
        try:
            websocket = await websocket_connect(
                HTTPRequest(f"{address}/channels", headers=self._headers)
            )
        except (OSError, HTTPError, WebSocketError) as error:
            raise Unavailable(f"the websocket of {name} could not be opened: {error}") from error
        return Notebook(websocket, say)

    async def _ask(self, method: str, path: str, body: Message | None = None) -> Any:
        try:
            answer = await AsyncHTTPClient().fetch(
                f"{self._base}/api/{path}",
                method=method,
                headers=self._headers,
                body=None if body is None else json.dumps(body),
                request_timeout=30,
            )
            return json.loads(answer.body)
        except (OSError, HTTPError, ValueError) as error:
            raise Unavailable(f"{method} /api/{path}: {error}") from error


class Notebook:
    """An open tab. Its websocket is never opened anew."""

    def __init__(self, websocket: WebSocketClientConnection, say: Callable[[str], None]) -> None:
        self._websocket = websocket
        self._say = say
        self._session = uuid.uuid4().hex
        self._cells: dict[str, Cell] = {}
        self.is_open = True
        self._reader = asyncio.ensure_future(self._read())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._websocket.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def run(self, code: str) -> "Cell":
        """Send a cell to be executed. Raises ``Unavailable`` when the websocket is closed."""
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "",
            "version": "5.4",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
        }
        cell = self._cells[message_id] = Cell()
        try:
            await self._websocket.write_message(json.dumps(message))
        except (OSError, WebSocketError) as error:
            why = str(error) or "the websocket is closed"  # of which tornado says nothing
            raise Unavailable(f"the cell could not be sent: {why}") from error
        return cell

    async def _read(self) -> None:
        while (frame := await self._websocket.read_message()) is not None:
            message = json.loads(frame)
            kind, content = message["msg_type"], message["content"]
            self._say(f"{kind} {content}")
            cell = self._cells.get(message["parent_header"].get("msg_id", ""))
            if cell is not None:
                cell.take(kind, content)
        self.is_open = False


class Cell:
    """One execution, and what has been shown for it."""

    def __init__(self) -> None:
        #: All texts that were shown, also those that were replaced later.
        self.texts: list[str] = []
        #: ``ok`` or ``error`` once the kernel has answered.
        self.status: str | None = None
        self._is_idle = False
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether the reply and all output are there."""
        return self.status is not None and self._is_idle

    def take(self, kind: str, content: Message) -> None:
        """Take in a message for this cell: its type and content."""
        match kind:
            case "stream":
                self.texts.append(content["text"])
            case "display_data" | "update_display_data" | "execute_result":
                self.texts.append(content["data"].get("text/plain", ""))
            case "error":
                self.texts.append(f"{content['ename']}: {content['evalue']}")
            case "status":
                self._is_idle = content["execution_state"] == "idle"
            case "execute_reply":
                self.status = content["status"]
        self._changed.set()

    async def shows(self, *words: str) -> str:
        """Wait for a text with all these words, and return it.

        Raises ``StepDiffered`` when the cell has ended without.
        """
        while True:
            for text in self.texts:
                if all(word in text for word in words):
                    return text.strip()
            if self.ended:
                raise StepDiffered(
                    f"it ended ({self.status}) and did not show {' and '.join(words)!r}"
                )
            await self._change()

    async def ends(self) -> str:
        """Wait for the end and return the status of the reply."""
        while not self.ended:
            await self._change()
        return self.status or ""

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
