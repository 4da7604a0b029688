"""Which kernels save or restore their variables now, and with which tokens they may.

A transfer is opened for one incarnation of one kernel. Its token is random and opens nothing else,
and nothing after ``close``: so a save that was cancelled cannot go on behind anybody's back.
"""

import asyncio
import contextlib
import hmac
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from elastic_jupyter.errors import Conflict, SnapshotBroken, SnapshotMissing, Unavailable
from elastic_jupyter.store.snapshots import Save, SnapshotStore

#: Of one transfer, each of which has a thread. An agent makes four.
CONNECTIONS = 8
#: Of how many transfers that ended is known that they did.
_REMEMBERED = 1000


class Transfer:
    """Variables on their way between one incarnation of a kernel and the store.

    Attributes:
        token: what the agent shows, as ``Authorization: token <token>``.
        moved: bytes that went through so far; one that stands still is stuck.
        ended: why it ended, a sentence for the user; empty while it is open.
        unreadable: why what is saved cannot be read, now or later; None: it is not known to be.
    """

    def __init__(self, kernel_id: str) -> None:
        self.kernel_id = kernel_id
        self.token = secrets.token_urlsafe(32)
        self.moved = 0
        self.ended = ""
        self._connections: dict[socket.socket, threading.Thread] = {}
        self.unreadable: SnapshotMissing | SnapshotBroken | None = None

    def serve(self, connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
        """Have ``answer`` answer what the agent says on a connection, in a thread of its own.

        The connection is closed when that returns, or the transfer ends.
        """

        def work() -> None:
            try:
                with connection:
                    answer(connection)
            finally:
                del self._connections[connection]

        thread = threading.Thread(target=work, name=f"snapshot of {self.kernel_id}", daemon=True)
        self._connections[connection] = thread
        thread.start()
        if self.ended:
            _hang_up(connection)

    def require_open(self) -> None:
        """Raise ``Conflict`` once the transfer has ended."""
        if self.ended:
            raise Conflict(self.ended)

    def require_place(self) -> None:
        """Raise ``Unavailable`` while it has as many connections as it may have."""
        if len(self._connections) >= CONNECTIONS:
            raise Unavailable(f"a save or restore has {CONNECTIONS} connections at most")

    async def end(self, why: str) -> None:
        """Refuse what comes from now on, and return when no call into the store is under way."""
        self.ended = self.ended or why
        threads = list(self._connections.values())
        for connection in list(self._connections):
            _hang_up(connection)
        for thread in threads:
            await asyncio.to_thread(thread.join)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed
        connection.shutdown(socket.SHUT_RDWR)


class Saving(Transfer):
    """From the kernel into the store.

    Attributes:
        sealed: the snapshot's id, once all is in the store; None before.
        named: whether the kernel's object names it: what would run in the kernel now is lost.
    """

    def __init__(self, kernel_id: str, save: Save) -> None:
        super().__init__(kernel_id)
        self.save = save
        self.sealed: str | None = None
        self.named = False


class Restoring(Transfer):
    """From the store into the kernel: the snapshot ``snapshot`` of ``uid`` and ``epoch``."""

    def __init__(self, kernel_id: str, *, uid: str, epoch: int, snapshot: str) -> None:
        super().__init__(kernel_id)
        self.uid, self.epoch, self.snapshot = uid, epoch, snapshot


Opened = TypeVar("Opened", bound=Transfer)


class Transfers:
    """All transfers of a gateway. Used in its event loop only.

    Attributes:
        store: where the snapshots are.
    """

    def __init__(self, store: SnapshotStore) -> None:
        self.store = store
        self._open: dict[str, Transfer] = {}
        self._ended: deque[Transfer] = deque(maxlen=_REMEMBERED)

    def open_save(self, kernel_id: str, uid: str, epoch: int) -> Saving:
        """Let a kernel save. Raises ``Conflict`` while another transfer of it is open."""
        return self._opened(Saving(kernel_id, self.store.save(uid, epoch)))

    def open_restore(self, kernel_id: str, uid: str, epoch: int, snapshot: str) -> Restoring:
        """Let a kernel restore what ``uid`` saved in ``epoch``. Raises as ``open_save`` does."""
        return self._opened(Restoring(kernel_id, uid=uid, epoch=epoch, snapshot=snapshot))

    async def close(self, transfer: Transfer, why: str = "the save was cancelled") -> None:
        """End a transfer; ``why`` is what its kernel is told. May be called twice.

        When it returns, nothing of it writes or reads any more: what it left may be swept.
        """
        if self._open.get(transfer.kernel_id) is transfer:
            del self._open[transfer.kernel_id]
            self._ended.append(transfer)
        await transfer.end(why)

    def find(self, kernel_id: str, token: str) -> Transfer | None:
        """Return the transfer that a kernel's token opens, also one that ended a while ago."""
        known = self._open.get(kernel_id)
        candidates = [known] if known else []
        candidates += [ended for ended in self._ended if ended.kernel_id == kernel_id]
        for transfer in candidates:
            if hmac.compare_digest(transfer.token.encode(), token.encode()):
                return transfer
        return None

    def _opened(self, transfer: Opened) -> Opened:
        if transfer.kernel_id in self._open:
            raise Conflict(f"kernel {transfer.kernel_id} is being saved or restored already")
        self._open[transfer.kernel_id] = transfer
        return transfer
