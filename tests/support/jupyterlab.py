"""JupyterLab's own client, @jupyterlab/services, in a node process (tests/cluster/jupyterlab)."""

import contextlib
import json
import queue
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.jupyter_tab import Message, NotebookServer, OpenNotebook
from tests.support.line import Line, a_line
from tests.support.one_at_a_time import one_at_a_time

FOLDER = Path(__file__).parents[1] / "cluster" / "jupyterlab"
#: Seconds for an answer of the node process, which may have to wait for the server.
_ANSWERS_WITHIN = 60.0


class _Page:
    """The node process: one page in which the notebook is open."""

    def __init__(self, command: list[str]) -> None:
        self.arrived: queue.Queue[tuple[float, str, Message]] = queue.Queue()
        self.statuses: list[str] = []
        self.connections: list[str] = []
        self._answers: queue.Queue[Message] = queue.Queue()
        self._process = subprocess.Popen(
            command,
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_connected(self) -> bool:
        """Whether the page is there and has a websocket."""
        return self._process.poll() is None and self.connections[-1:] == ["connected"]

    def close(self) -> None:
        """Close the page, which asks nobody."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def ask(self, **wish: object) -> Message:
        """Have the page do something, and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        answer = self.answer()
        assert "failed" not in answer, (wish, answer)
        return answer

    def answer(self) -> Message:
        """Return the next answer of the page."""
        try:
            return self._answers.get(timeout=_ANSWERS_WITHIN)
        except queue.Empty:
            raise AssertionError(
                f"JupyterLab's client said nothing within {_ANSWERS_WITHIN:g} s, or ended"
            ) from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if "message" in said:
                message = said["message"]
                self.arrived.put((time.monotonic(), message["channel"], message))
            elif "status" in said:
                self.statuses.append(said["status"])
            elif "connection" in said:
                self.connections.append(said["connection"])
            else:
                self._answers.put(said)


class LabTab(OpenNotebook):
    """A notebook that is open in JupyterLab, as far as its services go.

    ``line`` is its network. Its websocket is opened anew by JupyterLab whenever it breaks.
    """

    def __init__(self, server: NotebookServer, line: Line, open_page: Callable[[], _Page]) -> None:
        self.line = line
        self._open_page = open_page
        self._page = open_page()
        super().__init__(server, self._page.answer()["session"])

    @property
    def arrived(self) -> "queue.Queue[tuple[float, str, Message]]":
        return self._page.arrived

    @property
    def open(self) -> bool:
        return self._page.is_connected

    def execute(self, code: str) -> str:
        return str(self._page.ask(execute=code)["sent"])

    def beside(self) -> "LabTab":
        return LabTab(self.server, self.line, self._open_page)

    def close(self) -> None:
        self._page.close()

    def reconnect(self) -> None:
        """Cut the network, and mend it."""
        self.line.cut()
        self.until(lambda: not self.open, within=30, what="a websocket that broke")
        self.line.mend()

    def reload(self) -> None:
        """Load the page anew: nothing is left of the old one."""
        self.close()
        self._page = self._open_page()
        self.session = self._page.answer()["session"]

    def interrupt(self) -> None:
        self._page.ask(interrupt=True)

    def restart(self) -> None:
        self._page.ask(restart=True)

    @property
    def connections(self) -> list[str]:
        """The states of its connection, as JupyterLab's client names them."""
        return self._page.connections

    def statuses(self) -> list[str]:
        """The states of the kernel, as JupyterLab's client names them."""
        return self._page.statuses


@contextlib.contextmanager
def jupyterlab(server: Callable[[], NotebookServer], kernel: str = "python3") -> Iterator[LabTab]:
    """Open a notebook in JupyterLab's client, and close it and its kernel at the end.

    ``server`` returns the notebook server, which may be replaced meanwhile. Skips without node.
    """
    node = _installed()
    path = f"jupyterlab-{uuid.uuid4().hex[:8]}.ipynb"
    with a_line(lambda: server().url) as line, contextlib.ExitStack() as pages:
        lasting = NotebookServer(line.url, token=server().token)
        headers = {} if lasting.token else lasting.headers  # it makes those of a token itself
        command = [node, "tab.mjs", line.url, json.dumps(headers), lasting.token or "", path]

        def open_page() -> _Page:
            page = _Page([*command, kernel])
            pages.callback(page.close)
            return page

        tab = LabTab(lasting, line, open_page)
        try:
            yield tab
        finally:
            line.mend()
            with contextlib.suppress(requests.RequestException):
                tab.shutdown()


def _installed() -> str:
    """Return node, with the client beside its script."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no JupyterLab client: node and npm are not installed")
    with one_at_a_time(FOLDER):
        if not (FOLDER / "node_modules").is_dir():
            subprocess.run([npm, "ci", "--silent"], cwd=FOLDER, check=True, timeout=300)
    return node
