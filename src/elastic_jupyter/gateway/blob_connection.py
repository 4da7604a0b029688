"""What is said on the connection of an agent: HTTP/1.1, each request answered after the other.

| | while it is saved | while it is restored |
|---|---|---|
| ``GET /blobs`` | the digests that need no writing, a line each | |
| ``/blobs/<digest>`` | PUT: 201 | GET |
| ``/manifest`` | PUT: 201 with its ``id``, all is saved | GET |

Everything else is refused with a JSON object whose ``message`` is a sentence for the user: 403 not
for this transfer, 404, 409 it has ended, 411, 413 too large, 422 not what its digest says, 503 and
507 the store. A connection has one thread and ``PIECE`` bytes of memory, whatever goes through it.
"""

import contextlib
import json
import logging
import mmap
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TypeVar

from elastic_jupyter.errors import (
    Conflict,
    ElasticJupyterError,
    Forbidden,
    NotFound,
    SnapshotBroken,
    SnapshotMissing,
    SnapshotTooLarge,
    Unavailable,
)
from elastic_jupyter.gateway.transfers import Restoring, Saving, Transfer
from elastic_jupyter.store.snapshots import SnapshotStore

T = TypeVar("T", bound=Transfer)

_log = logging.getLogger(__name__)

#: Bytes that are taken before the store is given any: what the agent sends at most. It takes a
#: gateway for dead that takes nothing for some seconds, and a slow store may need as long for this.
PIECE = 4 * 2**20
#: Bytes of one blob, and of a manifest: that has a hundred for each blob, and as many a name, and
#: what is small.
MAX_BLOB, MAX_MANIFEST = 64 * 2**20, 32 * 2**20
#: One manifest at a time is read: as JSON it may have many times its bytes.
_SEALING = threading.Lock()
#: Seconds without a byte after which a connection is given up; the agent makes another.
SILENT = 60.0
#: How much less these threads count than those that carry cells (``nice``).
NICENESS = 5


def answer(transfer: Transfer, store: SnapshotStore, connection: socket.socket) -> None:
    """Answer what comes on a connection until it ends. Blocks; the connection stays open."""
    with contextlib.suppress(OSError):  # not on every system
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    with contextlib.suppress(OSError):  # the other side went away, or the transfer ended
        _Requests(transfer, store, connection)


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = SILENT

    def __init__(self, transfer: Transfer, store: SnapshotStore, connection: socket.socket) -> None:
        self._transfer, self._store = transfer, store
        self._buffer = memoryview(mmap.mmap(-1, PIECE))  # it begins where a disk can take it from
        self._left = 0  # bytes of a body that are still to come
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]  # it asks no server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: there are thousands."""

    def do_GET(self) -> None:
        """Give a blob or the manifest, or say which blobs are there."""
        if self.path == "/blobs":
            self._do(self._list)
        elif self.path == "/manifest":
            self._do(self._give_manifest)
        else:
            self._do(self._give_blob)

    def do_PUT(self) -> None:
        """Take a blob or the manifest."""
        try:
            self._left = int(self.headers["Content-Length"])
            if self._left < 0:
                raise ValueError
        except (TypeError, ValueError):
            self.close_connection = True
            self._say(411, {"message": "the Content-Length is missing", "reason": "Invalid"})
            return
        self._do(self._take_manifest if self.path == "/manifest" else self._take_blob)

    def _do(self, work: Callable[[], None]) -> None:
        try:
            self._transfer.require_open()
            work()
        except ElasticJupyterError as error:
            if isinstance(error, SnapshotMissing | SnapshotBroken):
                self._transfer.unreadable = error
            self._refuse(error.http_status, error)
        except OSError:
            raise  # of the connection: the store's have been translated
        except Exception:
            _log.exception("the snapshot of kernel %s", self._transfer.kernel_id)
            self._refuse(500, ElasticJupyterError("the gateway failed"))

    # -- from the kernel

    def _list(self) -> None:
        self._send(200, "\n".join(self._of(Saving).save.there()).encode())

    def _take_blob(self) -> None:
        draft = self._of(Saving).save.put(self._digest())
        try:
            for piece in self._body(MAX_BLOB):
                draft.write(piece)
            self._transfer.require_open()
            draft.commit()
        finally:
            draft.abort()
        self._send(201)

    def _take_manifest(self) -> None:
        saving = self._of(Saving)
        if saving.sealed:
            raise Conflict("all is saved already")
        manifest = b"".join(bytes(piece) for piece in self._body(MAX_MANIFEST))
        self._transfer.require_open()
        with _SEALING:
            snapshot = saving.save.seal(manifest)
        self._transfer.require_open()
        saving.sealed = snapshot
        self._say(201, {"id": snapshot})

    # -- to the kernel

    def _give_manifest(self) -> None:
        it = self._of(Restoring)
        self._send(200, self._store.manifest(it.uid, it.epoch, it.snapshot))

    def _give_blob(self) -> None:
        """Send a blob, which the agent compares with its digest."""
        uid, digest = self._of(Restoring).uid, self._digest()
        if path := self._store.path(uid, digest):
            try:
                file = open(path, "rb")  # noqa: SIM115  # what it raises is the store's
            except OSError as error:
                raise Unavailable(f"{path} could not be read: {error}") from error
            with file:
                self._head(200, os.fstat(file.fileno()).st_size)
                self._transfer.moved += self.connection.sendfile(file)
            return
        size, pieces = self._store.open_blob(uid, digest)
        with contextlib.closing(pieces):
            first = next(pieces, b"")  # so an error can still be told
            self._head(200, size)
            self._pass_on(first)
            try:
                for piece in pieces:
                    self._pass_on(piece)
            except ElasticJupyterError as error:
                if isinstance(error, SnapshotBroken):
                    self._transfer.unreadable = error
                self.close_connection = True  # too early, as the agent sees

    def _pass_on(self, piece: bytes) -> None:
        self.connection.sendall(piece)
        self._transfer.moved += len(piece)

    # -- HTTP

    def _of(self, kind: type[T]) -> T:
        if not isinstance(self._transfer, kind):
            raise Forbidden("the token is not for this")
        return self._transfer

    def _digest(self) -> str:
        found = re.fullmatch(r"/blobs/([0-9a-f]{64})", self.path)
        if not found:
            raise NotFound(f"there is no {self.path}")
        return found[1]

    def _body(self, most: int) -> Iterator[memoryview]:
        """Yield what comes, in pieces that are gone with the next one."""
        if self._left > most:
            raise SnapshotTooLarge(f"{self._left} bytes at once, and {most} are the most")
        while self._left:
            piece = self._buffer[: self._left]
            self._read(piece)
            self._transfer.moved += len(piece)
            yield piece

    def _read(self, piece: memoryview) -> None:
        """Fill it with what comes."""
        while piece:
            count = self.rfile.readinto1(piece)
            if not count:
                raise ConnectionError("the kernel went away")
            self._left -= count
            piece = piece[count:]

    def _refuse(self, status: int, error: ElasticJupyterError) -> None:
        # Who still sends would lose the answer if the connection ended now.
        if self._left > MAX_BLOB:
            self.close_connection = True
        else:
            while self._left:
                self._read(self._buffer[: self._left])
        self._say(status, {"message": str(error), "reason": error.reason})

    def _say(self, status: int, said: dict[str, str]) -> None:
        self._send(status, json.dumps(said).encode())

    def _send(self, status: int, body: bytes = b"") -> None:
        self._head(status, len(body))
        if body:
            self.wfile.write(body)

    def _head(self, status: int, length: int) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
