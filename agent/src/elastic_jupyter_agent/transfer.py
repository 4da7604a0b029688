"""Blobs and manifests to and from the gateway, over HTTP with the kernel's own token.

One connection per thread, kept open. A gateway that is away or busy (503) is asked again for half a
minute; 409 says that the transfer was cancelled, and everything stops.
"""

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from typing import Any

#: Seconds for one answer, for all attempts at one request, and the pauses between two.
TIMEOUT, PATIENCE = 60.0, 30.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
_NO_BLOB = "a blob of the snapshot is not in the store"


class Refused(OSError):
    """The gateway's no; the message is its sentence for the user."""


class Cancelled(Refused):
    """The gateway does not want the snapshot any more (409)."""


class Gateway:
    """A sink and a source of blobs, for one snapshot at ``url``. Safe to be used by threads."""

    def __init__(self, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname:
            raise Refused(f"{url!r} is no address of a gateway")
        secure = parts.scheme == "https"
        self._connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Authorization": f"token {token}"}
        self._own = threading.local()
        self._open: list[http.client.HTTPConnection] = []
        self._stopped: Refused | None = None

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()

    def has(self, digest: str) -> bool:
        """Say whether a blob is there."""
        return self._ask("HEAD", f"/blobs/{digest}") is not None

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
        deadline = time.monotonic() + PATIENCE
        pause = FIRST_PAUSE
        while True:
            if self._stopped:
                raise self._stopped
            try:
                status, answer = self._once(method, path, body, into)
            except (OSError, http.client.HTTPException) as error:
                answer = f"no answer from the gateway: {error or type(error).__name__}".encode()
                status = 503
            if 200 <= status < 300:
                return answer
            if status == 404 and method != "PUT":
                return None
            why = _sentence(status, answer)
            if status == 409:
                self._stopped = Cancelled(why)
                raise self._stopped
            if status != 503 or time.monotonic() + pause > deadline:
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
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._connect(self._host, self._port, timeout=TIMEOUT)
            self._own.connection = connection
            self._open.append(connection)
        try:
            connection.request(method, self._path + path, data, self._headers)
            response = connection.getresponse()
            if into is not None and response.status == 200:
                body = _filled(response, into)
            else:
                body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # it connects anew by itself
            raise
        if method == "HEAD" and response.status >= 400 and response.status not in (404, 503):
            return self._once("GET", path)  # a no to HEAD has no words
        return response.status, body


def _filled(response: http.client.HTTPResponse, view: memoryview) -> Any:
    """Read the body into the view; return what of it was filled, or more than fits."""
    at = 0
    while at < len(view) and (count := response.readinto(view[at:])):
        at += count
    rest = response.read()
    return bytes(len(view) + 1) if rest else view[:at]


def _sentence(status: int, body: bytes) -> str:
    """Return what the gateway says, in JSON or without."""
    text = body.decode(errors="replace").strip()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])
    return text[:1000] or f"the gateway answers {status}"
