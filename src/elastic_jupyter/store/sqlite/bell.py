"""Tells the watchers of all processes that something was written.

Each watcher has a datagram socket in one directory, and whoever has written sends a byte to every
one of them. A byte says nothing but "look": a lost one costs the time until the next slow look.
"""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from elastic_jupyter import logs

log = logs.get(__name__)


class Bell:
    """``directory`` holds the sockets; it is made by whoever opens the database."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def ring(self) -> None:
        """Wake all that listen, in any process. Never blocks and never fails."""
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            _short(self.directory) as folder,
        ):
            sender.setblocking(False)
            for name in os.listdir(self.directory):
                try:
                    sender.sendto(b"!", f"{folder}/{name}")
                except ConnectionRefusedError:
                    # Its process is dead.
                    self._forget(name)
                except OSError:
                    # Full: it will look anyway. Gone: just closed.
                    continue

    @contextlib.contextmanager
    def listen(self) -> Iterator["Ear"]:
        """Hear every ring from now on."""
        name = uuid.uuid4().hex
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.setblocking(False)
            try:
                with _short(self.directory) as folder:
                    ear.bind(f"{folder}/{name}")
            except OSError as error:
                log.warning("changes will be seen with a delay", error=error)
            try:
                yield Ear(ear)
            finally:
                self._forget(name)

    def _forget(self, name: str) -> None:
        # Of one that is gone already, or in a file system that has become read-only, nothing.
        with contextlib.suppress(OSError):
            (self.directory / name).unlink()


class Ear:
    """What one watcher hears of a bell."""

    def __init__(self, ear: socket.socket) -> None:
        self._socket = ear

    async def wait(self, *, seconds: float) -> None:
        """Return after a ring, also one that came before, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_recv(self._socket, 1)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)


@contextlib.contextmanager
def _short(directory: Path) -> Iterator[str]:
    """Yield a short path of the directory: that of a socket may have no more than 107 bytes."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}"
    finally:
        os.close(folder)
