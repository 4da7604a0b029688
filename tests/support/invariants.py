"""What must be true of one machine whatever was killed: seen in /proc, the leases and the database.

The product is not asked. Each function returns sentences that say what is wrong; none: all is well.
"""

import json
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastic_jupyter.local import tickets
from elastic_jupyter.local.shared_directory import SharedDirectory
from tests.support.machine import Machine, command_line, is_running

Object = dict[str, Any]
#: What an ``up`` consists of, by a part of the command line, kernels aside.
SERVICES = ("elastic-jupyter up", "tied elastic_jupyter.gateway", "tied jupyterlab")

_ENDED = ("Failed", "Succeeded")


@dataclass(frozen=True)
class KernelProcess:
    """A process that says in its environment of which incarnation (``uid.epoch``) it is.

    Whoever makes a kernel gives it a session of its own, and its children are in it: ipykernel
    itself runs ``uname -p`` as it starts.
    """

    pid: int
    session: int
    incarnation: str
    kernel_id: str


def kernel_processes(machine: Machine) -> list[KernelProcess]:
    """Return the processes of the machine's kernels that run."""
    return [
        KernelProcess(pid, session, said["ELASTIC_JUPYTER_INCARNATION"], said["KERNEL_ID"])
        for pid in machine.processes()
        if "ELASTIC_JUPYTER_INCARNATION" in (said := _environment(pid))
        and is_running(pid)
        and (session := _session(pid))
    ]


def holders(machine: Machine) -> dict[str, set[int]]:
    """Return the GPUs that are leased, each with the pids that have its file open."""
    directory = SharedDirectory(machine.leases)
    leases = [name for name in directory.names() if name.startswith("lease,")]
    pids = machine.processes()
    return {
        name: {pid for pid in pids if str(machine.leases / name) in _open_files(pid)}
        for name in leases
        if (seen := directory.look(name)) and seen.locked
    }


def doubled(machine: Machine) -> list[str]:
    """Return what must not be for a moment: two processes of a kernel, two kernels on a GPU."""
    running = kernel_processes(machine)
    by_kernel: dict[str, list[KernelProcess]] = defaultdict(list)
    for process in running:
        by_kernel[process.kernel_id].append(process)
    wrong = []
    for kernel_id, several in by_kernel.items():
        # They were seen one after the other: only those that run now ran at the same time.
        both = [one for one in several if is_running(one.pid)]
        if len({one.session for one in both}) > 1:
            wrong.append(f"kernel {kernel_id} has two processes: {both}")
    of = {process.pid: process for process in running}
    for lease, pids in holders(machine).items():
        kernels = {of[pid].kernel_id for pid in pids if pid in of and is_running(pid)}
        if len(kernels) > 1:
            wrong.append(f"{lease} is held by the kernels {sorted(kernels)} at once")
    return wrong


@contextmanager
def watched(machine: Machine) -> Iterator[list[str]]:
    """Look all the time for what must not be for a moment; what is found is in the list."""
    found: list[str] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            found.extend(doubled(machine))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def unsettled(machine: Machine) -> list[str]:
    """Return what must not last: orphans, leases of nobody, kernels without their process."""
    kernels = _kernels(machine)
    alive = {
        _incarnation(one): one for one in kernels if _phase(one) not in ("Failed", "Succeeded")
    }
    running = kernel_processes(machine)
    leases = holders(machine)
    return [
        *_services(machine),
        *_orphans(running, alive),
        *_without_process(running, alive),
        *_leases(running, alive, leases),
        *_tickets(machine, alive),
        *_folders(machine, kernels),
    ]


def phases(machine: Machine) -> dict[str, str]:
    """Return the phases of the kernels by Jupyter's id; "": nothing was written down yet."""
    return {one["spec"]["kernelID"]: _phase(one) or "" for one in _kernels(machine)}


def damaged(machine: Machine) -> list[str]:
    """Return what SQLite finds wrong in the database."""
    with closing(_database(machine)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    return [f"objects.db is damaged: {one}" for one in found if one != "ok"]


def _services(machine: Machine) -> Iterator[str]:
    kernels = {one.pid for one in kernel_processes(machine)}
    commands = {pid: command_line(pid) for pid in machine.processes() - kernels if is_running(pid)}
    for service in SERVICES:
        pids = [pid for pid, command in commands.items() if service in command]
        if len(pids) != 1:
            yield f"{len(pids)} processes are `{service}`: {pids}"
    for pid, command in commands.items():
        if not any(service in command for service in SERVICES):
            yield f"process {pid} is no part of the machine: {command}"


def _orphans(running: list[KernelProcess], alive: Mapping[str, Object]) -> Iterator[str]:
    for one in running:
        if one.incarnation not in alive:
            yield f"{one} belongs to no live JupyterKernel"


def _without_process(running: list[KernelProcess], alive: Mapping[str, Object]) -> Iterator[str]:
    for incarnation, kernel in alive.items():
        count = len({one.session for one in running if one.incarnation == incarnation})
        want = int(_phase(kernel) == "Running")
        if count != want:
            name = kernel["metadata"]["name"]
            yield f"JupyterKernel {name} is {_phase(kernel)} and has {count} processes"


def _leases(
    running: list[KernelProcess], alive: Mapping[str, Object], leases: Mapping[str, set[int]]
) -> Iterator[str]:
    of = {one.pid: one.incarnation for one in running}
    held: dict[str, int] = defaultdict(int)
    for lease, pids in leases.items():
        incarnations = {of[pid] for pid in pids if pid in of}
        if len(incarnations) != 1:
            yield f"{lease} is held by {len(incarnations)} kernels; its file is open in {pids}"
        for incarnation in incarnations:
            held[incarnation] += 1
    for incarnation in held.keys() | alive.keys():
        kernel = alive.get(incarnation)
        want = _gpus(kernel) if kernel and _phase(kernel) == "Running" else 0
        if held[incarnation] != want:
            yield f"incarnation {incarnation} has {held[incarnation]} GPUs and should have {want}"


def _tickets(machine: Machine, alive: Mapping[str, Object]) -> Iterator[str]:
    directory = SharedDirectory(machine.leases)
    for name in directory.names():
        ticket, seen = tickets.parse(name), directory.look(name)
        if ticket and seen and seen.locked and _phase(alive.get(ticket.kernel, {})) != "Queued":
            yield f"incarnation {ticket.kernel} stands in the line and is not Queued"


def _folders(machine: Machine, kernels: list[Object]) -> Iterator[str]:
    known = {f"{one['metadata']['name']}-{_epoch(one)}" for one in kernels}
    for folder in (machine.state / "kernels").iterdir():
        if folder.name not in known:
            yield f"the folder {folder.name} belongs to no JupyterKernel"


def _kernels(machine: Machine) -> list[Object]:
    with closing(_database(machine)) as connection:
        rows = connection.execute("SELECT body FROM objects WHERE kind = 'JupyterKernel'")
        return [json.loads(body) for (body,) in rows]


def _database(machine: Machine) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{machine.state / 'objects.db'}?mode=ro", uri=True)


def _incarnation(kernel: Object) -> str:
    return f"{kernel['metadata']['uid']}.{_epoch(kernel)}"


def _epoch(kernel: Object) -> int:
    epoch: int = kernel.get("status", {}).get("epoch", 0)
    return epoch


def _phase(kernel: Object) -> str | None:
    phase: str | None = kernel.get("status", {}).get("phase")
    return phase


def _gpus(kernel: Object) -> int:
    [container, *_] = kernel["spec"]["template"]["spec"]["containers"]
    return int(container.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0))


def _environment(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended
        return {}
    return dict(entry.partition("=")[::2] for entry in raw.decode(errors="replace").split("\0"))


def _session(pid: int) -> int | None:
    with suppress(ProcessLookupError):  # it has ended
        return os.getsid(pid)
    return None


def _open_files(pid: int) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):  # it has ended
        for number in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):  # closed meanwhile
                found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found
