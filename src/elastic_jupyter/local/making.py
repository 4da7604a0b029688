"""What is made of one incarnation of a kernel: folder, control group, process, and all it starts.

Incarnations that an earlier supervisor left are found again here, too.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from elastic_jupyter import logs
from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import ElasticJupyterError, Invalid, LaunchFailed, Unavailable
from elastic_jupyter.local import address, cgroup, proc, process, sight
from elastic_jupyter.local.cgroup import Group, Groups
from elastic_jupyter.local.command import Command, command
from elastic_jupyter.local.folder import Folder, Note
from elastic_jupyter.local.line import Lease
from elastic_jupyter.local.proc import Incarnation
from elastic_jupyter.local.process import Process
from elastic_jupyter.policy import kernel_status
from elastic_jupyter.policy.keys import connection_key
from elastic_jupyter.policy.lifecycle import Sighting
from elastic_jupyter.store.state_directory import kernel_folder, kernel_folders

#: What all kernels have in their environment, unless their template says something else.
_ENVIRONMENT = {
    # To ipykernel: nobody sits at a terminal, and whoever started it may go. Else the first lines
    # of its log, and so the last ones of a kernel that was killed, say how to quit it there.
    "JPY_PARENT_PID": "1",
    # To setproctitle: do not write over the environment, by which we know the process.
    "SPT_NOENV": "1",
}
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LIMIT = "its memory limit of {} is not kept: elastic-jupyter can make no control group here"

log = logs.get(__name__)


@dataclass(frozen=True)
class Machine:
    """Where kernels live.

    ``state`` is the state directory, ``notebooks`` the folder in which a kernel starts that has no
    other, ``environ`` what kernels inherit, ``groups`` None: there can be no memory limits.
    """

    state: Path
    notebooks: Path
    environ: Mapping[str, str]
    groups: Groups | None


@dataclass
class Made:
    """What there is of an incarnation. ``process`` None: it was gone when we came.

    ``memory`` is its limit as the template has it; ``hint`` what its user should know of it.
    """

    incarnation: Incarnation
    folder: Folder
    process: Process | None
    group: Group | None = None
    memory: str | None = None
    hint: str = ""
    lease: Lease | None = None
    #: The last wish for a signal that was heeded, or that came before our time.
    interrupted_at: str | None = None

    def look(self) -> Sighting:
        """Return what is seen of it."""
        if self.process is None:
            return sight.lost(self.folder.last_words())
        if end := self.process.how():
            end = replace(end, last_words=self.folder.last_words())
            return sight.ended(end, ip=self.folder.ip(), memory=self.memory)
        return sight.running(self.folder.ip(), hint=self.hint)


@dataclass
class Remains:
    """What an earlier supervisor left of an incarnation."""

    folder: Folder | None = None
    note: Note | None = None
    running: list[proc.Seen] = field(default_factory=list)

    @property
    def group(self) -> Group | None:
        return cgroup.at(self.note.cgroup) if self.note and self.note.cgroup else None

    def members(self) -> set[int]:
        """Return the pids in its control group."""
        return self.group.pids() if self.group else set()


class Maker:
    """Makes, finds and ends incarnations. ``master_key``: from it their connection keys derive."""

    def __init__(self, machine: Machine, *, master_key: bytes) -> None:
        self._machine = machine
        self._master_key = master_key

    def plan(self, kernel: JupyterKernel) -> Command:
        """Return what is to be run. Raises ``Invalid`` when a machine cannot do it."""
        return command(kernel, connection_file=str(self._folder(kernel).connection_file))

    def make(
        self,
        kernel: JupyterKernel,
        plan: Command,
        *,
        env: Mapping[str, str],
        lease: Lease | None,
        on_end: Callable[[], None],
    ) -> Made:
        """Start the process; ``env`` and ``lease`` are of its GPUs.

        Raises ``LaunchFailed`` when it cannot be executed, ``Unavailable`` when the machine lacks
        something for the moment; nothing is left of it then.
        """
        incarnation, folder = incarnation_of(kernel), self._folder(kernel)
        where = self._working_directory(plan)
        connection = self._connection(incarnation)
        group = self._group(incarnation, plan)
        note = Note(
            incarnation,
            cgroup=str(group.path) if group else None,
            leases=lease.files if lease else (),
        )
        try:
            folder.make(note, connection)
            with folder.open_log() as output:
                started = process.start(
                    plan.argv,
                    incarnation=incarnation,
                    state=self._machine.state,
                    env={**self._machine.environ, **_ENVIRONMENT, **plan.env, **env},
                    folder=where,
                    log=output.fileno(),
                    group=group,
                    fds=lease.fds if lease else (),
                    on_end=on_end,
                )
        except (ElasticJupyterError, OSError) as error:
            folder.remove()
            if group is not None:
                group.remove()
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                state = self._machine.state
                raise Unavailable(f"the disk of {state} is full: free some space") from error
            if isinstance(error, OSError):  # a folder that is not ours
                raise Unavailable(f"{folder.path}: {error.strerror}") from error
            raise
        made = Made(incarnation, folder, started, group, plan.memory, lease=lease)
        if plan.memory and (group is None or started.pid not in group.pids()):
            made.hint = _NO_LIMIT.format(plan.memory)
        try:
            since = proc.started(started.pid)
            folder.write_note(replace(note, pid=started.pid, started=since))
        except OSError as error:  # a guess stands in for it, see ``find_again``
            log.warning("process is not noted", folder=folder.path, error=error)
        return made

    async def end(self, made: Made, *, asked: bool) -> None:
        """End all processes; ``asked`` and what it raises: see ``Process.end``."""
        if made.process is not None:
            await made.process.end(asked=asked)
        else:
            await self._end_all(made.incarnation, made.group)

    async def remains(self) -> dict[Incarnation, Remains]:
        """Return all that is there of incarnations that this supervisor has not made."""
        return await asyncio.to_thread(self._remains)

    def take_over(
        self, kernel: JupyterKernel, remains: Remains, *, on_end: Callable[[], None]
    ) -> Made | None:
        """Return a kernel's incarnation as if we had made it, None: it was never started."""
        incarnation, folder = incarnation_of(kernel), self._folder(kernel)
        pid = remains.note.pid if remains.note else None
        told = kernel.status is not None and kernel.status.pod_name is not None
        if pid is None and not remains.running and not told:
            return None
        found = process.find_again(
            incarnation,
            pid,
            remains.running,
            state=self._machine.state,
            group=remains.group,
            on_end=on_end,
        )
        asked = interrupted_at(kernel)
        made = Made(incarnation, folder, found, remains.group, interrupted_at=asked)
        with contextlib.suppress(Invalid):
            made.memory = self.plan(kernel).memory
        if made.memory and made.group is None:
            made.hint = _NO_LIMIT.format(made.memory)
        return made

    async def clear(self, incarnation: Incarnation, remains: Remains) -> None:
        """End and remove what nobody wants. Raises ``Unavailable`` as ``end`` does."""
        await self._end_all(incarnation, remains.group)
        if remains.folder is not None:
            await asyncio.to_thread(remains.folder.remove)

    async def _end_all(self, incarnation: Incarnation, group: Group | None) -> None:
        await process.end_all(incarnation, state=self._machine.state, group=group, main=None)

    def _remains(self) -> dict[Incarnation, Remains]:
        found: dict[Incarnation, Remains] = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in kernel_folders(self._machine.state).iterdir():
                folder = Folder(path)
                note = folder.note()
                if note is not None:
                    found[note.incarnation] = Remains(folder, note)
                    continue
                with contextlib.suppress(OSError):  # the supervisor died as it made the folder
                    folder.remove()
        groups = {pid: one for one, left in found.items() for pid in left.members()}
        noted = {
            (left.note.pid, left.note.started): one for one, left in found.items() if left.note
        }
        for seen in proc.processes(self._machine.state):
            # Who has written over his environment is still in his group, or noted himself.
            incarnation = (
                seen.incarnation or groups.get(seen.pid) or noted.get((seen.pid, seen.started))
            )
            if incarnation:
                found.setdefault(incarnation, Remains()).running.append(seen)
        return found

    def _folder(self, kernel: JupyterKernel) -> Folder:
        return Folder(kernel_folder(self._machine.state, kernel))

    def _working_directory(self, plan: Command) -> Path:
        if plan.folder is not None:
            if not Path(plan.folder).is_dir():
                raise LaunchFailed(f"workingDir: there is no folder {plan.folder}")
            return Path(plan.folder)
        if plan.notebook_folder and Path(plan.notebook_folder).is_dir():
            return Path(plan.notebook_folder)
        return self._machine.notebooks

    def _connection(self, incarnation: Incarnation) -> Mapping[str, object]:
        return {
            "ip": address.free(),
            "transport": "tcp",
            "signature_scheme": "hmac-sha256",
            "key": connection_key(self._master_key, incarnation.uid),
            "kernel_name": "",
            **names.PORTS,
        }

    def _group(self, incarnation: Incarnation, plan: Command) -> Group | None:
        if self._machine.groups is None:
            return None
        group = self._machine.groups.group(str(incarnation))
        try:
            group.make(plan.memory_bytes)
        except OSError as error:
            log.warning("control group cannot be made", group=group.path, error=error)
            return None
        return group


def interrupted_at(kernel: JupyterKernel) -> str | None:
    """Return when a kernel was to get SIGINT the last time, as it is written; None: never."""
    return (kernel.metadata.annotations or {}).get(names.ANNOTATION_INTERRUPTED_AT)


def incarnation_of(kernel: JupyterKernel) -> Incarnation:
    """Return which incarnation of a kernel is wanted or runs."""
    return Incarnation(kernel.metadata.uid or "", kernel_status.epoch_of(kernel))
