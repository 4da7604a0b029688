"""One process of a kernel: started or found again, watched until it ends, and ended with its kin.

What it starts may leave its session or outlive it; at the end all of it goes.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from elastic_jupyter import logs
from elastic_jupyter.errors import LaunchFailed, Unavailable
from elastic_jupyter.local import cgroup, proc
from elastic_jupyter.local.cgroup import Group
from elastic_jupyter.local.proc import Incarnation
from elastic_jupyter.local.sight import End

#: Seconds that a kernel has to end by itself. As on a cluster.
GRACE = 2.0
#: Seconds after which processes that were killed and are there still are somebody else's to solve.
_STUCK = 10.0
_LONGEST_PAUSE = 0.5
#: Seconds to wait, one after the other, for threads of processes that have ended.
_LAST_THREADS = (0.005, 0.02, 0.1, 0.5)
#: A process cannot be made now, but maybe later.
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


log = logs.get(__name__)


class Process:
    """The process of one incarnation. Made with ``start`` or ``find_again``.

    ``on_end`` is called without arguments from the event loop when it has ended.
    """

    def __init__(
        self,
        incarnation: Incarnation,
        pid: int,
        pidfd: int,
        *,
        state: Path,
        group: Group | None,
        child: subprocess.Popen[bytes] | None,
        on_end: Callable[[], None],
    ) -> None:
        self.incarnation = incarnation
        self.pid = pid
        self.group = group
        self._pidfd = pidfd
        self._state = state
        self._child = child
        self._on_end = on_end
        self._code: int | None = None
        self._oom_kills = cgroup.machine_oom_kills()
        self._out_of_memory = False
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, self._has_ended)

    @property
    def ended(self) -> bool:
        """Whether the process has ended. What it started may still run."""
        return self._ended.is_set()

    def how(self) -> End | None:
        """Return how it ended, without its last words; None: it runs."""
        if not self.ended:
            return None
        return End(self._code, out_of_memory=self._out_of_memory, is_certain=self.group is not None)

    async def end(self, *, asked: bool) -> None:
        """End it and all that it started.

        It has ``GRACE`` seconds. ``asked``: the gateway may have told it to shut down a moment ago,
        and SIGTERM at once would keep it from doing that in order. Raises ``Unavailable`` when
        something cannot be killed.
        """
        if asked:
            await self._end_within(GRACE / 2)
        if not self.ended:
            self._signal(signal.SIGTERM)
            await self._end_within(GRACE / 2 if asked else GRACE)
        if not self.ended:
            self._signal(signal.SIGKILL)
        await end_all(self.incarnation, state=self._state, group=self.group, main=self._main())
        await self._end_within(_STUCK)
        if not self.ended:
            raise Unavailable(f"process {self.pid} was killed and does not end")
        self.let_go()

    def interrupt(self) -> None:
        """Send SIGINT to all in its process group, as a terminal does, if it runs."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGINT)

    async def gather(self) -> None:
        """Move to its group what the process had started before it was there."""
        if self.group is not None:
            await asyncio.to_thread(_gather, self.incarnation, self._state, self.group, self.pid)

    def let_go(self) -> None:
        """Stop watching. A child that has ended is reaped."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._child is not None and self._child.poll() is not None:
            self._child = None  # from now on its pid may be another's

    def _main(self) -> int | None:
        """Return the pid while it is this process' alone: it runs, or was not reaped yet."""
        return self.pid if self._child is not None or not self.ended else None

    async def _end_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _has_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        if self._child is not None:
            # It is not reaped yet: so its pid, and with it its session, stay its own.
            with contextlib.suppress(ChildProcessError):
                said = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
                if said is not None:
                    by_itself = said.si_code == os.CLD_EXITED
                    self._code = said.si_status if by_itself else -said.si_status
        self._out_of_memory = self._code in (None, -signal.SIGKILL) and self._was_oom_killed()
        self._ended.set()
        self._on_end()

    def _was_oom_killed(self) -> bool:
        if self.group is not None:
            return self.group.oom_kills() > 0
        return self._code is not None and cgroup.machine_oom_kills() > self._oom_kills


def start(
    argv: Sequence[str],
    *,
    incarnation: Incarnation,
    state: Path,
    env: Mapping[str, str],
    folder: Path,
    log: int,
    group: Group | None,
    fds: Sequence[int],
    on_end: Callable[[], None],
) -> Process:
    """Start the process of an incarnation, in a session of its own.

    ``folder`` is where it starts, ``log`` an open file for its output, ``fds`` are open files that
    it inherits, ``group`` exists. It joins the group a moment after it begins to run; what it
    starts before is outside, and found at the end by its session and environment. Only what
    has neither any more would be missed, and a kernel is not so fast: it takes 200 ms until its
    user's first line. Raises ``LaunchFailed`` when nothing can be executed, and
    ``Unavailable`` when the machine lacks something for the moment.
    """
    variables = {**env, **proc.variables(incarnation, state)}
    path = shutil.which(argv[0], path=variables.get("PATH")) if "/" not in argv[0] else argv[0]
    if path is None:
        raise LaunchFailed(f"{argv[0]} is not found in PATH ({variables.get('PATH', '')})")
    try:
        child = subprocess.Popen(
            [path, *argv[1:]],
            env=variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=fds,
        )
    except OSError as error:
        if error.errno in _PASSING:
            raise Unavailable(f"no process can be made: {error.strerror}") from error
        raise LaunchFailed(f"{error.filename or path}: {error.strerror}") from error
    if group is not None:
        group.join(child.pid)
    try:
        pidfd = os.pidfd_open(child.pid)
    except OSError as error:
        child.kill()
        child.wait()
        raise Unavailable(f"no process can be watched: {error.strerror}") from error
    return Process(
        incarnation,
        child.pid,
        pidfd,
        state=state,
        group=group,
        child=child,
        on_end=on_end,
    )


def find_again(
    incarnation: Incarnation,
    pid: int | None,
    running: Sequence[proc.Seen],
    *,
    state: Path,
    group: Group | None,
    on_end: Callable[[], None],
) -> Process | None:
    """Return the process of an incarnation that another supervisor has started, None: it is gone.

    ``running`` are all processes of the incarnation, ``pid`` is what was noted of the one to find;
    without, it is the oldest that leads a session.
    """
    leaders = [seen for seen in running if seen.session == seen.pid]
    if pid is not None:
        leaders = [seen for seen in leaders if seen.pid == pid]
    if not leaders:
        return None
    found = min(leaders, key=lambda seen: seen.started)
    try:
        pidfd = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return None
    return Process(
        incarnation, found.pid, pidfd, state=state, group=group, child=None, on_end=on_end
    )


async def end_all(
    incarnation: Incarnation, *, state: Path, group: Group | None, main: int | None
) -> None:
    """Kill all processes of an incarnation until none is left, and remove its group.

    ``main`` as in ``proc.family``. Raises ``Unavailable`` when some cannot be killed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _STUCK
    pause = 0.005
    while left := await asyncio.to_thread(_left, incarnation, state, group, main):
        if loop.time() > deadline:
            raise Unavailable(f"processes {sorted(left)} were killed and do not end")
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if group is not None:
            group.kill()
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    if group is not None:
        await _remove(group)


async def _remove(group: Group) -> None:
    for pause in _LAST_THREADS:
        if group.remove():
            return
        await asyncio.sleep(pause)
    log.warning("control group cannot be removed", group=group.path)


def _left(incarnation: Incarnation, state: Path, group: Group | None, main: int | None) -> set[int]:
    running = proc.processes(state)
    left = proc.family(running, incarnation, main=main)
    if group is not None:
        left |= group.pids() & {seen.pid for seen in running}
    return left


def _gather(incarnation: Incarnation, state: Path, group: Group, main: int) -> None:
    tried: set[int] = set()
    while late := (
        proc.family(proc.processes(state), incarnation, main=main) - group.pids() - tried
    ):
        for pid in late:
            group.join(pid)
        tried |= late
