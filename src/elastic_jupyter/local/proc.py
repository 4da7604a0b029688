"""Which processes belong to which kernel, as /proc tells it. There is no other table of them.

Every process of a kernel has in its environment which incarnation it is of; so they are found
again after a crash of whoever started them.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: In a kernel's environment: ``<uid>.<epoch>`` of the JupyterKernel.
INCARNATION_VARIABLE = "ELASTIC_JUPYTER_INCARNATION"
#: In a kernel's environment: the state directory that has its object.
STATE_VARIABLE = "ELASTIC_JUPYTER_STATE"

_PROC = Path("/proc")
_ENDED, _LEADER_ENDED = frozenset(b"Xx"), b"Z"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A process of a kernel: uid of the object and epoch."""

    uid: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.uid}.{self.epoch}"

    @classmethod
    def parse(cls, text: str) -> "Incarnation | None":
        """Read back what ``str`` wrote; None: it is something else."""
        uid, _, epoch = text.rpartition(".")
        return cls(uid, int(epoch)) if uid and epoch.isdecimal() and len(epoch) < 20 else None


@dataclass(frozen=True, slots=True)
class Seen:
    """One running process of this user. ``incarnation``: what its environment says, if anything."""

    pid: int
    parent: int
    session: int
    started: int
    incarnation: Incarnation | None


def variables(incarnation: Incarnation, state: Path) -> dict[str, str]:
    """Return what a process must have in its environment to be found."""
    return {INCARNATION_VARIABLE: str(incarnation), STATE_VARIABLE: str(state)}


def processes(state: Path) -> list[Seen]:
    """Return all running processes of this user; of other state directories without incarnation.

    What has ended and waits for its parent to take note does not run.
    """
    user = os.geteuid()
    return [seen for pid in _pids() if (seen := _look(pid, user, str(state)))]


def started(pid: int) -> int | None:
    """Return when a process was started, as ``Seen`` has it; None: it is gone."""
    with contextlib.suppress(OSError):
        return int(_stat(_PROC / str(pid))[19])
    return None


def family(running: Iterable[Seen], incarnation: Incarnation, *, main: int | None) -> set[int]:
    """Return the pids of all processes of an incarnation.

    They are those that say so, all in their sessions, and all their children. ``main`` is the pid
    of the kernel's process while nobody else can have it.
    """
    others = [seen for seen in running if seen.session != os.getsid(0)]
    pids = {seen.pid for seen in others if seen.incarnation == incarnation}
    sessions = {seen.session for seen in others if seen.pid in pids}
    sessions |= {main} if main is not None else set()
    while True:
        more = {
            seen.pid for seen in others if seen.session in sessions or seen.parent in pids
        } - pids
        if not more:
            return pids
        pids |= more


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir(_PROC) if entry.isdecimal())


def _look(pid: int, user: int, state: str) -> Seen | None:
    folder = _PROC / str(pid)
    try:
        if folder.stat().st_uid != user:
            return None
        fields = _stat(folder)
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended meanwhile
    state_letter, threads = fields[0], int(fields[17])
    # The first thread may have ended before the others, which still hold what the process held.
    if state_letter[0] in _ENDED or (state_letter == _LEADER_ENDED and threads < 2):
        return None
    said: Mapping[str, str] = {}
    with contextlib.suppress(OSError):  # ended meanwhile, or has rights that we do not
        said = _environment((folder / "environ").read_bytes())
    ours = said.get(STATE_VARIABLE) == state
    incarnation = Incarnation.parse(said.get(INCARNATION_VARIABLE, "")) if ours else None
    return Seen(pid, int(fields[1]), int(fields[3]), int(fields[19]), incarnation)


def _stat(folder: Path) -> list[bytes]:
    # The name of the command, in parentheses, may hold spaces and parentheses.
    return (folder / "stat").read_bytes().rpartition(b")")[2].split()


def _environment(raw: bytes) -> dict[str, str]:
    entries = (os.fsdecode(entry).partition("=") for entry in raw.split(b"\0"))
    wanted = (INCARNATION_VARIABLE, STATE_VARIABLE)
    return {name: value for name, _, value in entries if name in wanted}
