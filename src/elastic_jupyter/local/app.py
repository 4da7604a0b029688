"""The engine of one machine: follows the kernels of a store and makes them true."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from elastic_jupyter import logs
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.clock import Clock, SystemClock
from elastic_jupyter.local import cgroup
from elastic_jupyter.local.kernel import KernelReconciler
from elastic_jupyter.local.line import GpuLine
from elastic_jupyter.local.making import Machine, Maker
from elastic_jupyter.runtime.controller import Controller
from elastic_jupyter.store.protocol import Gone, KernelStore, Key, Put, Synced

#: Kernels that are looked at at the same time: a pass is mostly waiting, for a process to end.
_WORKERS = 16

log = logs.get(__name__)


class LocalEngine:
    """Runs the kernels of one state directory. One at a time for each.

    ``state`` is the state directory, ``notebooks`` the folder in which kernels start that have no
    other; ``master_key`` has 16 bytes at least; ``environ`` is what kernels inherit, None: what
    this process has.
    """

    def __init__(
        self,
        *,
        store: KernelStore,
        state: Path,
        notebooks: Path,
        master_key: bytes,
        line: GpuLine,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        groups = cgroup.find()
        if groups is None:
            log.warning("no control group can be made: the memory limits of kernels are not kept")
        machine = Machine(
            state=state.resolve(),
            notebooks=notebooks,
            environ=dict(os.environ if environ is None else environ),
            groups=groups,
        )
        self._store = store
        self._kernels: dict[Key, JupyterKernel] = {}
        self._reconciler = KernelReconciler(
            store=store,
            kernels=self._kernels,
            maker=Maker(machine, master_key=master_key),
            line=line,
            clock=clock or SystemClock(),
            wake=lambda key: self._controller.enqueue(key),
        )
        self._controller: Controller[Key] = Controller(
            "kernel", self._reconciler.reconcile, workers=_WORKERS
        )
        self._synced = asyncio.Event()

    async def run(self) -> NoReturn:
        """Take over the kernels that run already, and reconcile until cancelled.

        Cancelling it leaves all kernels running, for the next engine to take over.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            await self._synced.wait()
            await self._reconciler.recover()
            group.create_task(self._controller.run())
        raise RuntimeError("the tasks of the local engine ended")

    async def close(self) -> None:
        """End all kernels, and write into their status that elastic-jupyter was stopped.

        Called when ``run`` was cancelled and has ended.
        """
        await self._reconciler.close()

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._store.watch(None, gateway=None)) as changes:
            async for change in changes:
                match change:
                    case Put(kernel):
                        key = Key(kernel.metadata.namespace or "", kernel.metadata.name or "")
                        self._kernels[key] = kernel
                        self._controller.enqueue(key)
                    case Gone(key, uid):
                        known = self._kernels.get(key)
                        if known is not None and known.metadata.uid == uid:
                            del self._kernels[key]
                        self._controller.enqueue(key)
                    case Synced():
                        self._synced.set()
        raise RuntimeError("the watch of the kernels ended")
