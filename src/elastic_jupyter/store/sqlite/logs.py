"""What kernels printed, from the files that their processes write beside the database."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import NotFound
from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.policy.kernel_status import is_ended
from elastic_jupyter.store.protocol import KernelStore
from elastic_jupyter.store.state_directory import kernel_folder

#: Pause between two looks at a log that is followed, s.
PAUSE = 0.2
#: Bytes that are read at once.
PIECE = 64 * 1024


def log_file(state: Path, kernel: JupyterKernel) -> Path:
    """Return where the present incarnation of a kernel prints to, below the state directory."""
    return kernel_folder(state, kernel) / "kernel.log"


class FileLogs:
    """``KernelLogs`` of processes; ``state`` is the directory of the database."""

    def __init__(self, state: Path, kernels: KernelStore) -> None:
        self._state = state
        self._kernels = kernels

    async def read(
        self, kernel: JupyterKernel, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        path = log_file(self._state, kernel)
        try:
            log = await asyncio.to_thread(path.open, "rb")
        except OSError as error:
            what = f"kernel {kernel.metadata.name} has no log yet, or any more"
            raise NotFound(f"{what} ({path}: {error.strerror})") from error
        with log:
            if tail is not None:
                await asyncio.to_thread(_seek_last_lines, log, tail)
            while True:
                ended = not follow or await self._ended(kernel)
                await asyncio.to_thread(_back_if_cut, log)
                while piece := await asyncio.to_thread(log.read, PIECE):
                    yield piece
                if ended:  # looked at before the last piece was read
                    return
                await asyncio.sleep(PAUSE)

    async def _ended(self, kernel: JupyterKernel) -> bool:
        key = Key(kernel.metadata.namespace or "", kernel.metadata.name or "")
        try:
            now = await self._kernels.get(key)
        except NotFound:
            return True
        phase = now.status.phase if now.status else None
        return now.metadata.uid != kernel.metadata.uid or bool(phase and is_ended(phase))


def _back_if_cut(log: BinaryIO) -> None:
    """Begin anew with a log that had grown too long, and is shorter now."""
    if os.fstat(log.fileno()).st_size < log.tell():
        log.seek(0)


def _seek_last_lines(log: BinaryIO, lines: int) -> None:
    """Go to the beginning of so many lines at the end, as it is now; the log may grow meanwhile.

    A line ends with a newline alone, as the kubelet counts: a progress bar is one line.
    """
    position = end = log.seek(0, 2)
    wanted = lines
    while wanted and position > 0:
        start = max(position - PIECE, 0)
        log.seek(start)
        piece = log.read(position - start)
        # The newline at the very end begins no line.
        cut = len(piece) - (position == end)
        while (cut := piece.rfind(b"\n", 0, max(cut, 0))) >= 0:
            wanted -= 1
            if not wanted:
                log.seek(start + cut + 1)
                return
        position = start
    log.seek(position)
