"""One user of the machine: an ``elastic-jupyter up``, and what runs of its kernels."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from elastic_jupyter.demo.front_end import Server
from elastic_jupyter.errors import LaunchFailed
from elastic_jupyter.local import proc, tied
from elastic_jupyter.local.shared_directory import VARIABLE

#: Seconds for an end in order, and after that for one at once.
GRACE = 20.0
_LOOK_PAUSE = 0.05
_READY = "JupyterLab: "


class User:
    """``name`` with a state directory and notebooks of its own, both in ``folder``, which exists.

    ``idle`` is in seconds; ``leases`` the directory of all users of the GPU; ``say`` gets each line
    that the process prints.
    """

    def __init__(
        self, name: str, folder: Path, *, leases: Path, idle: int, say: Callable[[str], None]
    ) -> None:
        self.name = name
        self._say = say
        self._arguments = ["up", "--gpus", "1", "--idle", f"{idle}s"]
        self._environment = {**os.environ, VARIABLE: str(leases)}
        self._state = (folder / "state").resolve()
        self._notebooks = folder / "notebooks"
        self._notebooks.mkdir()
        self._said: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def command(self) -> str:
        """What the user would type, without what keeps the demonstration apart from all else."""
        return f"elastic-jupyter {' '.join(self._arguments)}"

    async def start(self) -> Server:
        """Start the process and wait for its notebook server. Raises ``LaunchFailed``."""
        arguments = [
            *self._arguments,
            *("--user", self.name, "--state", str(self._state), "--port", str(_free_port())),
            *("--no-browser", "--config", os.devnull),
        ]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            # Its working directory, which is the user's, holds no modules.
            *("-P", "-m", "elastic_jupyter.local.tied", tied.IN_ORDER, "elastic_jupyter"),
            *(*arguments, str(self._notebooks)),
            env=self._environment | tied.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C is the demonstration's: it ends both users.
            start_new_session=True,
        )
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.ensure_future(self._listen(self._process, url))
        return Server(await url)

    async def _listen(
        self, process: asyncio.subprocess.Process, url: "asyncio.Future[str]"
    ) -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._said.append(line)
            self._say(line)
            if line.startswith(_READY) and not url.done():
                url.set_result(line.removeprefix(_READY))
        if not url.done():
            said = "; ".join(self._said[-3:])
            url.set_exception(LaunchFailed(f"elastic-jupyter up of {self.name} ended: {said}"))

    def kernels(self) -> int:
        """Return how many processes of this user's kernels run."""
        return sum(seen.incarnation is not None for seen in proc.processes(self._state))

    async def has_no_kernel(self) -> None:
        """Wait until no process of this user's kernels runs."""
        while True:
            if not await asyncio.to_thread(self.kernels):
                return
            await asyncio.sleep(_LOOK_PAUSE)

    def hurry(self) -> None:
        """End the process as a second Ctrl-C does, while ``stop`` waits for it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    async def stop(self) -> None:
        """End the process as Ctrl-C does, then as a second one does, then at once."""
        process, listening = self._process, self._listening
        if process is None or listening is None:
            return
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await process.wait()
                    break
        await listening


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
