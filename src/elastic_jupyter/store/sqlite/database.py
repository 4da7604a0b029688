"""The file: its connection, its schema, its thread, and its errors in our words.

WAL, so that readers never wait for a writer and a process may be killed at any moment. One
transaction per call: what was begun and not committed never happened.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from elastic_jupyter.clock import Clock, SystemClock
from elastic_jupyter.errors import ConfigError, Unavailable
from elastic_jupyter.store.sqlite.bell import Bell

T = TypeVar("T")

#: How long a write waits for another process to finish its own, s. Each takes milliseconds.
PATIENCE = 5.0

#: ``log`` has one row. An object's ``version`` is the revision that wrote it last, so what changed
#: since a revision is read from the objects themselves; only removals need a list, ``removals``,
#: whose entries up to ``log.trimmed`` are dropped.
SCHEMA = (
    """
    CREATE TABLE objects (
        kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        uid TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    )
    """,
    "CREATE INDEX objects_by_version ON objects (kind, version)",
    "CREATE TABLE removals (revision INTEGER PRIMARY KEY, kind TEXT NOT NULL, uid TEXT NOT NULL)",
    "CREATE TABLE log (revision INTEGER NOT NULL, trimmed INTEGER NOT NULL)",
    "INSERT INTO log VALUES (0, 0)",
)
SCHEMA_VERSION = 1

_FULL = "the disk is full: free some space"
#: By SQLite's result code, or its primary one: what is wrong with the file, and what to do.
_TROUBLE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: "it cannot be written: check its mode and its file system",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its directory exists and is yours",
    sqlite3.SQLITE_BUSY: f"another process has kept it locked for {PATIENCE:g} s",
    sqlite3.SQLITE_CORRUPT: "it is damaged: move it away and start again",
    sqlite3.SQLITE_NOTADB: "it is no database: move it away and start again",
    sqlite3.SQLITE_IOERR: "its disk failed",
    # Also where the disk has no room for the memory that the processes share.
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,
}


class Database:
    """One SQLite file, used by one thread of its own: a slow disk never blocks the event loop.

    Attributes:
        path: where the file is.
        clock: what the objects' times are of.
        bell: rings in all processes after each change.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.bell = Bell(path.parent / "bells")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.name)
        try:
            self._connection = self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, which sees one state of the file and changes nothing.

        Raises ``Unavailable``, and what ``work`` raises.
        """
        return await self._run(self._transaction, "BEGIN", work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns. All its changes are made, or none if it raises.

        Raises ``Unavailable``, and what ``work`` raises.
        """
        return await self._run(self._write, work)

    def close(self) -> None:
        """Close the file after what is under way. Every call after it fails."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)

    def _write(self, work: Callable[[Connection], T]) -> T:
        before = self._connection.total_changes
        # Not upgraded from a read later on: that fails at once where another process writes.
        result = self._transaction("BEGIN IMMEDIATE", work)
        if self._connection.total_changes != before:
            self.bell.ring()
        return result

    def _transaction(self, begin: str, work: Callable[[Connection], T]) -> T:
        with self._in_our_words():
            return _transaction(self._connection, begin, work)

    def _open(self) -> Connection:
        with self._in_our_words(), contextlib.ExitStack() as stack:
            self.bell.directory.mkdir(mode=0o700, exist_ok=True)
            # Two that switch the same new file to WAL fail, however patient they are.
            lock = os.open(self.bell.directory, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # SQLite gives the files beside it the same mode. One that exists is not opened here:
            # whoever closes it takes all locks from it that this process has.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            closing = stack.enter_context(contextlib.ExitStack())
            closing.callback(connection.close)
            self._prepare(connection)
            closing.pop_all()
            return connection

    def _prepare(self, connection: Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise ConfigError(
                f"{self.path} was written by a newer elastic-jupyter (its schema is {version}, "
                f"this one knows {SCHEMA_VERSION}): install that one, or move the file away"
            )
        if version == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            _transaction(connection, "BEGIN IMMEDIATE", _make_schema)
        # With WAL a power failure may undo the last writes, but breaks nothing.
        connection.execute("PRAGMA synchronous = NORMAL")

    @contextlib.contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            trouble = _TROUBLE.get(code) or _TROUBLE.get(code & 0xFF)
            what = f"{trouble} ({error})" if trouble else str(error)
            raise Unavailable(f"{self.path}: {what}") from error
        except OSError as error:
            trouble = _TROUBLE[sqlite3.SQLITE_CANTOPEN]
            raise Unavailable(f"{self.path}: {trouble} ({error})") from error


def open_database(path: Path, *, clock: Clock | None = None) -> Database:
    """Open the file, or make it with mode 0600 in a directory that exists.

    Raises ``Unavailable``, which names the file; ``ConfigError`` when it is of a newer version.
    Call ``close`` at the end.
    """
    return Database(path, clock=clock or SystemClock())


def _make_schema(connection: Connection) -> None:
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _transaction(connection: Connection, begin: str, work: Callable[[Connection], T]) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    finally:
        # After some errors SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return result
