"""A network between a client and a server that can be cut."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

_CHUNK = 64 * 1024


class Line:
    """A port of 127.0.0.1 that leads to where ``url`` says at the time of a connection."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._target = url
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._whole = True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of this end."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections, and each that is made until ``mend``."""
        self._whole = False
        for one in list(self._open):
            _end(one)

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    def close(self) -> None:
        """Take no more connections, and end those that there are."""
        self.cut()
        _end(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        there = urlsplit(self._target())
        with client, contextlib.suppress(OSError):
            server = socket.create_connection((there.hostname, there.port), timeout=10)
            server.settimeout(None)
            with server:
                self._open |= {client, server}
                if not self._whole:
                    return  # it was cut before these were in ``_open``
                upward = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
                upward.start()
                _pass_on(server, client)
                upward.join()
                self._open -= {client, server}


@contextlib.contextmanager
def a_line(url: Callable[[], str]) -> Iterator[Line]:
    """Lay a line, and take it away at the end."""
    line = Line(url)
    try:
        yield line
    finally:
        line.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    _end(source)
    _end(sink)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
