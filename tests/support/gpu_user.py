"""A process of some user that wants GPUs, told what to do line by line.

``GpuUser`` is the test's side. The other side is this module run as a program: JSON lists of a
method's name and its arguments in, JSON out.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from elastic_jupyter.clock import SystemClock
from elastic_jupyter.local import gpus
from elastic_jupyter.local.leases import GpuLease, Leases
from elastic_jupyter.local.line import Applicant
from elastic_jupyter.local.shared_directory import SharedDirectory

ROOT = Path(__file__).parents[2]


class GpuUser:
    """Starts the process. ``uid`` None: as the test's user. Ends it with SIGKILL."""

    def __init__(self, directory: Path, total: int, user: str, uid: int | None = None) -> None:
        argv = [str(directory), str(total), user, str(os.getuid() if uid is None else uid)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.gpu_user", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def tell(self, method: str, *arguments: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps([method, *arguments]), file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait(10)}"
        return json.loads(line)

    def ask(self, method: str, *arguments: object) -> Any:
        self.tell(method, *arguments)
        return self.answer()


class _Program:
    def __init__(self, directory: Path, total: int, user: str) -> None:
        self.user = user
        self.leases = Leases(SharedDirectory(directory), gpus.inventory(total), SystemClock())
        self.applicants: dict[str, Applicant] = {}
        self.held: dict[str, GpuLease] = {}

    def enter(self, kernel: str, amount: int, asked_at: float) -> None:
        moment = datetime.fromtimestamp(asked_at, UTC)
        self.applicants[kernel] = Applicant(kernel, self.user, moment)
        self.leases.enter(self.applicants[kernel], amount)

    def place(self, kernel: str) -> list[object]:
        place = self.leases.place(self.applicants[kernel])
        return [place.position, place.length, place.reason]

    def lease(self, kernel: str) -> list[str] | None:
        lease = self.leases.try_lease(self.applicants[kernel])
        if lease is None:
            return None
        self.held[kernel] = lease
        return [gpu.id for gpu in lease.gpus]

    def give_back(self, kernel: str) -> None:
        self.held.pop(kernel).hand_over()

    def spawn(self, kernel: str) -> int:
        """Start a process that has the lease of a kernel, and nothing else of ours."""
        return subprocess.Popen(
            ["sleep", "600"],
            pass_fds=self.held[kernel].fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ).pid

    def write_no_byte(self) -> None:
        """Have no space for any byte in any file from now on."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def race(self, rounds: int, marks: str) -> list[list[float]]:
        """Get and give back GPUs so many times; return when each was asked for and leased.

        A mark of each GPU says that it is ours; that it is there already is a double lease.
        """
        times = []
        for number in range(rounds):
            kernel, asked_at = f"{self.user}-{number}", time.time()
            self.enter(kernel, 1 + number % 2, asked_at)
            while (had := self.lease(kernel)) is None:
                time.sleep(0.005)
            times.append([asked_at, time.time()])
            for gpu in had:
                os.close(os.open(f"{marks}/{gpu}", os.O_CREAT | os.O_EXCL))
            for gpu in had:
                os.unlink(f"{marks}/{gpu}")
            self.give_back(kernel)
        return times


def main() -> None:
    directory, total, user, uid = sys.argv[1:]
    os.umask(0o077)
    if int(uid) != os.getuid():
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    program = _Program(Path(directory), int(total), user)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(program, method)(*arguments)), flush=True)


if __name__ == "__main__":
    main()
