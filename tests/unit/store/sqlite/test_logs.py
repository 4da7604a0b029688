from contextlib import aclosing

from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.store.sqlite import FileLogs, SqliteKernelStore, log_file
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
