"""A local port that leads to one of a pod, each connection by a way of its own.

``kubectl port-forward`` ends all connections when one of them is reset, and a server resets one
whenever it closes it before it has read everything. Many users at once need each their own.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

import websocket

#: The websocket form of a port-forward: a byte in front of each frame names the stream.
PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = b"\x00", b"\x01"
#: Seconds to connect to the API server.
_CONNECT_WITHIN = 10.0
_CHUNK = 64 * 1024


class PodForward:
    """Leads to the pod through the API at ``api_url``: plain HTTP, as kubectl proxy serves it."""

    def __init__(self, api_url: str, namespace: str, pod: str, port: int) -> None:
        authority = urlsplit(api_url).netloc
        self._way = (
            f"ws://{authority}/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}"
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        #: Whether the pod takes connections, as far as the last one told.
        self.alive = True
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    @property
    def url(self) -> str:
        """The URL of the local port."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more connections, and end those that there are."""
        for one in (self._listener, *self._open):
            _end(one)
        self._accepter.join(_CONNECT_WITHIN)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        try:
            with client, self._connected() as pod:
                upward = threading.Thread(target=_send, args=(client, pod), daemon=True)
                upward.start()
                self.alive = not _receive(pod, client)
                _end(client)
                upward.join()
        except (OSError, websocket.WebSocketException):
            self.alive = False  # the pod is gone
        finally:
            self._open.discard(client)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[websocket.WebSocket]:
        pod = websocket.create_connection(
            self._way,
            timeout=_CONNECT_WITHIN,
            subprotocols=[PROTOCOL],
            http_no_proxy=["127.0.0.1"],
            enable_multithread=True,
        )
        try:
            yield pod
        finally:
            pod.shutdown()  # close() would leave the socket open after an abort


def _send(client: socket.socket, pod: websocket.WebSocket) -> None:
    with contextlib.suppress(OSError, websocket.WebSocketException):
        while data := client.recv(_CHUNK):
            pod.send_binary(_DATA + data)
        pod.abort()


def _receive(pod: websocket.WebSocket, client: socket.socket) -> bool:
    """Pass on what the pod says until its end; return whether nobody listened there."""
    pod.settimeout(None)
    begun: set[bytes] = set()  # the first frame of each stream holds the port and nothing else
    with contextlib.suppress(OSError, websocket.WebSocketException):
        while frame := pod.recv():
            stream, data = frame[:1], frame[1:]
            if stream not in begun:
                begun.add(stream)
            elif stream == _ERROR:
                return b"connection refused" in data
            else:
                client.sendall(data)
    return False


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
