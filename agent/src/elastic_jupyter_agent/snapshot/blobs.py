"""Bytes to blobs and back: cut, hashed, compressed where it pays, by a few threads.

What is small is no blob: most names are, and of a bucket each blob is an answer of 0.1 s. A blob is
named after the BLAKE3 of what is stored, so what did not change is not written again. A quick hash
of what each blob came from is in the manifest: what did not change is not even read twice. XXH3
takes a fifth of BLAKE3's time, and 128 bits of it meet by chance as seldom; whoever made two arrays
meet on purpose would damage what is his own.
"""

import binascii
import contextlib
import mmap
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import xxhash
import zstandard
from blake3 import blake3

from elastic_jupyter_agent.wire import Chunk, DamagedBlob, Manifest, Payload

#: Bytes. Smaller writes less after a small change; each costs a question and a file.
CHUNK = 4 * 1024 * 1024
#: A piece of so many bytes begins a chunk. pickle writes frames of 64 KiB, which are joined.
LARGE = 1024 * 1024
#: A sample of so many bytes from the middle says whether the chunk is worth compressing.
SAMPLE = 64 * 1024
#: Level 1 compresses 0.25 to 1 GB/s; what shrinks by less than a tenth is stored as it is.
LEVEL, SAVED = 1, 0.1
#: Each waits for the store half of its time; more starve other kernels.
THREADS = 4
#: Chunks under way for each thread, which bounds the memory that a slow store costs.
AHEAD = 4
#: What has so few bytes is in the manifest, as long as that has so much room for all of it.
SMALL, INLINE = 16 * 1024, 256 * 1024


class Sink(Protocol):
    """Where blobs go. Both methods are called from several threads, and may raise ``OSError``.

    Nothing has the empty digest.
    """

    def has(self, digest: str) -> bool: ...
    def put(self, digest: str, data: bytes | memoryview) -> None: ...


class Source(Protocol):
    """Where blobs come from. Called from several threads; raises ``OSError`` for one not there.

    ``read_into`` puts a blob where it belongs, which takes half the time of a copy of it, and
    returns its length, or any number beyond the view's for a blob that does not fit.
    """

    def get(self, digest: str) -> bytes: ...
    def read_into(self, digest: str, view: memoryview) -> int: ...


class Writer:
    """Writes payloads into a sink; ``known`` is what an earlier snapshot of this kernel stored.

    ``add`` returns at once with the chunks to come; on leaving the ``with`` all are written, or
    the first error is raised.
    """

    def __init__(self, sink: Sink, known: Manifest | None = None) -> None:
        self._sink = sink
        self._known = {chunk.quick: chunk for chunk in _chunks(known)}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="elastic-jupyter-snapshot")
        self._waiting: list[Future[Chunk]] = []
        self.written = 0  #: bytes that the sink did not have
        self._room = INLINE
        # Seconds for a byte when nothing else held the sink up: a busy machine says nothing of it.
        self._fastest = 1.0

    def __enter__(self) -> "Writer":
        # The sink has what it knows listed at the first question, while the values are looked at.
        self._pool.submit(self._sink.has, "")
        return self

    def __exit__(self, kind: Any, *rest: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def add(self, pieces: Iterable[memoryview]) -> "list[Future[Chunk]]":
        """Store the pieces as one payload. Blocks while too many chunks are under way."""
        futures = []
        for data in cut(pieces):
            if len(data) <= min(SMALL, self._room):
                self._room -= len(data)
                futures.append(_inline(data))
                continue
            if len(self._waiting) >= AHEAD * THREADS:
                self._waiting.pop(0).result()
            futures.append(self._pool.submit(self._store, data))
            self._waiting.append(futures[-1])
        return futures

    def _store(self, data: memoryview) -> Chunk:
        quick = xxhash.xxh3_128_hexdigest(data)
        known = self._known.get(quick)
        if known and known.length == len(data) and self._sink.has(known.digest):
            return known
        stored: bytes | memoryview = data
        if self._pays(data):
            smaller = zstandard.ZstdCompressor(level=LEVEL).compress(data)
            stored = smaller if len(smaller) < len(data) else data
        digest = blake3(stored).hexdigest()
        chunk = Chunk(digest, len(stored), len(data), quick)
        if not self._sink.has(chunk.digest):
            began = time.perf_counter()
            self._sink.put(chunk.digest, stored)
            self.written += chunk.size
            if chunk.size >= 4 * SAMPLE:  # what is smaller says how slow an answer is
                self._fastest = min(self._fastest, (time.perf_counter() - began) / chunk.size)
        return chunk

    def _pays(self, data: memoryview) -> bool:
        """Say by a sample whether compressing takes less time than storing what it saves.

        To memory or a fast disk it does not, over a network it does. The first chunks, before the
        sink's speed is known, are compressed where that makes them smaller.
        """
        middle = max(0, len(data) - SAMPLE) // 2
        sample = data[middle : middle + SAMPLE]
        began = time.perf_counter()
        smaller = len(zstandard.ZstdCompressor(level=LEVEL).compress(sample))
        taken = (time.perf_counter() - began) / len(sample)
        saved = 1 - smaller / len(sample)
        taken *= max(1.0, THREADS / (os.cpu_count() or 1))  # the others want to compress, too
        return saved > SAVED and taken < saved * self._fastest


def _inline(data: memoryview) -> "Future[Chunk]":
    """Return a chunk that needs no blob."""
    done: Future[Chunk] = Future()
    text = binascii.b2a_base64(data, newline=False).decode()
    done.set_result(Chunk("", len(data), len(data), inline=text))
    return done


def cut(pieces: Iterable[memoryview]) -> Iterator[memoryview]:
    """Cut into chunks. Small pieces are joined; a large one begins a chunk of its own.

    So bytes that did not change make the same chunks, wherever in a stream they are.
    """
    small: list[memoryview] = []
    size = 0
    for piece in pieces:
        if len(piece) < LARGE:
            small.append(piece)
            size += len(piece)
            if size < CHUNK:
                continue
        if size:
            yield _joined(small)
            small, size = [], 0
        if len(piece) >= LARGE:
            yield from (piece[at : at + CHUNK] for at in range(0, len(piece), CHUNK))
    if size:
        yield _joined(small)


def _joined(pieces: list[memoryview]) -> memoryview:
    """Return the pieces in one, which nobody changes from now on: a thread of the user's may."""
    if len(pieces) == 1 and type(pieces[0].obj) is bytes:
        return pieces[0]
    return memoryview(b"".join(pieces))


class Reader:
    """Reads payloads from a source, a few chunks at a time; to be left by ``with``."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="elastic-jupyter-snapshot")

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, payloads: Sequence[Payload]) -> Callable[[], list[memoryview]]:
        """Begin to read; what is returned waits for the data of each payload.

        It may be written to where the payload says so. The call raises ``OSError`` for a blob that
        is not there, ``DamagedBlob`` for one that changed.
        """
        results = [_memory(payload.length) for payload in payloads]
        jobs = []
        for payload, result in zip(payloads, results, strict=True):
            at = 0
            for chunk in payload.chunks:
                view = result[at : at + chunk.length]
                at += chunk.length
                if chunk.inline:
                    view[:] = binascii.a2b_base64(chunk.inline)
                else:
                    jobs.append(self._pool.submit(self._fill, view, chunk))

        def wait() -> list[memoryview]:
            for job in jobs:
                job.result()
            return [
                result.toreadonly() if payload.readonly else result
                for payload, result in zip(payloads, results, strict=True)
            ]

        return wait

    def _fill(self, view: memoryview, chunk: Chunk) -> None:
        stored: bytes | memoryview = view
        if chunk.compressed:
            stored = self._source.get(chunk.digest)
        else:
            length = self._source.read_into(chunk.digest, view)
        if blake3(stored).hexdigest() != chunk.digest:
            raise DamagedBlob(f"blob {chunk.digest[:12]} of the snapshot is damaged")
        if chunk.compressed:
            with zstandard.ZstdDecompressor().stream_reader(stored) as reader:
                length = reader.readinto(view)
        if length != chunk.length:
            raise DamagedBlob(f"blob {chunk.digest[:12]} of the snapshot has a wrong length")


def _memory(length: int) -> memoryview:
    """Return memory that is not filled before it is: the system gives it page by page."""
    if length < SAMPLE:
        return memoryview(bytearray(length))
    # Private: a child of the user's that writes to it writes to its own.
    memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def _chunks(manifest: Manifest | None) -> Iterator[Chunk]:
    for group in manifest.groups if manifest else ():
        for payload in (group.stream, *group.buffers):
            yield from (chunk for chunk in payload.chunks if chunk.digest)
