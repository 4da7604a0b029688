"""The variables of one kernel on their way: into the store before it sleeps, and back after it.

Both are asked of the agent in the kernel, which sends and fetches them over HTTP (``transfers``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from elastic_jupyter.api.kernel import Snapshot, Wake
from elastic_jupyter.errors import (
    AgentFailed,
    LaunchFailed,
    NoAgent,
    SnapshotBroken,
    SnapshotMissing,
    StoreError,
)
from elastic_jupyter.gateway import agent
from elastic_jupyter.gateway.facts import Facts
from elastic_jupyter.gateway.transfers import Saving, Transfer, Transfers
from elastic_jupyter.policy import notices, wakes
from elastic_jupyter.store.snapshots import SnapshotStore

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: Why nothing is saved where a kernel spec has ``policy: Hibernate`` and its gateway no storage.
NO_PLACE = "its gateway has no place for them (spec.snapshot)"
_CANCELLED = "the save was cancelled: a cell is to run"


#: Seconds in which nothing moves after which a save or restore has failed. The agent itself needs
#: as long as an object needs to be pickled that goes as one: some ten gigabytes of small ones.
STANDSTILL = 300.0
#: Seconds for the calls into the store that are under way when a transfer ends.
CLOSING = 10.0


class Hibernation:
    """What hibernation has to do with the running incarnation of a kernel."""

    def __init__(self, manager: ElasticKernelManager) -> None:
        self._manager = manager
        self._cancelled: asyncio.Event | None = None
        self._saving: Saving | None = None
        # What is complete in the store: of which object, its epoch and digest.
        self._latest: tuple[str, tuple[int, str]] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        # Beside which nothing is in the store, as far as this gateway wrote it.
        self._swept: tuple[str, tuple[int, str]] | None = None
        #: What came back with the last wake.
        self.wake: Wake | None = None
        # The snapshot of which it is known that no comm is in it.
        self._without_comms: str | None = None

    @property
    def saves(self) -> bool:
        """Whether variables are being saved: what is to run has to wait, or cancel it."""
        return self._cancelled is not None

    @property
    def has_no_comms(self) -> bool:
        """Whether none is in the latest snapshot, as far as it is known."""
        facts = self._manager.facts
        named = facts.snapshot.id if facts is not None and facts.snapshot is not None else None
        return named is not None and named == self._without_comms

    @contextlib.asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Have what is to run wait until the end of the block, or cancel the save in it.

        So does the kernel itself with what others send it, from the save to the end of the block;
        or it ends, where it was said in the block that the snapshot is ``named``.
        """
        self._cancelled = asyncio.Event()
        try:
            yield
        finally:
            saving, self._saving, self._cancelled = self._saving, None, None
            if saving is not None:
                await self._close(saving, _CANCELLED)

    def named(self) -> None:
        """Say in the block of ``holding`` that the object names what was saved in it."""
        if self._saving is not None:
            self._saving.named = True

    def cancel(self) -> None:
        """Have a save end as soon as it can, if one is under way; the kernel goes on."""
        if self._cancelled is not None:
            self._cancelled.set()

    async def save(self) -> Snapshot | None:
        """Save the running kernel's variables, in a block of ``holding``; None: it was cancelled.

        The kernel may have ended then.

        Raises ``NoAgent`` where that is impossible for good, ``AgentFailed`` or a ``StoreError``
        where it was not possible now, with a sentence for the user; ``LaunchFailed`` where the
        kernel ended before all was saved.
        """
        facts = cast(Facts, self._manager.facts)
        agent.require_ipykernel(self._manager.kernel_info)
        transfers = self._transfers
        cancelled = cast(asyncio.Event, self._cancelled)
        room = self._manager.spawn(self._make_room(transfers.store, facts.uid))
        if not await _first(room, cancelled):
            return None
        self._swept = None
        saving = transfers.open_save(self._manager.kernel_id, facts.uid, facts.epoch)
        self._saving = saving
        try:
            answer = await self._ask("save", saving, cancelled)
        except AgentFailed:
            if not cancelled.is_set():
                raise
            answer = None
        except LaunchFailed:
            if saving.sealed is None:
                raise
            answer = {"id": saving.sealed}  # it ended when all of it was here
        if answer is None or cancelled.is_set():
            return None
        if saving.sealed is None or saving.sealed != answer["id"]:
            raise AgentFailed("the agent says that it has saved what did not arrive")
        self._latest = (facts.uid, (facts.epoch, saving.sealed))
        snapshot = Snapshot(epoch=facts.epoch, id=f"{facts.epoch}-{saving.sealed}")
        self._without_comms = snapshot.id if answer.get("comms") == [] else None
        return snapshot

    async def restore(self, facts: Facts, epoch: int, digest: str) -> str | None:
        """Give a kernel that has just started its variables; return what to tell its user.

        None: another gateway did, and cells have run since. Raises ``NoAgent``, ``AgentFailed``;
        ``SnapshotMissing`` or ``SnapshotBroken`` where it would fail again.
        """
        transfers = self._transfers
        restoring = transfers.open_restore(self._manager.kernel_id, facts.uid, epoch, digest)
        try:
            answer = await self._ask("restore", restoring, None)
        except AgentFailed as error:
            if restoring.unreadable is None:
                raise
            raise restoring.unreadable from error
        finally:
            await self._close(restoring, "the kernel is not restored any more")
        assert answer is not None  # nobody cancels it
        self._latest = (facts.uid, (epoch, digest))
        if answer.get("ran"):
            return None
        self.wake = wakes.wake(facts.epoch, answer["restored"], answer["lost"])
        told = notices.restored(answer["restored"], answer["lost"])
        return "\n".join([told, *answer["notices"]])

    async def names(self, facts: Facts) -> list[str]:
        """Return what was saved of a kernel that sleeps, as far as its manifest can be read."""
        if facts.to_restore is None:
            return []
        with contextlib.suppress(StoreError, NoAgent, ValueError, KeyError, TypeError):
            read = self._transfers.store.manifest
            manifest = await asyncio.to_thread(read, facts.uid, *facts.to_restore)
            return [str(name) for name in json.loads(manifest)["names"]]
        return []

    async def sweep(self) -> None:
        """Remove what the latest snapshot does not need: it is tidying, and may fail.

        Only who made what ``spec.snapshot`` names knows that nothing else is needed.
        """
        facts = cast(Facts, self._manager.facts)
        kept = self._kept(facts.uid)
        named = facts.snapshot.id if facts.snapshot else None
        if kept is not None and named == f"{kept[0]}-{kept[1]}":
            with contextlib.suppress(StoreError, NoAgent):  # the next save does it, too
                await self._sweep(self._transfers.store, facts.uid, kept)

    async def _make_room(self, store: SnapshotStore, uid: str) -> None:
        """Remove what the next snapshot cannot use again, as far as that is known.

        The latest one may be gone: the variables are in the kernel, which is what counts.
        """
        if self._sweeping is not None:  # it removes what this save would find
            await asyncio.wait([self._sweeping])
        kept = self._kept(uid)
        if kept is not None and self._swept != (uid, kept):
            with contextlib.suppress(SnapshotMissing, SnapshotBroken):
                await self._sweep(store, uid, kept)

    async def _sweep(self, store: SnapshotStore, uid: str, kept: tuple[int, str]) -> None:
        """Sweep in a thread, which goes on when nobody waits for it any more."""

        async def work() -> None:
            await asyncio.to_thread(store.sweep, uid, kept)
            self._swept = uid, kept

        self._sweeping = asyncio.get_running_loop().create_task(work())
        await asyncio.shield(self._sweeping)

    def _kept(self, uid: str) -> tuple[int, str] | None:
        return self._latest[1] if self._latest is not None and self._latest[0] == uid else None

    @property
    def _transfers(self) -> Transfers:
        transfers = self._manager.mapping.transfers
        if transfers is None:  # its object says what its gateway is not configured for
            raise NoAgent(NO_PLACE)
        return transfers

    async def _ask(
        self, what: str, transfer: Transfer, cancelled: asyncio.Event | None
    ) -> dict[str, Any] | None:
        """Return the agent's answer; None as soon as nobody wants it any more.

        Raises ``AgentFailed``, also for a transfer that stands still, and ``LaunchFailed`` when
        the kernel ends.
        """
        manager = self._manager
        question = {"ask": what, "url": self._url(), "token": transfer.token}
        saves = cancelled is not None
        # Another gateway of ours may have saved it.
        over = manager.wait_for_facts(lambda facts: saves and facts.rests, limited=False)
        ends: list[Awaitable[object]] = [over, _stand_still(transfer)]
        if cancelled is not None:
            ends.append(cancelled.wait())
        with manager.probe.socket("control") as (socket, session):
            answer = asyncio.ensure_future(agent.ask(socket, session, question))
            others = [asyncio.ensure_future(end) for end in ends]
            try:
                await asyncio.wait((answer, *others), return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    return answer.result()
                for other in others:
                    if other.done():
                        other.result()  # raises why
                return None
            finally:
                for future in (answer, *others):
                    future.cancel()

    async def _close(self, transfer: Transfer, why: str) -> None:
        """End a transfer, and do not wait for ever for a store that hangs."""
        closing = self._manager.spawn(self._transfers.close(transfer, why))
        await asyncio.wait((closing,), timeout=CLOSING)

    def _url(self) -> str:
        base = self._manager.mapping.settings.url
        return f"{base}/api/kernels/{self._manager.kernel_id}/snapshot"


async def _first(work: asyncio.Future[None], cancelled: asyncio.Event) -> bool:
    """Wait for the work, and raise what it raises; False as soon as nobody wants it any more."""
    waiting = asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if not work.done():
        work.cancel()
        return False
    work.result()
    return True


async def _stand_still(transfer: Transfer) -> None:
    """Raise ``AgentFailed`` once nothing has moved for long."""
    loop = asyncio.get_running_loop()
    moved, since = transfer.moved, loop.time()
    while loop.time() < since + STANDSTILL:
        await asyncio.sleep(STANDSTILL / 10)
        if transfer.moved != moved:
            moved, since = transfer.moved, loop.time()
    span = notices.duration(timedelta(seconds=STANDSTILL))
    raise AgentFailed(f"nothing has moved for {span}, in the kernel or in the store")
