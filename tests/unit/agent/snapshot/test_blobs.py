"""What of a snapshot is a blob, and what is in its manifest."""

import os

import pytest

from elastic_jupyter_agent.snapshot import blobs
from elastic_jupyter_agent.wire import Payload


class Blobs(dict[str, bytes]):
    """A sink and a source."""

    has = dict.__contains__

    def put(self, digest: str, data: bytes | memoryview) -> None:
        self[digest] = bytes(data)

    def read_into(self, digest: str, view: memoryview) -> int:
        view[:] = self[digest]
        return len(view)


def saved(pieces: list[bytes], sink: Blobs) -> list[Payload]:
    """Save pieces of random bytes, a payload each."""
    with blobs.Writer(sink) as writer:
        futures = [writer.add([memoryview(piece)]) for piece in pieces]
    return [Payload(tuple(each.result() for each in chunks)) for chunks in futures]


@pytest.mark.parametrize(
    ("sizes", "stored"),
    [
        pytest.param([0], [], id="nothing"),
        pytest.param([1, 500, blobs.SMALL], [], id="small"),
        pytest.param([blobs.SMALL + 1, 1], [0], id="one that is large"),
        pytest.param([blobs.CHUNK + 1], [0], id="the rest of a large one is small"),
        pytest.param([blobs.SMALL] * 18, [16, 17], id="more than there is room for"),
        pytest.param([*[blobs.SMALL] * 15, 1, blobs.SMALL, 9], [16], id="what there is room for"),
    ],
)
def test_what_is_small_is_no_blob_as_long_as_there_is_room(
    sizes: list[int], stored: list[int]
) -> None:
    sink, pieces = Blobs(), [os.urandom(size) for size in sizes]
    payloads = saved(pieces, sink)
    with_blobs = [n for n, one in enumerate(payloads) if any(chunk.digest for chunk in one.chunks)]
    assert with_blobs == stored
    assert bool(sink) == bool(stored)
    with blobs.Reader(sink) as reader:
        assert [bytes(view) for view in reader.read(payloads)()] == pieces
