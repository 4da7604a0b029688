"""What the demonstration's front end says of a notebook server that fails it."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from elastic_jupyter.demo.front_end import Notebook, Server
from elastic_jupyter.errors import Unavailable
from tests.support.objects import until


class Sessions(RequestHandler):
    def post(self) -> None:
        self.write({"kernel": {"id": "k"}})


class Hasty(WebSocketHandler):
    """Closes each websocket as soon as it is open."""

    def open(self) -> None:
        self.close()


class NoWebsocket(RequestHandler):
    def get(self) -> None:
        self.write("no websocket")


class Nonsense(RequestHandler):
    def get(self) -> None:
        self.write("<html>")


Serve = Callable[[type[RequestHandler]], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server whose channels are of this kind."""
    servers = []

    def start(channels: type[RequestHandler]) -> Server:
        listeners = bind_sockets(0, "127.0.0.1")
        routes = [
            ("/api/sessions", Sessions),
            ("/api/kernels/k/channels", channels),
            ("/api/status", Nonsense),
        ]
        servers.append(server := HTTPServer(Application(routes)))
        server.add_sockets(listeners)
        return Server(f"http://127.0.0.1:{listeners[0].getsockname()[1]}/lab?token=t")

    yield start
    for server in servers:
        server.stop()


async def opened(server: Server) -> Notebook:
    return await server.open("a.ipynb", "python3", lambda line: None)


async def test_a_websocket_that_was_closed_takes_no_cell(serve: Serve) -> None:
    async with await opened(serve(Hasty)) as notebook:
        await until(lambda: not notebook.is_open)
        with pytest.raises(Unavailable, match=r"the cell could not be sent: .+"):
            await notebook.run("1")


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        pytest.param(opened, "the websocket of a.ipynb could not be opened", id="no websocket"),
        pytest.param(lambda server: server.get("status"), "GET /api/status: ", id="no JSON"),
        pytest.param(lambda server: server.get("gone"), "GET /api/gone: .*404", id="not found"),
    ],
)
async def test_what_a_server_refuses_is_named(
    ask: Callable[[Server], Awaitable[object]], told: str, serve: Serve
) -> None:
    with pytest.raises(Unavailable, match=told):
        await ask(serve(NoWebsocket))
