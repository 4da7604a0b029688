"""Child processes that are kept running: the gateway and the notebook server."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from elastic_jupyter import logs
from elastic_jupyter.local import tied
from elastic_jupyter.runtime.backoff import Backoff

log = logs.get(__name__)

#: Seconds that a process may take to end when it is asked to.
GRACE = 10.0
#: A process that ran for so many seconds is started again at once.
SETTLED = 30.0
_RETRY = Backoff(base=0.2, ceiling=10.0)


@dataclass(frozen=True)
class Service:
    """A module to run: its arguments, environment, working directory and where its output goes."""

    name: str
    module: str
    arguments: Sequence[str]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None


class Supervised:
    """One service and its process, which is started again whenever it ends."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._process: asyncio.subprocess.Process | None = None
        #: How often the process has ended by itself.
        self.ends = 0

    @property
    def pid(self) -> int | None:
        """The process id, None while there is no process."""
        return self._process.pid if self._process else None

    async def run(self) -> None:
        """Keep the process running until cancelled; then it is still there, for ``stop``."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun = loop.time()
            self._process = await self._spawn()
            code = await self._process.wait()
            self.ends += 1
            failures = 0 if loop.time() - begun > SETTLED else failures + 1
            log.warning(
                "a process ended and is started again",
                name=self.service.name,
                status=code,
                log=self.service.log_file,
            )
            await asyncio.sleep(_RETRY.delay(failures))

    async def _spawn(self) -> asyncio.subprocess.Process:
        service = self.service
        with _log(service) as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "elastic_jupyter.local.tied", service.module, *service.arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=service.directory,
                env={
                    **os.environ,
                    **service.environment,
                    **tied.environment(),
                },
                # Ctrl-C is the supervisor's: it ends them in order.
                start_new_session=True,
            )

    async def stop(self) -> None:
        """Ask the process to end, and kill it when it does not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            await self.end()

    async def end(self) -> None:
        """End the process at once, and wait until it has."""
        self.kill()
        if self._process is not None:
            await self._process.wait()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _log(service: Service) -> BinaryIO:
    return open(service.log_file, "ab", opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
