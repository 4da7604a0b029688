"""Control groups: a memory limit for a kernel and all of its processes, where we may set one.

Version 2, and the memory controller of version 1. A group of ours is made beside or below our own;
a user may do that in the slices of his own service manager, and root everywhere.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from elastic_jupyter import logs

_PREFIX = "elastic-jupyter-"
_PROCS = "cgroup.procs"

log = logs.get(__name__)


@dataclass(frozen=True)
class Group:
    """The control group of one kernel."""

    path: Path
    #: Which file takes the limit, and which one keeps swap from going around it.
    limit_file: ClassVar[str]
    swap_file: ClassVar[str]
    events_file: ClassVar[str]

    def make(self, limit: int | None) -> None:
        """Make the group; ``limit`` is in bytes, None: it has none. Raises ``OSError``."""
        self.path.mkdir(exist_ok=True)
        if limit is None:
            return
        try:
            (self.path / self.limit_file).write_text(str(limit))
            with contextlib.suppress(OSError):  # no swap is accounted for here
                (self.path / self.swap_file).write_text(self._swap(limit))
        except OSError:
            self.remove()
            raise

    def _swap(self, limit: int) -> str:
        raise NotImplementedError

    def join(self, pid: int) -> None:
        """Move a process into the group; what it starts from now on is in it, too."""
        try:
            (self.path / _PROCS).write_text(str(pid))
        except ProcessLookupError:
            pass  # it has ended
        except OSError as error:
            log.warning("process has no memory limit", pid=pid, group=self.path, error=error)

    def pids(self) -> set[int]:
        """Return the processes in the group, those in groups below it too."""
        found: set[int] = set()
        for folder, _, files in os.walk(self.path):
            if _PROCS in files:
                with contextlib.suppress(OSError):
                    found.update(map(int, (Path(folder) / _PROCS).read_text().split()))
        return found

    def kill(self) -> None:
        """Kill all processes in the group."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def oom_kills(self) -> int:
        """Return how many processes in the group were killed for want of memory."""
        with contextlib.suppress(OSError):
            return _count((self.path / self.events_file).read_text(), "oom_kill")
        return 0

    def remove(self) -> bool:
        """Remove the group, if no process is in it; return whether it is gone."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return not self.path.exists()


class GroupV1(Group):
    """A group of the memory controller of version 1."""

    limit_file = "memory.limit_in_bytes"
    swap_file = "memory.memsw.limit_in_bytes"
    events_file = "memory.oom_control"

    def _swap(self, limit: int) -> str:
        return str(limit)  # of memory and swap together


class GroupV2(Group):
    """A group of version 2."""

    limit_file = "memory.max"
    swap_file = "memory.swap.max"
    events_file = "memory.events"

    def _swap(self, limit: int) -> str:
        return "0"

    def kill(self) -> None:
        try:
            (self.path / "cgroup.kill").write_text("1")
        except OSError:  # Linux before 5.14
            super().kill()


@dataclass(frozen=True)
class Groups:
    """Where groups can be made on this machine."""

    parent: Path
    kind: type[Group]

    def group(self, name: str) -> Group:
        """Return the group of this name, which need not exist."""
        return self.kind(self.parent / f"{_PREFIX}{name}")


def find() -> Groups | None:
    """Return where this process may make groups with a memory limit, None: nowhere."""
    try:
        own = Path("/proc/self/cgroup").read_text()
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:  # a kernel of the operating system without control groups
        return None
    return next(_places(own, mounts), None)


def at(path: str) -> Group:
    """Return the group with this path, of whichever version it is."""
    found = Path(path)
    return (GroupV1 if (found / GroupV1.limit_file).exists() else GroupV2)(found)


def machine_oom_kills() -> int:
    """Return how many processes of this machine were killed for want of memory since its start."""
    with contextlib.suppress(OSError):
        return _count(Path("/proc/vmstat").read_text(), "oom_kill")
    return 0


def _places(own: str, mounts: str) -> Iterator[Groups]:
    for folder in own_folders(own, mounts, controller="memory"):
        if _writable(folder):
            yield Groups(folder, GroupV1)
    for folder in own_folders(own, mounts, controller=""):
        # A group below has a limit only where its parent passes the controller on.
        with contextlib.suppress(OSError):
            passed_on = (folder / "cgroup.subtree_control").read_text().split()
            if "memory" in passed_on and _writable(folder):
                yield Groups(folder, GroupV2)


def own_folders(own: str, mounts: str, *, controller: str) -> Iterator[Path]:
    """Yield the folder of our group in the hierarchy of a controller, then those above it.

    An empty ``controller`` is version 2.
    """
    path = next((path for names, path in _own_groups(own) if controller in names), None)
    mount = next((found for found in _mounts(mounts) if controller in found[2]), None)
    if path is None or mount is None:
        return
    point, root, _ = mount
    inner = os.path.relpath(path, root) if path.startswith(root) else "."
    folder = Path(os.path.normpath(point / inner))
    while folder.is_relative_to(point):
        yield folder
        folder = folder.parent


def _own_groups(own: str) -> Iterator[tuple[list[str], str]]:
    """Yield controllers and path of our groups; version 2 has the one controller "" there."""
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        yield controllers.split(","), path


def _mounts(mounts: str) -> Iterator[tuple[Path, str, list[str]]]:
    """Yield where a hierarchy is mounted, which of its groups is there, and its controllers."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup":
            yield Path(point), root, options.split(",")
        elif kind == "cgroup2":
            yield Path(point), root, [""]


def _writable(folder: Path) -> bool:
    """Say whether groups can be made in a folder, and processes be moved to them."""
    probe = folder / f"{_PREFIX}probe-{os.getpid()}"
    if not os.access(folder / _PROCS, os.W_OK):
        return False
    try:
        probe.mkdir()
    except OSError:
        return False
    probe.rmdir()
    return True


def _count(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
