"""One machine: ``elastic-jupyter up`` as a process, with a state directory and leases of its own.

All that comes of it carries a mark in its environment, so that what is left of it is found without
asking the product.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elastic_jupyter.api.names import kernel_object_name
from elastic_jupyter.errors import NotFound
from elastic_jupyter.local import proc
from elastic_jupyter.local.shared_directory import SharedDirectory
from elastic_jupyter.store.protocol import Key
from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.ports import free_port

Object = dict[str, Any]

NAMESPACE = "local"
#: The modules of the two services.
GATEWAY, NOTEBOOK_SERVER = "elastic_jupyter.gateway", "jupyterlab"
UP = (str(Path(sys.executable).with_name("elastic-jupyter")), "up", "--no-browser")
#: Seconds. A notebook server takes two where nothing else runs.
READY_WITHIN = 90.0
ENDED_WITHIN = 20.0
_MARK = "TEST_MACHINE"
#: Of whoever runs the tests, and not of what is tested.
_FOREIGN = ("JUPYTER", "JPY_", "ELASTIC_JUPYTER_", "XDG_", "KERNEL_", "IPYTHON")


class Machine:
    """One user's ``up``. ``root`` is a directory of its own, ``leases`` that of the whole machine.

    ``idle`` is in seconds, 0: kernels are never reclaimed. ``uid`` None: as the test's user.
    """

    namespace = NAMESPACE
    gpu = "python3-gpu"
    what_is_missing = " by jovyan"
    #: Seconds that a reclaim may take beyond ``idle``: until the gateway looks, and to end.
    slack = 8.0

    def __init__(
        self,
        root: Path,
        *,
        leases: Path,
        idle: float = 0,
        gpus: int | str = 1,
        user: str = "jovyan",
        uid: int | None = None,
        state: Path | None = None,
        policy: str = "delete",
        start: str = "on-create",
    ) -> None:
        self.root, self.leases, self.user, self.uid = root, leases, user, uid
        self.idle, self.gpus, self.policy, self.start_policy = idle, gpus, policy, start
        self.state = state or root / "state"
        self.notebooks = root / "notebooks"
        self.log = root / "up.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._server: NotebookServer | None = None
        for folder in (root, self.notebooks, root / "home"):
            folder.mkdir(exist_ok=True)
            if uid is not None:
                os.chown(folder, uid, uid)

    # -- up and down

    @property
    def command(self) -> list[str]:
        """What starts it."""
        # By default it is longer than any test.
        idle = ("--idle", f"{self.idle:g}s") if self.idle else ()
        return [
            *UP,
            *("--policy", self.policy, "--start", self.start_policy),
            *("--gpus", str(self.gpus), "--port", str(self.port), "--user", self.user),
            *("--state", str(self.state), *idle, str(self.notebooks)),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """What it is started with: nothing of the test's own Jupyter."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return kept | {
            "HOME": str(self.root / "home"),
            "ELASTIC_JUPYTER_LEASES": str(self.leases),
            _MARK: str(self.root),
        }

    def spawn(
        self, *options: str, command: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the process and return at once."""
        as_user: dict[str, Any] = {}
        if self.uid is not None:
            as_user = {"user": self.uid, "group": self.uid, "extra_groups": []}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*(command or self.command), *options],
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_user,
            )
        return self.process

    def up(self, **how: Any) -> "Machine":
        """Start it and wait until JupyterLab answers; ``how`` as ``spawn`` has it."""
        process = self.spawn(**how)
        _, said = eventually(
            lambda: (process.poll(), self.said),
            lambda seen: seen[0] is not None or "JupyterLab: " in seen[1],
            within=READY_WITHIN,
            what="JupyterLab's address",
        )
        assert process.poll() is None, f"it ended with {process.poll()}: {said}{self.logs()}"
        return self

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace") if self.process else ""

    def logs(self) -> str:
        """The ends of the logs of gateway and notebook server."""
        return "".join(
            f"\n--- {file.name}\n{file.read_text(errors='replace')[-3000:]}"
            for file in sorted(self.state.glob("*.log"))
        )

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal to the ``up`` alone; Ctrl-C is SIGINT."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, *, within: float = ENDED_WITHIN) -> int:
        """Wait for its end and return its exit status."""
        assert self.process is not None
        return self.process.wait(within)

    def kill(self) -> None:
        """SIGKILL the ``up``, and wait until what is tied to it has ended, too."""
        services = [self.service(GATEWAY), self.service(NOTEBOOK_SERVER)]
        self.signal(signal.SIGKILL)
        self.wait()
        eventually(
            lambda: [pid for pid in services if pid and is_running(pid)],
            lambda left: not left,
            within=5,
            what="the end of gateway and notebook server",
        )

    def close(self) -> None:
        """End it in good order if it runs, and all that is left of it."""
        if self._server is not None:
            self._server.close()
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # -- processes

    def processes(self) -> set[int]:
        """Return all processes that came of it and run, this one's ``up`` too."""
        mark = f"{_MARK}={self.root}".encode()
        return {pid for pid in _pids() if mark in _environ(pid)}

    def all_gone(self, *, within: float = 10) -> None:
        """Wait until nothing that came of it runs any more."""
        eventually(
            lambda: {pid: command_line(pid) for pid in self.processes()},
            lambda left: not left,
            within=within,
            what="the end of all processes",
        )

    def locked(self) -> list[str]:
        """Return what is locked: its state directory; GPUs and places in the line of any user."""
        found = []
        if self.leases.is_dir():
            shared = SharedDirectory(self.leases)
            found = [name for name in shared.names() if (seen := shared.look(name)) and seen.locked]
        with contextlib.suppress(FileNotFoundError), open(self.state / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append("lock")
        return found

    def service(self, name: str) -> int | None:
        """Return the pid of ``GATEWAY`` or ``NOTEBOOK_SERVER`` while it runs."""
        for pid in self.processes():
            if f"elastic_jupyter.local.tied {name}" in command_line(pid):
                return pid
        return None

    def kernel_processes(self, tab: Tab) -> set[int]:
        """Return the processes of a kernel and all that it started."""
        mark = f"KERNEL_ID={tab.kernel_id}".encode()
        return {pid for pid in self.processes() if mark in _environ(pid)}

    # -- what both engines can do (tests/scenarios/world.py)

    @property
    def server(self) -> NotebookServer:
        """Its notebook server, as a browser with the token sees it."""
        if self._server is None:
            token = (self.state / "login-token").read_text()
            self._server = NotebookServer(self.url, token=token)
        return self._server

    @property
    def home(self) -> str:
        """Where the notebook server's files are."""
        return str(self.notebooks)

    def kernel(self, tab: Any) -> Object | None:
        """Return the JupyterKernel behind a tab, or None."""
        name = kernel_object_name(self.user, tab.kernel_id)
        return asyncio.run(self._get(name))

    async def _get(self, name: str) -> Object | None:
        database = open_database(self.state / "objects.db")
        try:
            kernel = await SqliteKernelStore(database).get(Key(NAMESPACE, name))
        except NotFound:
            return None
        finally:
            database.close()
        return kernel.to_dict()

    def runs(self, tab: Any) -> Object:
        """Wait until the JupyterKernel of a kernel says that it runs, and return it."""
        return eventually(
            lambda: self.kernel(tab) or {},
            lambda kernel: kernel.get("status", {}).get("phase") == "Running",
            within=30,
            what=f"phase Running of {tab.kernel_id}",
        )

    def left_of(self, tab: Any) -> list[str]:
        """Return what there is of a kernel: its object, folders and processes."""
        left = [] if self.kernel(tab) is None else ["jupyterkernels"]
        left += [path.name for path in (self.state / "kernels").glob(f"*{tab.kernel_id}*")]
        left += [f"process {pid}" for pid in self.kernel_processes(tab)]
        return left

    def reclaimed(self, tab: Any, *, within: float) -> None:
        """Wait until nothing is left of a kernel."""
        eventually(
            lambda: self.left_of(tab),
            lambda left: not left,
            within=within,
            what=f"the reclaim of {tab.kernel_id}",
        )

    def placed(self, tabs: Sequence[Any]) -> int:
        """Return how many of these kernels have processes."""
        return len([tab for tab in tabs if self.kernel_processes(tab)])

    def touch(self, tab: Any, file: str) -> None:
        """Make a file where the kernel sees it."""
        Path(file).touch()

    @property
    def gateway_address(self) -> tuple[str, int]:
        """Where the gateway listens, as the kernels see it."""
        [line] = [line for line in self.said.splitlines() if line.startswith("gateway: ")]
        return "127.0.0.1", int(line.rpartition(":")[2])

    def kill_gateway(self) -> None:
        """SIGKILL the gateway, and wait until all have seen that it is gone.

        Another one comes by itself.
        """
        self._kill_service(GATEWAY)
        eventually(
            lambda: _connected_to(self.gateway_address[1]),
            lambda ends: not ends,
            within=5,
            what="the end of all connections",
        )

    def replace_gateway(self) -> None:
        """SIGKILL the gateway, and wait until another one takes connections."""
        self.kill_gateway()
        self.gateway_answers()

    def restart_gateway(self) -> None:
        """Have another gateway; on one machine it is looked after, and never restarted."""
        self.replace_gateway()

    def gateway_answers(self) -> None:
        """Wait until the gateway takes connections."""
        eventually(
            lambda: _is_open(self.gateway_address),
            bool,
            within=30,
            what="a gateway that takes connections",
        )

    def replace_notebook_server(self) -> None:
        """SIGKILL the notebook server, and wait until another one answers."""
        self._kill_service(NOTEBOOK_SERVER)
        eventually(
            lambda: self.server.look("kernels"),
            lambda seen: isinstance(seen, list),
            within=60,
            what="another notebook server",
        )

    def _kill_service(self, name: str) -> None:
        pid = self.service(name)
        assert pid is not None, f"no {name} runs"
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: is_running(pid), lambda runs: not runs, within=5, what=f"end of {name}")

    def offer(self, name: str, **resources: Any) -> None:
        """Install a kernel spec, ``resources`` as in a pod, and wait until it is offered."""
        command = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.install_spec(name, command, metadata={"elastic_jupyter": {"resources": resources}})

    def install(self, name: str, code: str) -> None:
        """Install a kernel that runs Python code, and wait until it is offered."""
        self.install_spec(name, ["python", "-c", code, "-f", "{connection_file}"])

    def install_spec(
        self,
        name: str,
        command: list[str],
        *,
        language: str = "python",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Install a kernel of any language, and wait until it is offered."""
        folder = self.root / "home" / ".local" / "share" / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec = {
            "argv": command,
            "display_name": name,
            "language": language,
            "metadata": metadata or {},
        }
        (folder / "kernel.json").write_text(json.dumps(spec))
        eventually(
            lambda: self.server.look("kernelspecs"),
            lambda seen: isinstance(seen, dict) and name in seen["kernelspecs"],
            within=15,
            what=f"the kernel spec {name}",
        )

    def kill_kernel(self, tab: Any) -> None:
        """SIGKILL a kernel's process, none of those that it started."""
        [pid] = [
            seen.pid
            for seen in proc.processes(self.state)
            if seen.pid in self.kernel_processes(tab) and seen.session == seen.pid
        ]
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def a_machine(root: Path, **options: Any) -> Iterator[Machine]:
    """A machine of which nothing is left after the block."""
    machine = Machine(root, **options)
    try:
        yield machine
    finally:
        machine.close()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_line(pid: int) -> str:
    """Return how a process was called, words separated by spaces."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _connected_to(port: int) -> list[str]:
    """Return the connections to a port of this machine that nobody has closed at this end."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    open_ones = {"01", "08"}  # established, and closed by the other end alone
    return [row[1] for row in rows if row[2].endswith(f":{port:04X}") and row[3] in open_ones]


def _is_open(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, 1):
        return True
    return False
