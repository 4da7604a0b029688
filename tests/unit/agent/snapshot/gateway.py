"""A gateway as a kernel's agent sees it: a small HTTP server that keeps blobs in memory."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from elastic_jupyter_agent.transfer import PROTOCOL

TOKEN = "secret"


class FakeGateway(ThreadingHTTPServer):
    """Keeps what is put. ``refusal`` is what it answers instead, a status and a sentence.

    ``failures`` is how many requests it answers by 503 before it serves.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifest: bytes | None = None
        self.refusal: tuple[int, str] | None = None
        self.failures = 0
        self.wants = 404  # what a gateway says that knows nothing of cells that wait
        self.puts: list[str] = []
        self.connections = 0  # that were handed over
        self.url = f"http://127.0.0.1:{self.server_port}/snapshots/1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or each answer waits for an acknowledgement
    server: FakeGateway
    handed_over = False

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        gateway, path = self.server, self.path
        if not self.handed_over and self.headers["Authorization"] != f"token {TOKEN}":
            self._answer(401, b"the token is wrong")
        elif self.command == "HEAD":
            self._answer(gateway.wants, b"")
        elif gateway.failures > 0:
            gateway.failures -= 1
            self._answer(503, b"not ready")
        elif gateway.refusal:
            self._answer(gateway.refusal[0], gateway.refusal[1].encode())
        elif not self.handed_over:
            assert (path, self.headers["Upgrade"]) == ("/snapshots/1", PROTOCOL)
            self.handed_over = True
            gateway.connections += 1
            self._answer(101, b"")
        elif self.command == "PUT":
            gateway.puts.append(path)
            if path == "/manifest":
                gateway.manifest = body
            else:
                gateway.blobs[path.removeprefix("/blobs/")] = body
            self._answer(204, b"")
        elif path == "/blobs":
            self._answer(200, "\n".join(gateway.blobs).encode())
        else:
            kept = gateway.blobs.get(path.removeprefix("/blobs/"))
            found = gateway.manifest if path == "/manifest" else kept
            self._answer(404 if found is None else 200, found or b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status not in (101, 204):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def a_gateway() -> Iterator[FakeGateway]:
    """Serve until the ``with`` is left."""
    with FakeGateway() as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join()
