"""Where a pickle goes while it is made: into memory, where it is small, or piece by piece away."""

import pickle
import sys
from concurrent.futures import Future
from typing import Any, Protocol

from elastic_jupyter_agent.snapshot.blobs import CHUNK, SAMPLE, Writer
from elastic_jupyter_agent.wire import Chunk, Entry, Group, Payload

#: The first byte of what pickle writes, but for a single value of 64 KiB or more.
_FRAMED = pickle.FRAME[0], pickle.PROTO[0]


class Output(Protocol):
    """Where a pickle goes, while it is made."""

    def write(self, data: Any) -> int:
        """Take a piece of the stream, something like bytes that may change afterwards."""

    def buffer(self, view: memoryview) -> None:
        """Take a buffer that is not in the stream."""


class Kept:
    """An output that keeps a small pickle in memory, and of a larger one nothing.

    ``most`` is in bytes, buffers included: they may be copies, made for the pickle.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        self._most = most
        self.size = 0
        self.stream: list[bytes] = []
        self.buffers: list[memoryview] = []

    @property
    def whole(self) -> bool:
        """Whether it was small enough."""
        return self.size <= self._most

    def write(self, data: Any) -> int:
        self.size += len(data)
        if self.whole:
            self.stream.append(bytes(data))  # no copy of bytes
        else:
            self._forget()
        return len(data)

    def buffer(self, view: memoryview) -> None:
        self.size += view.nbytes
        if self.whole:
            self.buffers.append(view)
        else:
            self._forget()

    def _forget(self) -> None:
        self.stream.clear()
        self.buffers.clear()

    def copy(self, output: Output) -> None:
        """Give another output what this one has."""
        for piece in self.stream:
            output.write(piece)
        for view in self.buffers:
            output.buffer(view)


class SinkFailed(BaseException):
    """Goes through what takes exceptions for those of users' objects."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Sent:
    """An output that is stored while it is made."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._stream: list[Future[Chunk]] = []
        self._buffers: list[tuple[list[Future[Chunk]], bool]] = []
        self._pieces: list[memoryview] = []
        self._size = 0

    def write(self, data: Any) -> int:
        self._pieces.append(memoryview(bytes(data)))  # no copy of bytes
        self._size += len(data)
        # What follows a long value is found again though what is before that changes.
        long = len(data) >= SAMPLE and self._pieces[-1][0] not in _FRAMED
        if long or self._size >= CHUNK:
            self.flush()
        return len(data)

    def buffer(self, view: memoryview) -> None:
        self._buffers.append((self._store([view]), view.readonly))

    def flush(self) -> None:
        """Store what waits to be a chunk."""
        self._stream += self._store(self._pieces)
        self._pieces, self._size = [], 0

    def _store(self, pieces: list[memoryview]) -> list[Future[Chunk]]:
        try:
            return self._writer.add(pieces)
        except Exception as error:
            raise SinkFailed(error) from error

    def group(self, entries: tuple[Entry, ...]) -> Group:
        """Return what was stored; waits for it."""
        buffers = tuple(_payload(chunks, readonly) for chunks, readonly in self._buffers)
        return Group(entries, _payload(self._stream), buffers)


def _payload(chunks: "list[Future[Chunk]]", readonly: bool = True) -> Payload:
    return Payload(tuple(chunk.result() for chunk in chunks), readonly)
