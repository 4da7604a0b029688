"""REST calls to a gateway that refuses, answers badly, or is not there yet."""

import inspect
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
from jupyter_server.gateway import gateway_client
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.web import Application, RequestHandler

from elastic_jupyter.notebook import rest
from elastic_jupyter.notebook.rest import PatientHTTPClient, may_repeat
from tests.support.ports import free_port

KERNELS, INTERRUPT, RESTART = "http://g/api/kernels", "http://g/k/1/interrupt", "http://g/k/restart"
REFUSED, RESET = ConnectionRefusedError(), ConnectionResetError()
UNCONNECTED = HTTPTimeoutError("Timeout while connecting")
UNANSWERED = HTTPTimeoutError("Timeout during request")
UNKNOWN_NAME, UNREACHABLE = socket.gaierror(-3, "again"), OSError(113, "no route")


def answer(code: int, **headers: str) -> HTTPClientError:
    """An HTTP error of the gateway."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = HTTPResponse(HTTPRequest("http://g"), code, HTTPHeaders(names))
    return HTTPClientError(code, response=response)


@pytest.mark.parametrize(
    ("method", "endpoint", "error", "want"),
    [
        pytest.param("GET", KERNELS, answer(503), True, id="reading again does no harm"),
        pytest.param("GET", KERNELS, HTTPClientError(599), True, id="no answer to reading"),
        pytest.param("GET", KERNELS, RESET, True, id="reading, connection reset"),
        pytest.param("GET", KERNELS, UNREACHABLE, True, id="reading, no route"),
        pytest.param("GET", KERNELS, answer(404), False, id="404 is an answer"),
        pytest.param("GET", KERNELS, answer(500), False, id="500 is an answer"),
        pytest.param("GET", KERNELS, ssl.SSLError(), False, id="a wrong certificate stays wrong"),
        pytest.param("DELETE", KERNELS, answer(502), True, id="deleting again does no harm"),
        pytest.param("POST", INTERRUPT, answer(504), True, id="interrupting again does no harm"),
        pytest.param("POST", INTERRUPT, RESET, True, id="interrupt, connection reset"),
        pytest.param("POST", KERNELS, REFUSED, True, id="start was not sent: refused"),
        pytest.param("POST", KERNELS, UNKNOWN_NAME, True, id="start was not sent: no name"),
        pytest.param("POST", KERNELS, UNREACHABLE, True, id="start was not sent: no route"),
        pytest.param("POST", KERNELS, UNCONNECTED, True, id="start was not sent: no connection"),
        pytest.param("POST", KERNELS, UNANSWERED, False, id="start may have arrived: no answer"),
        pytest.param("POST", KERNELS, RESET, False, id="start may have arrived: reset"),
        pytest.param("POST", KERNELS, HTTPClientError(599), False, id="start may have arrived"),
        pytest.param("POST", KERNELS, answer(503), False, id="a proxy may have passed it on"),
        pytest.param(
            "POST", KERNELS, answer(503, Retry_After="1"), True, id="the gateway says: later"
        ),
        pytest.param("POST", RESTART, RESET, False, id="no second restart"),
        pytest.param("POST", RESTART, REFUSED, True, id="restart was not sent"),
    ],
)
def test_what_is_repeated(method: str, endpoint: str, error: Exception, want: bool) -> None:
    assert may_repeat(method, endpoint, error) is want


class Handler(RequestHandler):
    """Answers with the next code of the list."""

    def initialize(self, codes: Iterator[int]) -> None:
        self.codes = codes

    def get(self) -> None:
        self.set_status(next(self.codes))

    post = get


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that answers with the given codes; return its URL."""
    servers: list[HTTPServer] = []

    def start(*codes: int, port: int = 0) -> str:
        port = port or free_port()
        application = Application([(".*", Handler, {"codes": iter(codes)})])
        servers.append(application.listen(port, "127.0.0.1"))
        return f"http://127.0.0.1:{port}/api/kernels"

    yield start
    for server in servers:
        server.stop()


def a_client(*, patience: float = 30.0) -> PatientHTTPClient:
    """A client that repeats for so many seconds."""
    client = PatientHTTPClient()  # type: ignore[no-untyped-call]
    client.patience = patience
    return client


async def test_a_gateway_that_is_not_ready_is_asked_again(serve: Serve) -> None:
    got = await a_client().fetch(serve(503, 502, 200), method="GET")
    assert got.code == 200


async def test_a_start_reaches_a_gateway_that_listens_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()

    class Pauses:
        """Starts the server in the second pause."""

        count = 0

        def next(self) -> float:
            self.count += 1
            if self.count == 2:
                serve(201, port=port)
            return 0.0

    monkeypatch.setattr(rest, "Backoff", Pauses)
    endpoint = f"http://127.0.0.1:{port}/api/kernels"
    got = await a_client().fetch(endpoint, method="POST", body="{}")
    assert got.code == 201


async def test_an_address_where_nobody_answers_is_given_up_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest, "CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]  # fills the queue: no more is let in
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        with pytest.raises(HTTPTimeoutError, match="connecting"):
            await a_client(patience=0.0).fetch(f"http://127.0.0.1:{address[1]}/", method="GET")
        for one in waiting:
            one.close()


async def test_a_start_is_not_sent_twice(serve: Serve) -> None:
    with pytest.raises(HTTPClientError, match="503"):
        await a_client().fetch(serve(503, 201), method="POST", body="{}")


async def test_patience_ends(serve: Serve) -> None:
    client = a_client(patience=0.0)
    with pytest.raises(HTTPClientError, match="503"):
        await client.fetch(serve(503, 200), method="GET")
    with pytest.raises(ConnectionRefusedError):
        await client.fetch(f"http://127.0.0.1:{free_port()}/", method="GET")


async def test_a_name_that_is_not_found_does_not_read_as_a_kernel_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def not_found(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    client = a_client(patience=0.0)
    with pytest.raises(ConnectionError):  # upstream: gaierror, which it turns into 404
        await client.fetch("http://gateway.invalid/", method="GET")


def test_upstream_makes_its_client_where_we_replace_it() -> None:
    source = inspect.getsource(gateway_client.gateway_request)
    assert "RetryableHTTPClient()" in source
    assert "rhc.fetch(endpoint, **kwargs)" in source


def test_upstream_still_has_the_method_that_is_overridden() -> None:
    upstream = PatientHTTPClient.__mro__[1]
    assert upstream.__name__ == "RetryableHTTPClient"
    theirs = inspect.signature(upstream.fetch)  # type: ignore[attr-defined]
    assert list(inspect.signature(PatientHTTPClient.fetch).parameters) == list(theirs.parameters)
