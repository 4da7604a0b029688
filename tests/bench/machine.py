"""Servers of one machine to be measured: ``elastic-jupyter up``, and what people run without it.

All have the same notebooks, kernel specs and client; their files are in a directory that goes.
"""

import contextlib
import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from elastic_jupyter.local.state import State
from tests.bench.inside import Served
from tests.support.eventually import eventually
from tests.support.ports import free_port

TIMEOUT = 60.0
_POLL = 0.005
#: What runs a user's code, by the module in its command line.
_KERNEL = "ipykernel_launcher"


class Server:
    """A Jupyter server in a process tree of its own."""

    def __init__(self, argv: list[str], port: int, token: str, env: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._headers = {"Authorization": f"token {token}"}
        self.asked_at = time.perf_counter()
        self._process = subprocess.Popen(
            argv,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kernel(self) -> Served:
        """Start a kernel; its websocket is open."""
        return Served(self.url, self._headers)

    def await_answer(self, path: str) -> float:
        """Return the seconds from the start of the process until a GET is answered with 200."""
        deadline = time.monotonic() + TIMEOUT
        while not self._answers(path):
            assert self._process.poll() is None, f"{self._process.args} ended"
            assert time.monotonic() < deadline, f"{self.url}{path} is not answered"
            time.sleep(_POLL)
        return time.perf_counter() - self.asked_at

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request("GET", path, headers=self._headers)
            return connection.getresponse().status == 200
        return False

    def pss(self) -> float:
        """Return the proportional set size of all processes but kernels, in MB of 10^6 bytes."""
        return sum(one.memory_full_info().pss for one in self._tree(kernels=False)) / 1e6

    def await_kernels_end(self) -> None:
        """Wait until no kernel runs, so that its end does not slow the next start."""
        eventually(
            lambda: self._tree(kernels=True),
            lambda left: not left,
            within=TIMEOUT,
            what="the end of the kernels",
        )

    def _tree(self, *, kernels: bool) -> list[psutil.Process]:
        main = psutil.Process(self._process.pid)
        return [one for one in (main, *main.children(recursive=True)) if _is_kernel(one) is kernels]

    def close(self) -> None:
        """Ask the server to end, and wait until it has."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(TIMEOUT)
        finally:
            self._process.kill()


def _is_kernel(process: psutil.Process) -> bool:
    try:
        return _KERNEL in process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return False


class Machine:
    """Starts servers that share notebooks and nothing else. ``root`` is an empty directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._notebooks = root / "notebooks"
        self._notebooks.mkdir()
        # What a user of this machine has set up counts for none of them.
        self._env = os.environ | {
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "IPYTHONDIR": str(root / "ipython"),
            "ELASTIC_JUPYTER_LEASES": str(root / "leases"),
            "ELASTIC_JUPYTER_CONFIG": str(root / "config.toml"),
        }
        (root / "config.toml").touch()

    @contextlib.contextmanager
    def up(self) -> Iterator[Server]:
        """``elastic-jupyter up``; each has the state of the one before it."""
        state, port = self._root / "state", free_port()
        with State(state) as held:
            token = held.login_token
        command = str(Path(sys.executable).with_name("elastic-jupyter"))
        argv = [command, "up", "--no-browser", f"--port={port}", f"--state={state}"]
        with contextlib.closing(
            Server([*argv, str(self._notebooks)], port, token, self._env)
        ) as server:
            yield server

    @contextlib.contextmanager
    def plain(self, module: str, *more: str) -> Iterator[Server]:
        """A stock server: ``jupyterlab`` or ``jupyter_server``, with these arguments more."""
        port, token = free_port(), secrets.token_hex(24)
        argv = [
            *(sys.executable, "-m", module, "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            f"--ServerApp.root_dir={self._notebooks}",
            '--ServerApp.jpserver_extensions={"elastic_jupyter.notebook": False}',
            f"--IdentityProvider.token={token}",
            *more,
        ]
        with contextlib.closing(Server(argv, port, token, self._env)) as server:
            yield server
