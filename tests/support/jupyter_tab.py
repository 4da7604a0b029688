"""A user's side of a notebook server: REST by requests, the websocket by jupyter_kernel_client.

``Tab`` is what a JupyterLab tab is to the server: a session opened by POST /api/sessions and one
websocket (subprotocol v1.kernel.websocket.jupyter.org, as JupyterLab's, unless the server has none
but the default) that is never reopened.
"""

import contextlib
import itertools
import queue
import socket
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin

import requests
import websocket
from jupyter_kernel_client.client import output_hook
from jupyter_kernel_client.utils import (
    deserialize_msg_from_ws_default,
    deserialize_msg_from_ws_v1,
)
from jupyter_kernel_client.wsclient import JupyterSubprotocol, KernelWebSocketClient

Message = dict[str, Any]
# The proxies of the environment are for the world outside.
DIRECTLY = {"http": "", "https": ""}
_FIRST_NUMBERS = itertools.count(step=1_000_000)


class NotebookServer:
    """The REST API of one notebook server."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        protocol: JupyterSubprotocol = JupyterSubprotocol.V1,
    ) -> None:
        self.url = url
        self.token = token
        #: Of the websockets; a stock server with a gateway has none but the default.
        self.protocol = protocol
        self._tabs: list[Tab] = []
        self._xsrf: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What a client has to send to be let in.

        With no token to send, a server takes a POST only from a page of its own: like a browser
        this fetches a page first, and gives back the cookie that came with it.
        """
        if self.token:
            return {"Authorization": f"token {self.token}"}
        if self._xsrf is None:
            page = requests.get(f"{self.url}/lab", timeout=60, proxies=DIRECTLY)
            page.raise_for_status()
            self._xsrf = page.cookies["_xsrf"]
        return {"Cookie": f"_xsrf={self._xsrf}", "X-XSRFToken": self._xsrf}

    def request(self, method: str, path: str, /, *, within: float = 60, **body: Any) -> Any:
        """Ask for ``/api/<path>`` and return the decoded answer; raises ``HTTPError``."""
        # A connection each: one that is kept would not survive a new port-forward.
        answer = requests.request(
            method,
            f"{self.url}/api/{path}",
            json=body or None,
            headers=self.headers,
            timeout=within,
            proxies=DIRECTLY,
        )
        if not answer.ok:
            raise requests.HTTPError(
                f"{method} {path}: {answer.status_code} {answer.text}", response=answer
            )
        return answer.json() if answer.content else None

    def file(self, path: str) -> requests.Response:
        """GET what the server names by a path of its own, as a page does."""
        url = urljoin(self.url, path)
        answer = requests.get(url, headers=self.headers, timeout=60, proxies=DIRECTLY)
        answer.raise_for_status()
        return answer

    def look(self, path: str) -> Any:
        """GET ``/api/<path>``, with the failure as the answer: for waiting."""
        try:
            return self.request("GET", path, within=10)
        except (requests.RequestException, ValueError) as error:
            return error

    def kernel_ids(self) -> set[str]:
        """Return the ids of the kernels that the server lists."""
        return {kernel["id"] for kernel in self.request("GET", "kernels")}

    def session_ids(self) -> set[str]:
        """Return the ids of the sessions that the server lists."""
        return {session["id"] for session in self.request("GET", "sessions")}

    def open(self, kernel: str = "python3", *, folder: str = "", name: str = "") -> "Tab":
        """Open a notebook with this kernel, as JupyterLab does; ``name`` "": a new one."""
        name = name or f"{uuid.uuid4().hex[:8]}.ipynb"
        path = f"{folder}/{name}" if folder else name
        session = self.request(
            "POST", "sessions", path=path, name=name, type="notebook", kernel={"name": kernel}
        )
        return self.attach(session)

    def attach(self, session: dict[str, Any], *, client_id: str | None = None) -> "Tab":
        """Open the websocket of a session; ``client_id`` is that of a tab which was there."""
        tab = Tab(self, session, client_id=client_id)
        self._tabs.append(tab)
        return tab

    def start(self, kernel: str = "python3", **body: Any) -> "Tab":
        """Start a kernel and connect to it; for a gateway, which has no sessions."""
        model = self.request("POST", "kernels", name=kernel, **body)
        tab = Tab(self, {"kernel": model})
        self._tabs.append(tab)
        return tab

    def close(self) -> None:
        """Close the websockets of all tabs."""
        for tab in self._tabs:
            tab.close()

    @contextlib.contextmanager
    def notebook(self, kernel: str = "python3", *, folder: str = "") -> Iterator["Tab"]:
        """Open a notebook, and close it and its kernel at the end."""
        tab = self.open(kernel, folder=folder)
        try:
            yield tab
        finally:
            tab.close()
            with contextlib.suppress(requests.RequestException):
                tab.shutdown()


class Websocket(KernelWebSocketClient):
    """The stock client, keeping all channels in one queue with the second of arrival.

    jupyter_kernel_client 1.0.2 raises KeyError for every v1 message that it receives (its debug
    line formats a missing ``channel``), so ``_on_message`` had to be replaced in any case.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arrived: queue.Queue[tuple[float, str, Message]] = queue.Queue()
        self._connection: socket.socket | None = None

    def start_channels(self, **channels: bool) -> None:
        """Open the websocket, and keep its socket: nobody closes it when the server ends it."""
        super().start_channels(**channels)
        app = self.kernel_socket
        if app is not None and app.sock is not None:
            self._connection = app.sock.sock

    def stop_channels(self) -> None:
        """End the websocket and its reader, which else would look for it only every 10 s."""
        app, connection = self.kernel_socket, self._connection
        if app is not None and app.sock is not None and connection is not None:
            app.keep_running = False
            with contextlib.suppress(OSError, websocket.WebSocketException):
                app.sock.send_close()
                connection.shutdown(socket.SHUT_RDWR)
        super().stop_channels()
        if connection is not None:
            connection.close()

    def _on_message(self, _: Any, message: bytes) -> None:
        if self.session.subprotocol is JupyterSubprotocol.DEFAULT:
            content = deserialize_msg_from_ws_default(message)
            channel = content["channel"]
        else:
            channel, parts = deserialize_msg_from_ws_v1(message)
            content = self.session.deserialize(parts)
        self.arrived.put((time.monotonic(), channel, content))


class OpenNotebook(ABC):
    """One open notebook, whatever client has it. Not for use by several threads."""

    def __init__(self, server: NotebookServer, session: dict[str, Any]) -> None:
        self.server = server
        self.session = session
        self.kernel_id: str = session["kernel"]["id"]
        self.inbox: list[tuple[float, str, Message]] = []

    @property
    @abstractmethod
    def arrived(self) -> "queue.Queue[tuple[float, str, Message]]":
        """What has come and is not in ``inbox`` yet: monotonic second, channel, message."""

    @property
    @abstractmethod
    def open(self) -> bool:
        """Whether it has a websocket that is open."""

    @abstractmethod
    def execute(self, code: str) -> str:
        """Send a cell for execution; return the id of its message."""

    @abstractmethod
    def beside(self) -> "OpenNotebook":
        """Open the same notebook in another tab."""

    @abstractmethod
    def reconnect(self) -> None:
        """Lose the connection, and have it again."""

    @abstractmethod
    def close(self) -> None:
        """Close the tab; the kernel stays."""

    @abstractmethod
    def interrupt(self) -> None:
        """The Interrupt button."""

    @abstractmethod
    def restart(self) -> None:
        """The Restart button."""

    def start(self, code: str) -> "Cell":
        """Send a cell for execution."""
        return Cell(self, self.execute(code))

    def cell(self, message_id: str) -> "Cell":
        """Return a cell that was sent before, by this tab or the one with its id before it."""
        return Cell(self, message_id)

    def run(self, code: str, *, within: float = 30) -> "Cell":
        """Execute a cell and wait until it has ended."""
        return self.start(code).wait(within=within)

    def shutdown(self) -> None:
        """Close and Shut Down Notebook: ends the session and its kernel."""
        self.server.request("DELETE", f"sessions/{self.session['id']}")

    def pump(self, timeout: float) -> None:
        """Move what arrived, or arrives within ``timeout`` seconds, into ``inbox``."""
        with contextlib.suppress(queue.Empty):
            self.inbox.append(self.arrived.get(timeout=timeout))
            while True:
                self.inbox.append(self.arrived.get_nowait())

    def until(self, want: Callable[[], object], *, within: float, what: str) -> None:
        """Take messages until ``want`` holds; raises ``AssertionError`` with the last ones."""
        deadline = time.monotonic() + within
        while not want():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{what}: not within {within:g} s; websocket "
                    f"{'open' if self.open else 'closed'}; last messages:\n{self.transcript()}"
                )
            self.pump(0.05)

    def transcript(self, last: int = 20) -> str:
        """The last messages, one a line."""
        return "\n".join(
            f"{at:.2f} {channel} {message['header']['msg_type']} "
            f"for {message['parent_header'].get('msg_id', '-')[-6:]}: "
            f"{str(message['content'])[:300]}"
            for at, channel, message in self.inbox[-last:]
        )

    def statuses(self) -> list[str]:
        """The execution states that the kernel (or whoever spoke for it) has published."""
        self.pump(0.001)
        return [
            message["content"]["execution_state"]
            for _, _, message in self.inbox
            if message["header"]["msg_type"] == "status"
        ]


class Tab(OpenNotebook):
    """A notebook that is open in the stock client of ``jupyter_kernel_client``."""

    def __init__(
        self, server: NotebookServer, session: dict[str, Any], *, client_id: str | None = None
    ) -> None:
        super().__init__(server, session)
        self.client_id = client_id or uuid.uuid4().hex
        self.client = self._connect()

    @property
    def arrived(self) -> "queue.Queue[tuple[float, str, Message]]":
        return self.client.arrived

    @property
    def open(self) -> bool:
        """Whether the one websocket of this tab is still open."""
        return self.client.channels_running

    def _connect(self) -> Websocket:
        client = Websocket(
            endpoint=(
                f"{self.server.url.replace('http', 'ws', 1)}/api/kernels/{self.kernel_id}/channels"
            ),
            # In the address, where the stock client puts it, our gateway does not take it.
            headers=self.server.headers,
            username="test",
            timeout=30,
            subprotocol=self.server.protocol,
        )
        client.session.session = self.client_id
        # A session numbers its messages from 0: one that comes back would use the same ids again.
        client.session.message_count = next(_FIRST_NUMBERS)
        client.start_channels()
        assert client.channels_running, f"no websocket to kernel {self.kernel_id}"
        return client

    def reconnect(self) -> None:
        """Open a new websocket in place of the old one, with the same id, as JupyterLab does."""
        self.close()
        self.pump(0)  # what the old one brought was seen
        self.client = self._connect()

    def close(self) -> None:
        """Close the websocket; the kernel stays."""
        self.client.stop_channels()

    def beside(self) -> "Tab":
        return self.server.attach(self.session)

    def execute(self, code: str) -> str:
        return str(self.client.execute(code))

    def touch(self, comm_id: str, *, within: float = 30, **data: Any) -> "Cell":
        """Do something to a widget, and wait until it has been answered."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)
        touch = Cell(self, message["header"]["msg_id"])
        return touch.until(lambda touch: touch.idle_at, within=within, what="an answer to a touch")

    def interrupt(self) -> None:
        self.server.request("POST", f"kernels/{self.kernel_id}/interrupt")

    def restart(self) -> None:
        self.server.request("POST", f"kernels/{self.kernel_id}/restart")


class Cell:
    """One execution and all that came back for it."""

    def __init__(self, tab: OpenNotebook, message_id: str) -> None:
        self.tab = tab
        self.message_id = message_id

    def timed(self, message_type: str | None = None) -> list[tuple[float, Message]]:
        """The messages for this cell with the (monotonic) second of their arrival."""
        self.tab.pump(0)
        return [
            (at, message)
            for at, _, message in self.tab.inbox
            if message["parent_header"].get("msg_id") == self.message_id
            and message_type in (None, message["header"]["msg_type"])
        ]

    def messages(self, message_type: str | None = None) -> list[Message]:
        """The messages for this cell, in the order of arrival."""
        return [message for _, message in self.timed(message_type)]

    @property
    def idle_at(self) -> float | None:
        """When ``idle`` arrived (monotonic seconds), or None."""
        for at, message in self.timed("status"):
            if message["content"]["execution_state"] == "idle":
                return at
        return None

    @property
    def replied_at(self) -> float | None:
        """When the reply arrived (monotonic seconds), or None."""
        replies = self.timed("execute_reply")
        return replies[0][0] if replies else None

    @property
    def ended(self) -> bool:
        """Whether both the reply and ``idle`` have arrived."""
        return self.replied_at is not None and self.idle_at is not None

    @property
    def reply(self) -> Message:
        """The content of the one reply."""
        replies = self.messages("execute_reply")
        assert len(replies) == 1, f"{len(replies)} replies:\n{self.tab.transcript()}"
        return replies[0]["content"]

    @property
    def error(self) -> str | None:
        """The name of the error with which it ended, or None."""
        replies = self.messages("execute_reply")
        return replies[-1]["content"].get("ename") if replies else None

    @property
    def text(self) -> str:
        """All that was printed, stdout and stderr, whether or not cleared later."""
        return "".join(message["content"]["text"] for message in self.messages("stream"))

    @property
    def stdout(self) -> str:
        """All that the code printed to stdout."""
        return "".join(
            message["content"]["text"]
            for message in self.messages("stream")
            if message["content"]["name"] == "stdout"
        )

    @property
    def displayed(self) -> list[str]:
        """The plain texts of all displays and of their updates, in order."""
        kinds = ("display_data", "update_display_data")
        return [
            message["content"]["data"].get("text/plain", "")
            for message in self.messages()
            if message["header"]["msg_type"] in kinds
        ]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """What the notebook shows at the end, with displays updated and outputs cleared."""
        outputs: list[dict[str, Any]] = []
        for message in self.messages():
            output_hook(outputs, message)
        return outputs

    @property
    def result(self) -> str | None:
        """The plain text of ``Out[n]``, or None."""
        results = self.messages("execute_result")
        return results[-1]["content"]["data"]["text/plain"] if results else None

    def wait(self, *, within: float = 30) -> "Cell":
        """Wait for the reply and for ``idle``."""
        self.tab.until(lambda: self.ended, within=within, what="the end of the cell")
        return self

    def until(self, want: Callable[["Cell"], object], *, within: float, what: str) -> "Cell":
        """Wait until ``want`` holds for this cell."""
        self.tab.until(lambda: want(self), within=within, what=what)
        return self
