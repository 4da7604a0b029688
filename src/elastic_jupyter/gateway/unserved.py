"""Kernels of notebooks that are not served any more: deleted, moved, or not allowed.

Their websockets end at once. The kernels themselves end as idle ones do, with a limit of their own
where nothing is culled, since nobody can reach them to shut them down. What runs of a notebook that
is deleted is the operator's to delete. Nothing sleeps for such a notebook.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from elastic_jupyter.policy import idle
from elastic_jupyter.store.protocol import ServedNotebooks

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager
    from elastic_jupyter.gateway.kernels import ElasticMappingKernelManager

#: Pause between two looks, s. Not ``cullInterval``, which may be for ever.
INTERVAL = 10.0


class UnservedKernels:
    """Those of ``kernels`` that nobody may reach, by what ``notebooks`` says now."""

    def __init__(self, kernels: ElasticMappingKernelManager, notebooks: ServedNotebooks) -> None:
        self._kernels = kernels
        self._notebooks = notebooks
        self._asked = asyncio.Event()
        notebooks.on_change = self._turn_away

    def include(self, manager: ElasticKernelManager) -> bool:
        """Say whether nobody may reach the kernel; one made by hand is of no notebook."""
        notebook = manager.wish.identity.uid
        unserved = bool(notebook) and notebook not in self._notebooks.uids
        if not unserved:
            manager.unreachable_since = None
        elif manager.unreachable_since is None:
            manager.unreachable_since = datetime.now(UTC)
        return unserved

    def look(self) -> None:
        """Have the kernels looked at now."""
        self._asked.set()

    def _turn_away(self) -> None:
        for manager in self._kernels.kernels.values():
            if self.include(manager):
                for connection in list(manager.connections):
                    connection.turn_away()
        self.look()

    async def end_for_ever(self) -> None:
        """End what has reached its limit; never returns."""
        await self._kernels.recovered.wait()
        while True:
            for manager in list(self._kernels.kernels.values()):
                try:
                    await self._end(manager)
                except Exception:
                    self._kernels.log.exception("kernel %s was not ended", manager.kernel_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._asked.wait()
            self._asked.clear()

    async def _end(self, manager: ElasticKernelManager) -> None:
        if self.include(manager) and self._is_over(manager, now=datetime.now(UTC)):
            self._kernels.log.info("kernel %s ends: its notebook is not served", manager.kernel_id)
            await self._kernels.shutdown_kernel(manager.kernel_id)

    def _is_over(self, manager: ElasticKernelManager, *, now: datetime) -> bool:
        """Say whether nobody is waited for any longer; what is saved waits as what runs does."""
        if manager.asleep and manager.sleeps:
            return now - (manager.unreachable_since or now) >= idle.UNREACHABLE_TIMEOUT
        return manager.asleep or manager.verdict(now).action is idle.Action.RECLAIM
