"""Blobs and manifests to and from the gateway, over HTTP with the kernel's own token.

As many connections as threads ask at once, kept open. The first request of each has the gateway
hand it over (``Upgrade``) to a thread that does nothing else. A gateway that is busy (503) is asked
again for half a minute, one that is away for some seconds: another one would not know the token.
409 says that the transfer was cancelled, and everything stops.
"""

import contextlib
import http
import http.client
import json
import socket
import threading
import time
import urllib.parse
from typing import Any

#: Seconds for one answer, for all attempts at a request to a busy gateway and to one that is away,
#: and the pauses between two.
TIMEOUT, PATIENCE, AWAY = 60.0, 30.0, 8.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: Seconds in which a gateway is missed whose pod or node is gone and says nothing at all; one that
#: waits for a slow store may take longer to answer.
SILENT = 3
PROTOCOL = "elastic-jupyter-snapshot"
_NO_BLOB = "a blob of the snapshot is not in the store"


class Refused(OSError):
    """The gateway's no; the message is its sentence for the user."""


class Cancelled(Refused):
    """The gateway does not want the snapshot any more (409)."""


def connection_to(parts: urllib.parse.SplitResult, *, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to a gateway's address, not yet open; ``timeout`` in seconds."""
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


def _watch(sock: socket.socket) -> None:
    sock.settimeout(TIMEOUT)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", SILENT),  # what was sent is received, and not yet answered
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 2 * SILENT * 1000),  # what was sent is not even received, ms
    ):
        if hasattr(socket, option):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Gateway:
    """A sink and a source of blobs, for one snapshot at ``url``. Safe to be used by threads."""

    def __init__(self, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname:
            raise Refused(f"{url!r} is no address of a gateway")
        self._parts, self._path = parts, parts.path.rstrip("/")
        self._headers = {
            "Authorization": f"token {token}",
            "Connection": "Upgrade",
            "Upgrade": PROTOCOL,
        }
        self._open: list[http.client.HTTPConnection] = []
        self._free: list[http.client.HTTPConnection] = []
        self._stopped: Refused | None = None
        self._lock = threading.Lock()
        self._there: set[str] | None = None

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()

    def has(self, digest: str) -> bool:
        """Say whether a blob was there when this was asked first."""
        with self._lock:
            if self._there is None:
                self._there = set(self._ask("GET", "/blobs").decode().split())
        return digest in self._there

    def put(self, digest: str, data: bytes | memoryview) -> None:
        """Store a blob."""
        self._ask("PUT", f"/blobs/{digest}", data)

    def get(self, digest: str) -> bytes:
        """Return a blob, whose bytes the caller verifies."""
        body: bytes = self._found(f"/blobs/{digest}", _NO_BLOB)
        return body

    def read_into(self, digest: str, view: memoryview) -> int:
        """Read a blob into memory of its size, and return how long it is."""
        return len(self._found(f"/blobs/{digest}", _NO_BLOB, view))

    def put_manifest(self, text: bytes) -> None:
        """Store the manifest, which makes a snapshot of the blobs."""
        self._ask("PUT", "/manifest", text)

    def get_manifest(self) -> bytes:
        """Return the manifest as it was stored."""
        text: bytes = self._found("/manifest", "the snapshot is not in the store")
        return text

    def _found(self, path: str, otherwise: str, into: memoryview | None = None) -> Any:
        body = self._ask("GET", path, into=into)
        if body is None:
            raise Refused(otherwise)
        return body

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | memoryview | None = None,
        *,
        into: memoryview | None = None,
    ) -> Any:
        """Return the body of the answer, None for a 404 to a question.

        Raises ``Refused`` for a no, and when there was no answer in time.
        """
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            if self._stopped:
                raise self._stopped
            patience = PATIENCE
            try:
                status, answer = self._once(method, path, body, into)
            except (OSError, http.client.HTTPException) as error:
                answer = f"no answer from the gateway: {error or type(error).__name__}".encode()
                status, patience = 503, AWAY
            if 200 <= status < 300:
                return answer
            if status == 404 and method != "PUT":
                return None
            why = _sentence(status, answer)
            if status == 409:
                self._stopped = Cancelled(why)
                raise self._stopped
            if status != 503 or time.monotonic() + pause > began + patience:
                self._stopped = Refused(why)
                raise self._stopped
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(
        self,
        method: str,
        path: str,
        data: bytes | memoryview | None = None,
        into: memoryview | None = None,
    ) -> tuple[int, Any]:
        try:
            connection = self._free.pop()
        except IndexError:
            status, body, connection = self._connect()
            if status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                # A 404 is of who knows nothing of snapshots, and not of a blob.
                return (502 if status == 404 else status), body
        try:
            connection.request(method, path, data)
            response = connection.getresponse()
            wanted = into if response.status == 200 else None
            answer = response.read() if wanted is None else _filled(response, wanted)
        except (OSError, http.client.HTTPException):
            connection.close()
            free, self._free = self._free, []  # of a gateway that may be another now
            for other in free:
                other.close()
            raise
        self._free.append(connection)
        return response.status, answer

    def _connect(self) -> tuple[int, bytes, http.client.HTTPConnection]:
        """Return the gateway's answer, and the connection, which is closed unless it is 101."""
        connection = connection_to(self._parts, timeout=SILENT)
        self._open.append(connection)
        try:
            connection.connect()
            _watch(connection.sock)
            connection.request("GET", self._path, headers=self._headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if response.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            connection.close()
        return response.status, body, connection


def _filled(response: http.client.HTTPResponse, view: memoryview) -> Any:
    """Read the body into the view; return what of it was filled, or more than fits."""
    at = 0
    while at < len(view) and (count := response.readinto(view[at:])):
        at += count
    if at < len(view) and response.length:
        raise http.client.IncompleteRead(b"", response.length)  # which readinto does not
    rest = response.read()
    return bytes(len(view) + 1) if rest else view[:at]


def _sentence(status: int, body: bytes) -> str:
    """Return what the gateway says, in JSON or without."""
    text = body.decode(errors="replace").strip()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return text[:1000] or f"the gateway answers {status}"
