"""One machine put together: store, GPUs, the reconciler, and the two supervised services.

What a cluster has in its API server, operator, Deployments and Secrets.
"""

import asyncio
import contextlib
import getpass
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.request import ProxyHandler, Request, build_opener

from elastic_jupyter import logs
from elastic_jupyter.api.gateway import Start
from elastic_jupyter.api.kernel import Fallback, ReclaimPolicy
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.reclaim import DEFAULT_MAX_EXTENSION
from elastic_jupyter.clock import SystemClock
from elastic_jupyter.errors import ConfigError, LaunchFailed, Unavailable
from elastic_jupyter.local import log_files, proc, shared_directory
from elastic_jupyter.local.app import LocalEngine
from elastic_jupyter.local.gpus import inventory
from elastic_jupyter.local.leases import Leases
from elastic_jupyter.local.shared_directory import SharedDirectory
from elastic_jupyter.local.state import State
from elastic_jupyter.local.supervisor import Service, Supervised
from elastic_jupyter.policy import tokens
from elastic_jupyter.store.sqlite import (
    SqliteCatalog,
    SqliteKernelStore,
    SqliteNotebooks,
    open_database,
)
from elastic_jupyter.store.stores import LOCAL, sqlite_url

NAMESPACE = GATEWAY = LOCAL
#: Seconds between two looks at the installed kernel specs: a new one is offered after so long.
SPECS_PAUSE = 2.0
#: Seconds between two looks at the lengths of the logs.
LOGS_PAUSE = 1.0
#: Seconds until the services must have answered for the first time.
START_PATIENCE = 60.0
_LOOK_PAUSE = 0.05
_PACKAGE = Path(logs.__file__).parent
#: Seconds; one that is stuck in a driver ends when that lets it go.
_KILL_PATIENCE = 2.0

log = logs.get(__name__)


@dataclass(frozen=True)
class MachineConfig:
    """What ``up`` was told. ``idle`` zero: kernels are never reclaimed; ``user`` is what others

    read who wait for a GPU; ``directory`` holds the notebooks; ``policy`` is what becomes of the
    variables of an idle kernel, ``fallback`` where they should be saved and cannot be;
    ``max_extension`` bounds how much longer it can be kept; ``start`` is when a kernel that is
    opened starts.
    """

    directory: Path
    port: int
    gpus: int | Literal["auto"]
    idle: timedelta
    user: str
    log_level: str
    policy: ReclaimPolicy = ReclaimPolicy.DELETE
    fallback: Fallback = Fallback.DELETE
    max_extension: timedelta = timedelta(seconds=DEFAULT_MAX_EXTENSION)
    start: Start = Start.ON_CREATE


def login_name() -> str:
    """Return the name of who runs this process."""
    with contextlib.suppress(OSError, KeyError):  # a user id without a name
        return getpass.getuser()
    return str(os.getuid())


class Machine:
    """The whole system of one ``up``. ``say`` gets one line for each thing that was started.

    Raises ``ConfigError`` when the objects, the GPUs or their leases cannot be used.
    """

    def __init__(self, config: MachineConfig, state: State, *, say: Callable[[str], None]) -> None:
        self._config = config
        self._state = state
        self._say = say
        found = inventory(config.gpus)
        self._gpus = len(found.gpus)
        if found.note:
            say(found.note)
        try:
            self._database = open_database(state.database)
        except Unavailable as error:
            raise ConfigError(str(error)) from error
        self._catalog = SqliteCatalog(self._database, NAMESPACE)
        self._notebooks = SqliteNotebooks(self._database, NAMESPACE, GATEWAY)
        shared, clock = SharedDirectory(shared_directory.path(os.environ)), SystemClock()
        self._engine = LocalEngine(
            store=SqliteKernelStore(self._database),
            state=state.directory,
            notebooks=config.directory,
            master_key=state.master_key,
            line=Leases(shared, found, clock),
            clock=clock,
        )
        self._gateway_port = _reserved_port()
        gateway_port: int = self._gateway_port.getsockname()[1]
        self._gateway_url = f"http://127.0.0.1:{gateway_port}"
        self._gateway = Supervised(self._gateway_service(gateway_port))
        self._notebook = Supervised(self._notebook_service())

    @property
    def url(self) -> str:
        """The address of JupyterLab, with its token."""
        return f"http://127.0.0.1:{self._config.port}/lab?token={self._state.login_token}"

    async def run(self, *, ready: Callable[[], None]) -> None:
        """Run until cancelled; ``ready`` is called once JupyterLab answers.

        Raises ``ConfigError`` when there is no kernel spec or the port is taken, ``LaunchFailed``
        when a service does not come up.
        """
        require_free(self._config.port)
        await self._notebooks.serve([self._state.notebook_uid])
        try:
            await self._run(ready)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # the first one made the others end

    async def _run(self, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notebook.run())  # first: it takes longest until it answers
            await self._offer_kernels()
            group.create_task(self._engine.run())
            group.create_task(self._gateway.run())
            group.create_task(self._follow_kernelspecs())
            group.create_task(self._keep_logs_short())
            await self._answers(self._gateway, f"{self._gateway_url}/readyz")
            self._say(f"gateway: process {self._gateway.pid}, {self._gateway_url}")
            await self._answers(self._notebook, f"http://127.0.0.1:{self._config.port}/api")
            self._say(f"notebook server: process {self._notebook.pid}, {self._config.directory}")
            self._state.announce(self.url)
            ready()

    async def close(self) -> None:
        """End notebook server, kernels and gateway, in this order."""
        await self._notebook.stop()
        await self._engine.close()
        await self._leave()

    async def abandon(self) -> bool:
        """End notebook server and gateway; return whether kernels are left for the next ``up``."""
        await self._notebook.stop()
        await self._leave()
        return bool(self._of_kernels())

    async def _leave(self) -> None:
        await self._gateway.end()  # it holds nothing that is not in the store
        self._gateway_port.close()
        self._state.forget_runtime()
        self._database.bell.ring()  # removes what it heard with
        self._database.close()

    def kill(self) -> None:
        """End all processes at once; the store is left as a power failure would leave it."""
        for service in (self._notebook, self._gateway):
            service.kill()
        deadline = time.monotonic() + _KILL_PATIENCE
        while (left := self._of_kernels()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _of_kernels(self) -> set[int]:
        running = proc.processes(self._state.directory)
        incarnations = {seen.incarnation for seen in running if seen.incarnation}
        return {pid for one in incarnations for pid in proc.family(running, one, main=None)}

    # -- what is offered

    async def _offer_kernels(self) -> None:
        specs = await asyncio.to_thread(_installed, self._gpus)
        if not specs:
            raise ConfigError(
                "no kernel spec is installed on this machine: `python -m ipykernel install --user` "
                "installs that of this Python"
            )
        await self._catalog.replace_specs(specs)
        self._say(f"kernels: {', '.join(sorted(spec.metadata.name or '' for spec in specs))}")

    async def _follow_kernelspecs(self) -> None:
        while True:
            await asyncio.sleep(SPECS_PAUSE)
            try:
                specs = await asyncio.to_thread(_installed, self._gpus)
                await self._catalog.replace_specs(specs)
            # A package may be half installed, a folder away for a moment: the kernels go on.
            except Exception as error:
                log.warning("the kernel specs could not be brought up to date", error=error)

    async def _keep_logs_short(self) -> None:
        while True:
            await asyncio.sleep(LOGS_PAUSE)
            await asyncio.to_thread(log_files.cut_all, self._state.directory)

    # -- services

    def _gateway_service(self, port: int) -> Service:
        config, state = self._config, self._state
        idle = config.idle.total_seconds()
        return Service(
            name="gateway",
            module="elastic_jupyter.gateway",
            arguments=(),
            log_file=state.directory / "gateway.log",
            environment={
                "ELASTIC_JUPYTER_GATEWAY": GATEWAY,
                "ELASTIC_JUPYTER_NAMESPACE": NAMESPACE,
                "ELASTIC_JUPYTER_GATEWAY_UID": state.notebook_uid,
                "POD_NAME": f"up-{os.getpid()}",
                "ELASTIC_JUPYTER_MASTER_KEY_FILE": str(state.master_key_file),
                "ELASTIC_JUPYTER_STORE": sqlite_url(state.database),
                "ELASTIC_JUPYTER_HOST": "127.0.0.1",
                "ELASTIC_JUPYTER_PORT": str(port),
                "ELASTIC_JUPYTER_CULL_IDLE_TIMEOUT": str(idle),
                # A tenth of the limit, so that it is kept well enough.
                "ELASTIC_JUPYTER_CULL_INTERVAL": str(max(1.0, min(10.0, idle / 10))),
                "ELASTIC_JUPYTER_LOG_LEVEL": config.log_level,
                "ELASTIC_JUPYTER_RECLAIM_POLICY": config.policy.value,
                "ELASTIC_JUPYTER_RECLAIM_FALLBACK": config.fallback.value,
                "ELASTIC_JUPYTER_MAX_EXTENSION": str(config.max_extension.total_seconds()),
                "ELASTIC_JUPYTER_SNAPSHOTS": str(state.snapshots),
                "ELASTIC_JUPYTER_START": config.start.value,
                "JUPYTER_RUNTIME_DIR": str(state.runtime / "gateway"),
            },
        )

    def _notebook_service(self) -> Service:
        config, state = self._config, self._state
        identity = tokens.NotebookIdentity(NAMESPACE, "notebook", state.notebook_uid, config.user)
        arguments = [
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={config.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={config.directory}",
            # What the wheel's files outside the package say where it is installed as a whole.
            '--ServerApp.jpserver_extensions={"elastic_jupyter.notebook": True}',
            f"--LabApp.extra_labextensions_path={_PACKAGE / 'notebook' / 'labextensions'}",
            f"--Application.log_level={config.log_level}",
        ]
        if os.geteuid() == 0:
            arguments.append("--allow-root")
        return Service(
            name="notebook server",
            module="jupyterlab",
            arguments=arguments,
            log_file=state.directory / "notebook.log",
            directory=config.directory,
            environment={
                "JUPYTER_TOKEN": state.login_token,
                "JUPYTER_GATEWAY_URL": self._gateway_url,
                "JUPYTER_GATEWAY_AUTH_TOKEN": tokens.mint(state.master_key, identity),
                "KERNEL_USERNAME": config.user,
            },
        )

    async def _answers(self, service: Supervised, url: str) -> None:
        """Wait until a service answers. Raises ``LaunchFailed`` with its last words if it ends."""
        look = partial(_is_answered, url)
        name, log_file = service.service.name, service.service.log_file
        try:
            async with asyncio.timeout(START_PATIENCE):
                while not await asyncio.to_thread(look):
                    if service.ends:
                        raise LaunchFailed(f"the {name} ended at its start: {_tail(log_file)}")
                    await asyncio.sleep(_LOOK_PAUSE)
        except TimeoutError:
            raise LaunchFailed(
                f"the {name} did not answer within {START_PATIENCE:.0f} s; its log is {log_file}"
            ) from None


def _installed(gpus: int) -> list[JupyterKernelSpec]:
    # It imports jupyter_client, for which the notebook server does not have to wait.
    from elastic_jupyter.local.kernelspecs import installed

    return installed(NAMESPACE, gpus=gpus)


def require_free(port: int) -> None:
    """Raise ``ConfigError`` when a port of this machine is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error.strerror}): choose another with --port"
            ) from None


def _reserved_port() -> socket.socket:
    """Return a socket that keeps a port for processes of this user, who may listen there.

    While the gateway is started again nobody else gets what is sent to it, its tokens among that:
    Linux lets only the same user bind a port that is bound with this option.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


_open = build_opener(ProxyHandler({})).open  # no proxy of the environment leads to this machine


def _is_answered(url: str) -> bool:
    with contextlib.suppress(OSError), _open(Request(url), timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def _tail(file: Path, size: int = 2048) -> str:
    with contextlib.suppress(OSError):
        return file.read_bytes()[-size:].decode(errors="replace").strip()
    return ""
