"""JupyterLab's own client, @jupyterlab/services, in a node process (tests/cluster/jupyterlab)."""

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.jupyter_tab import NotebookServer
from tests.support.one_at_a_time import one_at_a_time

FOLDER = Path(__file__).parents[1] / "cluster" / "jupyterlab"


class LabTab:
    """A notebook that is open in JupyterLab, as far as its services go."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.kernel_id: str = self._answer(60)["kernel"]

    def _answer(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        # A hang is what some tests look for: it ends with the process, and so with the read.
        watchdog = threading.Timer(within, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
            watchdog.join()
        assert line, f"JupyterLab's client said nothing within {within:g} s, or ended"
        return json.loads(line)

    def run(self, code: str, *, within: float = 30) -> dict[str, Any]:
        """Execute a cell; return its ``reply`` and ``outputs`` (``type``, ``content``)."""
        self._tell(code)
        return self._answer(within)

    def _tell(self, code: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def close(self) -> dict[str, list[str]]:
        """Close and shut down; return ``statuses`` and ``connections`` that the tab was told."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._answer(30)


@contextlib.contextmanager
def jupyterlab(server: NotebookServer) -> Iterator[LabTab]:
    """Open a notebook in JupyterLab's client; skips where there is no node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no JupyterLab client: node and npm are not installed")
    with one_at_a_time(FOLDER):
        if not (FOLDER / "node_modules").is_dir():
            subprocess.run([npm, "ci", "--silent"], cwd=FOLDER, check=True, timeout=300)
    headers = {} if server.token else server.headers  # it makes those of a token itself
    with subprocess.Popen(
        [node, "tab.mjs", server.url, json.dumps(headers), server.token or ""],
        cwd=FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield LabTab(process)
        finally:
            process.kill()
