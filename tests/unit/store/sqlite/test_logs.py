import io
from contextlib import aclosing

import pytest

from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.store.sqlite import FileLogs, SqliteKernelStore, log_file
from elastic_jupyter.store.sqlite.logs import PIECE, _seek_last_lines
from tests.contract.writer import a_kernel


async def test_a_log_that_is_cut_is_followed_on(database, tmp_path):
    store = SqliteKernelStore(database)
    kernel = await store.create(a_kernel(Key("team", "a")))
    log = log_file(tmp_path, kernel)
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first\nsecond\n")
    async with aclosing(FileLogs(tmp_path, store).read(kernel, follow=True)) as pieces:
        assert await anext(pieces) == b"first\nsecond\n"
        log.write_bytes(b"second\n")
        assert await anext(pieces) == b"second\n"


class Growing(io.BytesIO):
    """A log that its kernel prints to whenever it is read."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert 0 <= size <= PIECE
        piece, after = super().read(size), self.tell()
        self.seek(0, io.SEEK_END)
        self.write(b"new\n")
        self.seek(after)
        return piece


LONG = b"x" * (3 * PIECE) + b"\n"


@pytest.mark.parametrize(
    ("printed", "lines", "want"),
    [
        pytest.param(b"a\nb\nc\n", 2, b"b\nc\n", id="the last two"),
        pytest.param(b"a\nb\nc", 2, b"b\nc", id="the last without its end"),
        pytest.param(b"a\nb\n", 2, b"a\nb\n", id="as many as there are"),
        pytest.param(b"a\nb\n", 9, b"a\nb\n", id="more than there are"),
        pytest.param(b"a\nb\n", 0, b"", id="none"),
        pytest.param(b"", 3, b"", id="an empty log"),
        pytest.param(b"a\n\n\n", 2, b"\n\n", id="empty lines"),
        pytest.param(b"a\n1 %\r2 %\r3 %\n", 1, b"1 %\r2 %\r3 %\n", id="a progress bar"),
        pytest.param(b"a\n" + LONG + b"b\n", 2, LONG + b"b\n", id="a line of many pieces"),
        pytest.param(b"a\n" + LONG[-PIECE:], 1, LONG[-PIECE:], id="a line of one piece"),
    ],
)
def test_the_last_lines_of_a_log_that_grows(printed: bytes, lines: int, want: bytes) -> None:
    log = Growing(printed)
    _seek_last_lines(log, lines)
    assert io.BytesIO.read(log, len(printed) - log.tell()) == want
