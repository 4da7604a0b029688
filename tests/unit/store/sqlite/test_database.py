import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest

from elastic_jupyter.errors import ConfigError, NotFound, Unavailable
from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.store.sqlite import SqliteKernelStore, database, objects, open_database
from tests.contract.writer import a_kernel, elsewhere
from tests.support.objects import an_object

KEY = Key("team", "a")
ANYBODY = 65534
"""The uid of nobody."""


@pytest.fixture
def store(database):
    return SqliteKernelStore(database)


def a_process(code, *arguments):
    """Start a process that runs this code; its output is read line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    )


def problems(path):
    """Return what SQLite finds wrong with a file: nothing."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = [text for (text,) in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


# -- the file


async def test_the_files_are_for_their_owner_alone(database, store):
    await store.create(a_kernel(KEY))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in database.path.parent.iterdir()}
    assert modes == {
        "objects.db": "0o600",
        "objects.db-wal": "0o600",
        "objects.db-shm": "0o600",
        "bells": "0o700",
    }


async def test_what_was_written_is_there_after_it_is_opened_again(path):
    with contextlib.closing(open_database(path)) as database:
        created = await SqliteKernelStore(database).create(a_kernel(KEY))
    with contextlib.closing(open_database(path)) as database:
        assert await SqliteKernelStore(database).get(KEY) == created


async def test_many_processes_may_make_the_file_at_once(path):
    keys = [Key("team", f"k-{number}") for number in range(4)]
    await asyncio.gather(*(elsewhere(f"sqlite:{path}", "create", key) for key in keys))
    with contextlib.closing(open_database(path)) as database:
        store = SqliteKernelStore(database)
        versions = {(await store.get(key)).metadata.resource_version for key in keys}
    assert versions == {"1", "2", "3", "4"}


def test_a_file_of_a_newer_version_is_left_alone(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match=rf"{path} was written by a newer .*its schema is 99"):
        open_database(path)


# -- transactions


async def test_work_that_raises_changes_nothing_and_ends_nothing(database, store):
    def work(connection):
        objects.create(connection, "Thing", an_object("a"), now=database.clock.now())
        raise NotFound("of the work")

    with pytest.raises(NotFound, match="of the work"):
        await database.write(work)
    with pytest.raises(NotFound):
        await database.read(partial(objects.get, kind="Thing", key=KEY))
    created = await store.create(a_kernel(KEY))
    assert created.metadata.resource_version == "1"


async def test_a_slow_disk_does_not_stop_the_event_loop(database):
    disk = threading.Event()
    work = asyncio.create_task(database.read(lambda connection: disk.wait(60)))
    await asyncio.sleep(0)
    disk.set()
    assert await work is True


@pytest.mark.parametrize("_", range(5))
async def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(path, _):
    writer = a_process(
        """if 1:
        import asyncio, pathlib, sys
        from elastic_jupyter.store.sqlite import objects, open_database
        database = open_database(pathlib.Path(sys.argv[1]))
        def work(connection, number):
            for name in ("a", "b"):
                obj = {"metadata": {"namespace": "team", "name": name}, "number": number}
                objects.put(connection, "Thing", obj, now=database.clock.now())
        async def main():
            for number in range(1_000_000):
                await database.write(lambda connection: work(connection, number))
                print(number, flush=True)
        asyncio.run(main())
        """,
        path,
    )
    with writer:
        for line in writer.stdout:
            if int(line) == 100:
                writer.send_signal(signal.SIGKILL)
                break
        said = [100, *map(int, writer.stdout)]
    assert writer.returncode == -signal.SIGKILL
    with contextlib.closing(open_database(path)) as database:
        a, b = [
            (await database.read(partial(objects.get, kind="Thing", key=Key("team", name))))
            for name in ("a", "b")
        ]
    assert a["number"] == b["number"] >= said[-1]
    assert problems(path) == []


async def test_a_writer_that_is_killed_within_a_transaction_has_written_nothing(database, store):
    writer = a_process(
        """if 1:
        import asyncio, pathlib, sys, time
        from elastic_jupyter.store.sqlite import objects, open_database
        database = open_database(pathlib.Path(sys.argv[1]))
        def work(connection):
            obj = {"metadata": {"namespace": "team", "name": "a"}}
            objects.put(connection, "Thing", obj, now=database.clock.now())
            print("half", flush=True)
            time.sleep(600)
        asyncio.run(database.write(work))
        """,
        database.path,
    )
    with writer:
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    await store.create(a_kernel(KEY))
    with pytest.raises(NotFound):
        await database.read(partial(objects.get, kind="Thing", key=KEY))
    assert problems(database.path) == []


# -- trouble


async def test_a_full_disk_is_said_and_breaks_nothing(database, store):
    first = await store.create(a_kernel(KEY))
    limit = "PRAGMA max_page_count = {}"
    await database.read(lambda connection: connection.execute(limit.format(20)).fetchall())
    second = Key("team", "b")
    with pytest.raises(Unavailable, match=rf"{database.path}: the disk is full: free some space"):
        await store.create(a_kernel(second, user="x", template={"x": "y" * 200_000}))
    assert await store.get(KEY) == first
    await database.read(lambda connection: connection.execute(limit.format(2**30)).fetchall())
    await store.create(a_kernel(second))
    assert problems(database.path) == []


async def test_one_that_keeps_the_file_locked_is_waited_for_and_then_said(path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with (
        contextlib.closing(open_database(path)) as file,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as stopped,
    ):
        store = SqliteKernelStore(file)
        first = await store.create(a_kernel(KEY))
        stopped.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=rf"{path}: another process has kept it locked"):
            await store.create(a_kernel(Key("team", "b")))
        assert await store.get(KEY) == first
        stopped.execute("ROLLBACK")
        await store.create(a_kernel(Key("team", "b")))


def test_a_file_that_cannot_be_written_is_said():
    writer = """if 1:
        import asyncio, os, pathlib, sys
        from elastic_jupyter.errors import Unavailable
        from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
        from tests.contract.writer import Key, a_kernel
        if os.geteuid() == 0:
            os.setuid(int(sys.argv[2]))
        try:
            store = SqliteKernelStore(open_database(pathlib.Path(sys.argv[1])))
            asyncio.run(store.create(a_kernel(Key("team", "a"))))
        except Unavailable as error:
            print(error)
    """
    # Not below pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "objects.db")
        open_database(path).close()
        path.chmod(0o444)
        Path(folder, "bells").chmod(0o555)
        Path(folder).chmod(0o555)
        try:
            with a_process(writer, path, ANYBODY) as process:
                said = process.stdout.read()
        finally:
            Path(folder).chmod(0o700)
    assert said.startswith(f"{path}: it cannot be ")
    assert "check" in said


def test_a_file_in_a_directory_that_does_not_exist_is_said(tmp_path):
    path = tmp_path / "missing" / "objects.db"
    with pytest.raises(Unavailable, match=rf"{path}: it cannot be opened: check .*directory"):
        open_database(path)


def test_what_is_no_database_is_left_alone_and_said(path):
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(Unavailable, match=rf"{path}: it is no database: move it away"):
        open_database(path)
    assert path.read_bytes() == b"no database " * 1000


async def test_a_damaged_file_is_said(path):
    with contextlib.closing(open_database(path)) as file:
        for number in range(50):
            await SqliteKernelStore(file).create(a_kernel(Key("team", f"k-{number}")))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with (
        contextlib.closing(open_database(path)) as file,
        pytest.raises(Unavailable, match=rf"{path}: it is damaged: move it away"),
    ):
        await SqliteKernelStore(file).get(Key("team", "k-1"))
