"""An engine of one machine on a store in a file, with real processes.

Run as a program, with state directory, number of GPUs and folder for the leases as arguments, it is
an engine that can be killed.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.clock import SystemClock
from elastic_jupyter.local import cgroup, gpus, proc
from elastic_jupyter.local.app import LocalEngine
from elastic_jupyter.local.leases import Leases
from elastic_jupyter.local.line import Applicant, GpuLine, Lease
from elastic_jupyter.local.making import Machine, Maker
from elastic_jupyter.local.shared_directory import SharedDirectory
from elastic_jupyter.policy.queue import Place
from elastic_jupyter.store.protocol import Key
from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
from tests.support.kernels import a_kernel, model

MASTER = bytes(range(32))


class NoGpus:
    """The line of a machine that has no GPU."""

    total = 0
    no_gpu_env: Mapping[str, str] = {"CUDA_VISIBLE_DEVICES": ""}

    def enter(self, applicant: Applicant, amount: int) -> None:
        raise AssertionError(f"{applicant} waits for {amount} where there is none")

    def place(self, applicant: Applicant) -> Place:
        raise AssertionError(f"{applicant} has no place")

    def try_lease(self, applicant: Applicant) -> Lease | None:
        raise AssertionError(f"{applicant} gets nothing")

    def resume(self, applicant: Applicant, files: Sequence[str]) -> Lease:
        raise AssertionError(f"{applicant} has none of {files}")

    def leave(self, applicant: Applicant) -> None:
        raise AssertionError(f"{applicant} is nowhere")


class OneMachine:
    """One state directory, its store, and the engine that runs on it, if one does."""

    def __init__(self, state: Path, line: GpuLine | None = None) -> None:
        self.state = state
        self.notebooks = state / "notebooks"
        self.notebooks.mkdir(exist_ok=True)
        self.line = line or NoGpus()
        self.database = open_database(state / "objects.db")
        self.store = SqliteKernelStore(self.database)
        self.engine: LocalEngine | None = None
        self._running: asyncio.Task[Any] | None = None

    def start(self, environ: Mapping[str, str] | None = None) -> None:
        """Start an engine in this process. ``environ``: what kernels inherit."""
        self.engine = LocalEngine(
            store=self.store,
            state=self.state,
            notebooks=self.notebooks,
            master_key=MASTER,
            line=self.line,
            environ=environ,
        )
        self._running = asyncio.create_task(self.engine.run())

    async def stop(self) -> None:
        """End the engine of this process in order."""
        engine, running = self.engine, self._running
        assert engine is not None
        assert running is not None
        self.engine = None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.close()

    async def create(self, name: str = "jovyan-1", **fields: Any) -> Key:
        """Wish for a kernel now; ``fields`` as ``tests.support.kernels.a_kernel`` has them."""
        asked = {names.ANNOTATION_ASKED_AT: datetime.now(UTC).isoformat()}
        body = a_kernel(name, **{"annotations": asked, **fields})
        del body["metadata"]["uid"]
        await self.store.create(model(JupyterKernel, body))
        return Key("team", name)

    async def run(self, code: str, **fields: Any) -> Key:
        """Wish for a kernel that runs some Python."""
        container = {"command": ["python", "-u", "-c", code], **fields.pop("container", {})}
        return await self.create(container=container, **fields)

    async def delete(self, key: Key) -> None:
        """Wish a kernel away."""
        await self.store.delete(key, uid=(await self.store.get(key)).metadata.uid or "")

    async def until(
        self, key: Key, want: Callable[[dict[str, Any]], object], *, within: float = 20
    ) -> dict[str, Any]:
        """Return a kernel's status, as JSON, once ``want`` holds for it."""
        deadline = time.monotonic() + within
        while True:
            kernel = await self.store.get(key)
            status = kernel.to_dict().get("status") or {}
            if want(status):
                return status
            if time.monotonic() > deadline:
                raise AssertionError(f"{key}: not within {within} s; last seen: {status}")
            await asyncio.sleep(0.02)

    async def until_phase(self, key: Key, phase: str, *, within: float = 20) -> dict[str, Any]:
        """Return a kernel's status once it has this phase."""
        return await self.until(key, lambda status: status.get("phase") == phase, within=within)

    def processes(self) -> list[proc.Seen]:
        """Return all running processes of this machine's kernels that say so."""
        return [seen for seen in proc.processes(self.state) if seen.incarnation]

    def pids(self) -> list[int]:
        """Return the pids of ``processes``."""
        return [seen.pid for seen in self.processes()]

    async def until_processes(self, count: int, *, within: float = 20) -> list[proc.Seen]:
        """Return the kernels' processes once they are so many."""
        deadline = time.monotonic() + within
        while len(found := self.processes()) != count:
            if time.monotonic() > deadline:
                raise AssertionError(f"not {count} processes within {within} s: {found}")
            await asyncio.sleep(0.02)
        return found

    def folder(self, key: Key, epoch: int = 1) -> Path:
        """Return the folder of an incarnation."""
        return self.state / "kernels" / f"{key.name}-{epoch}"

    @contextlib.contextmanager
    def another_supervisor(
        self, *, gpus: int = 0, leases: Path | None = None, groups: bool = True
    ) -> Iterator[None]:
        """Have an engine in a process of its own, which is killed with the block.

        It has so many stand-ins for GPUs, and its leases in that folder. ``groups``: it may make
        control groups, if anybody may.
        """
        directory = leases or self.state / "leases"
        other = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.one_machine"),
                *(str(self.state), str(gpus), str(directory), *([] if groups else ["no-groups"])),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            yield
        finally:
            other.kill()
            other.wait()

    async def close(self) -> None:
        """End everything that is left."""
        if self.engine is not None:
            await self.stop()
        maker = Maker(Machine(self.state, self.notebooks, {}, None), master_key=MASTER)
        for incarnation, left in (await maker.remains()).items():
            await maker.clear(incarnation, left)
        self.database.close()


@contextlib.asynccontextmanager
async def one_machine(state: Path, line: GpuLine | None = None) -> AsyncIterator[OneMachine]:
    """A machine without an engine, ended with the block."""
    machine = OneMachine(state, line)
    try:
        yield machine
    finally:
        await machine.close()


async def _main(state: Path, total: int, leases: Path) -> None:
    line = Leases(SharedDirectory(leases), gpus.inventory(total), SystemClock())
    machine = OneMachine(state, line)
    machine.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "no-groups" in sys.argv:
        cgroup.find = lambda: None
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
