"""A gateway on loopback: real GatewayApp, real ipykernel processes, objects in memory.

``LoopbackStore`` plays API server and operator at once. It gives each kernel a new address in
127.0.0.0/8 and the project's fixed ports, as pods have them.
"""

import asyncio
import contextlib
import copy
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from traitlets.config import Config

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import Fallback, JupyterKernel, ReclaimPolicy, Snapshot
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.errors import AlreadyExists, Invalid, NotFound, StoreError, Unavailable
from elastic_jupyter.gateway import app
from elastic_jupyter.gateway.config import GatewayConfig
from elastic_jupyter.policy import kernel_status, tokens
from elastic_jupyter.policy.keys import connection_key
from elastic_jupyter.policy.lifecycle import Action, Sight
from elastic_jupyter.store.protocol import Change, Gone, Key, Put, Synced
from elastic_jupyter.store.sqlite.merge import merge
from elastic_jupyter.store.stores import Stores
from elastic_jupyter.store.wishes import snapshot_patch

MASTER = b"loopback master key, 32 bytes ok"
ANN = tokens.NotebookIdentity("team", "ann-notebook", "uid-ann", "ann")
BOB = tokens.NotebookIdentity("team", "bob-notebook", "uid-bob", "bob")


#: One count for all worlds of a process, so that no kernel gets the address of another.
_NUMBERS = itertools.count(1)


class LoopbackStore:
    """JupyterKernels in memory; each gets a process unless ``hold`` keeps it waiting."""

    def __init__(self, directory: Path) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.hold = False
        self.refusal: Exception | None = None
        self.failing_deletes = 0
        self.deletes_fail_with: type[StoreError] = Unavailable
        self.failing_annotates = 0
        self.failing_saves = 0
        self.lost_answers = 0
        # Cleared: no create and no annotate is answered until it is set again.
        self.answering = asyncio.Event()
        self.answering.set()
        # Cleared: no snapshot is named until it is set again.
        self.naming = asyncio.Event()
        self.naming.set()
        self.to_name = 0
        self._directory = directory
        self._versions = itertools.count(1)
        self._watchers: set[asyncio.Queue[Change]] = set()

    async def get(self, key: Key) -> JupyterKernel:
        if key not in self.objects:
            raise NotFound(f"{key} not found")
        return JupyterKernel.model_validate(self.objects[key])

    async def list(self, namespace: str) -> list[JupyterKernel]:
        return [JupyterKernel.model_validate(body) for body in self.objects.values()]

    async def watch(self, namespace: str | None, *, gateway: str | None) -> AsyncIterator[Change]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        for body in self.objects.values():
            queue.put_nowait(Put(JupyterKernel.model_validate(body)))
        queue.put_nowait(Synced())
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def _tell(self, change: Change) -> None:
        for queue in self._watchers:
            queue.put_nowait(change)

    async def create(self, kernel: JupyterKernel) -> JupyterKernel:
        await self.answering.wait()
        if self.refusal:
            raise self.refusal
        body = kernel.to_dict()
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        if key in self.objects:
            raise AlreadyExists(f"{key} exists")
        number = next(_NUMBERS)
        body["metadata"]["uid"] = f"uid-{number}"
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        last = int(body["metadata"]["annotations"][names.ANNOTATION_LAST_EPOCH])
        asleep = body["spec"].get("suspend")
        body["status"] = {"phase": "Dormant"} if asleep else {"phase": "Pending", "epoch": last + 1}
        self.objects[key] = body
        self._tell(Put(JupyterKernel.model_validate(body)))
        if not self.hold and not asleep:
            self.run(key)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unavailable("no answer")
        return JupyterKernel.model_validate(body)

    def put(self, body: dict[str, Any]) -> None:
        """Have somebody write an object by hand."""
        self.objects[Key(body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self._tell(Put(JupyterKernel.model_validate(body)))

    def run(self, key: Key, *, told: bool = True) -> str:
        """Start the kernel's process, as the operator would make its pod; return its address.

        ``told``: the status has the address at once.
        """
        body = self.objects[key]
        uid = body["metadata"]["uid"]
        number = int(uid.removeprefix("uid-"))
        ip = f"127.{os.getpid() % 200 + 20}.{number // 250}.{number % 250 + 1}"
        file = self._directory / f"{uid}.json"
        info = {
            "ip": ip,
            "transport": "tcp",
            "signature_scheme": "hmac-sha256",
            "key": connection_key(MASTER, uid),
            "kernel_name": "",
            **names.PORTS,
        }
        file.write_text(json.dumps(info))
        environment = {**os.environ, "IPYTHONDIR": str(self._directory / uid)}
        self.processes[uid] = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", str(file)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if told:
            self.report(key, phase="Running", podIP=ip)
        return ip

    def report(self, key: Key, **status: Any) -> None:
        """Write facts, as the operator does."""
        body = copy.deepcopy(self.objects[key])
        body["status"].update(status)
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[key] = body
        self._tell(Put(JupyterKernel.model_validate(body)))

    async def delete(self, key: Key, *, uid: str) -> None:
        if self.failing_deletes:
            self.failing_deletes -= 1
            raise self.deletes_fail_with("no answer")
        body = self.objects.get(key)
        if body is None or body["metadata"]["uid"] != uid:
            return
        del self.objects[key]
        self._end(uid)
        self._tell(Gone(key, uid))

    def _end(self, uid: str) -> None:
        process = self.processes.pop(uid, None)
        if process is not None:
            process.kill()
            process.wait()

    async def annotate(self, key: Key, annotations: Mapping[str, str | None], *, uid: str) -> None:
        await self.answering.wait()
        if self.failing_annotates:
            self.failing_annotates -= 1
            raise Unavailable("no answer")
        body = self.objects.get(key)
        if body is None or body["metadata"]["uid"] != uid:
            raise NotFound(f"{key} not found")
        merged = {**body["metadata"]["annotations"], **annotations}
        body["metadata"]["annotations"] = {k: v for k, v in merged.items() if v is not None}
        self.report(key)

    async def wish(
        self,
        key: Key,
        *,
        uid: str,
        suspend: bool | None = None,
        keep_until: datetime | None = None,
    ) -> JupyterKernel:
        body = self.objects.get(key)
        if body is None or body["metadata"]["uid"] != uid:
            raise NotFound(f"{key} not found")
        until = keep_until and keep_until.isoformat()
        given = {"suspend": suspend, "keepUntil": until}
        body["spec"].update({name: value for name, value in given.items() if value is not None})
        self.report(key)
        self._reconcile(key)
        return await self.get(key)

    async def save(
        self,
        key: Key,
        snapshot: Snapshot | None,
        *,
        uid: str,
        epoch: int,
        version: str | None = None,
    ) -> JupyterKernel:
        if self.failing_saves:
            self.failing_saves -= 1
            raise Unavailable("no answer")
        self.to_name += snapshot is not None
        await self.naming.wait()
        kernel = await self.get(key)
        if kernel.metadata.uid != uid:
            raise NotFound(f"{key} not found")
        patch = snapshot_patch(kernel, snapshot, epoch=epoch, version=version)
        self.objects[key] = merge(self.objects[key], {"spec": patch})
        self.report(key)
        self._reconcile(key)
        return await self.get(key)

    def _reconcile(self, key: Key) -> None:
        """Let a kernel that hibernates rest, or run again, as a reconciler does."""
        kernel = JupyterKernel.model_validate(self.objects[key])
        if kernel.spec.reclaim_policy is not ReclaimPolicy.HIBERNATE:
            return
        uid = kernel.metadata.uid or ""
        sight = Sight.RUNNING if uid in self.processes else Sight.NEVER_MADE
        verdict = kernel_status.verdict(kernel, sight)
        if verdict.action is Action.CLEAN_UP:
            self._end(uid)
            ended = datetime.now(UTC).isoformat()
            self.report(key, phase=verdict.phase.value, podIP=None, completionTime=ended)
        elif verdict.action is Action.START:
            epoch = kernel_status.epoch_of(kernel)
            said = {"phase": "Pending", "epoch": epoch, "conditions": [], "completionTime": None}
            self.report(key, **said)
            if not self.hold:
                self.run(key)
        elif sight is Sight.RUNNING:
            self.report(key, phase=verdict.phase.value)

    async def patch_activity(self, key: Key, activity: dict[str, Any], *, uid: str) -> None:
        if key not in self.objects:
            raise NotFound(f"{key} not found")
        known = self.objects[key]["status"].get("activity")
        self.report(key, activity=merge(known, activity))

    async def patch_status(
        self, key: Key, status: dict[str, Any], *, version: str
    ) -> JupyterKernel:
        self.report(key, **status)
        return await self.get(key)

    def close(self) -> None:
        for uid in list(self.processes):
            self._end(uid)


class LoopbackCatalog:
    """Kernel specs that a test puts in."""

    def __init__(self) -> None:
        self.specs: dict[str, JupyterKernelSpec] = {}
        self.templates: dict[str, JupyterKernelTemplate] = {}
        self.synced = asyncio.Event()
        self.synced.set()
        self.on_change = None
        self.folders: dict[str, str] = {}

    def folder(self, name: str) -> str | None:
        return self.folders.get(name)

    async def run(self) -> NoReturn:
        while True:
            await asyncio.Event().wait()


class LoopbackTombstones(dict[str, dict[str, Any]]):
    """Tombstones in memory. Of what begins with ``failing_`` so many more calls fail.

    None that is larger than ``max_bytes`` is written.
    """

    failing_puts = 0
    failing_removes = 0
    failing_loads = 0
    max_bytes = 700 * 1024

    async def load(self) -> dict[str, dict[str, Any]]:
        if self.failing_loads:
            self.failing_loads -= 1
            raise NotFound("secret gw-tombstones not found")
        return copy.deepcopy(dict(self))

    async def put(self, kernel_id: str, tombstone: dict[str, Any]) -> None:
        if self.failing_puts:
            self.failing_puts -= 1
            raise Unavailable("no answer")
        text = json.dumps(tombstone, ensure_ascii=False)
        if len(text.encode()) > self.max_bytes:
            raise Invalid(f"the tombstone of {kernel_id} is larger than {self.max_bytes} bytes")
        self[kernel_id] = json.loads(text)

    async def remove(self, kernel_id: str) -> None:
        if self.failing_removes:
            self.failing_removes -= 1
            raise Unavailable("no answer")
        self.pop(kernel_id, None)


class LoopbackNotebooks:
    """The notebooks that are served: Ann's and Bob's, until a test says otherwise."""

    def __init__(self) -> None:
        self.uids = {ANN.uid, BOB.uid}
        self.on_change: Callable[[], None] | None = None
        self.synced = asyncio.Event()
        self.synced.set()

    def serve(self, *uids: str) -> None:
        """Serve exactly these from now on; only the gateway that began last is told."""
        self.uids = set(uids)
        if self.on_change:
            self.on_change()

    async def run(self) -> NoReturn:
        while True:
            await asyncio.Event().wait()


class LoopbackLease:
    """Who listens to all kernels."""

    def __init__(self) -> None:
        self.holder = ""
        self.failing_takes = 0
        self._changed = asyncio.Condition()

    async def take(self, identity: str) -> None:
        if self.failing_takes:
            self.failing_takes -= 1
            raise Unavailable("no answer")
        async with self._changed:
            self.holder = identity
            self._changed.notify_all()

    async def wait_taken_by_other(self, identity: str) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.holder != identity)


class Loopback:
    """The state that outlives a gateway, and the gateways that use it."""

    def __init__(self, directory: Path) -> None:
        self.store = LoopbackStore(directory)
        self.catalog = LoopbackCatalog()
        self.tombstones = LoopbackTombstones()
        self.lease = LoopbackLease()
        self.notebooks = LoopbackNotebooks()
        self._directory = directory
        self.snapshots = directory / "snapshots"
        self.gateways: list[app.GatewayApp] = []

    async def gateway(
        self,
        *,
        idle: float = 3600,
        interval: float = 0.2,
        launch_timeout: float = 30,
        queue_timeout: float = 0,
        allowed_env: frozenset[str] = frozenset(),
        sleeps: bool = False,
        snapshots: str | None = None,
        max_snapshot: int | None = None,
        lazy: bool = False,
        fallback: Fallback = Fallback.DELETE,
        max_extension: float = 3600,
    ) -> app.GatewayApp:
        """Start one more gateway process' worth of objects; its ``port`` is any free one."""
        settings = GatewayConfig(
            name="gw",
            namespace="team",
            uid="uid-gw",
            identity=f"gw-{len(self.gateways)}",
            kernel_image="kernel:dev",
            master_key=MASTER,
            cull_idle_timeout=timedelta(seconds=idle),
            cull_interval=timedelta(seconds=interval),
            kernels=(),
            default_kernel="python3",
            log_level="WARNING",
            launch_timeout=timedelta(seconds=launch_timeout),
            queue_timeout=timedelta(seconds=queue_timeout),
            allowed_env=allowed_env,
            store="in memory",
            host="127.0.0.1",
            port=0,
            url="",
            policy=ReclaimPolicy.HIBERNATE if sleeps else ReclaimPolicy.DELETE,
            fallback=fallback,
            warning=timedelta(seconds=60),
            max_extension=timedelta(seconds=max_extension),
            snapshots=(snapshots or str(self.snapshots)) if sleeps else None,
            max_snapshot=max_snapshot,
            lazy=lazy,
        )
        stores = Stores(self.store, self.catalog, self.tombstones, self.notebooks, self.lease)
        config = Config(app.server_config(settings))
        gateway = app.GatewayApp(config=config, log=_quiet())
        gateway.settings_of_pod = settings
        gateway.clients = []
        gateway.connect = lambda _: stores
        os.environ["JUPYTER_RUNTIME_DIR"] = str(self._directory)
        gateway.initialize(argv=[], new_httpserver=True, find_extensions=False)
        gateway.http_server.start()
        await gateway._post_start()
        self.gateways.append(gateway)
        await gateway.kernel_manager.recovered.wait()
        reached = replace(settings, url=f"http://127.0.0.1:{gateway.port}")
        gateway.kernel_manager.settings = reached
        return gateway

    async def end(self, gateway: app.GatewayApp) -> None:
        """Let a gateway vanish as if it were killed: nothing is told, nothing cleaned up."""
        self.gateways.remove(gateway)
        gateway.http_server.stop()
        manager = gateway.kernel_manager
        for kernel in list(manager.kernels.values()):
            for connection in list(kernel.connections):
                websocket = connection.websocket_handler.ws_connection
                if websocket is not None:  # else it is closing already
                    websocket.stream.close()
            kernel._leave()
        while alive := _alive(gateway):  # a launch that is cancelled begins to undo itself
            for task in alive:
                task.cancel()
            await asyncio.wait(alive, timeout=1)  # then those, too, that they wait for in the end
        for kernel in list(manager.kernels.values()):
            kernel._close_control_socket()
        for tab in gateway.clients:
            await tab.close()
        await gateway.http_server.close_all_connections()
        manager.context.destroy(linger=0)

    async def close(self) -> None:
        """End everything."""
        for gateway in list(self.gateways):
            await self.end(gateway)
        self.store.close()


def _alive(gateway: app.GatewayApp) -> set[asyncio.Task[Any]]:
    """Return what a gateway still does, also what it tries again until it succeeds."""
    manager = gateway.kernel_manager
    own = [kernel._background for kernel in manager.kernels.values()]
    tasks = {*gateway._tasks, *manager._work}.union(*own)
    return {task for task in tasks if not task.done()}


def _quiet() -> Any:
    import logging

    log = logging.getLogger("loopback-gateway")
    log.setLevel(os.environ.get("LOOPBACK_LOG", "ERROR"))
    return log


@contextlib.asynccontextmanager
async def loopback() -> AsyncIterator[Loopback]:
    """A loopback world, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="ej-loopback-") as directory:
        world = Loopback(Path(directory))
        try:
            yield world
        finally:
            await world.close()


def only_key(world: Loopback) -> Key:
    """Return the key of the one kernel that there is."""
    (key,) = world.store.objects
    return key


def now() -> datetime:
    """Return the present, aware UTC."""
    return datetime.now(UTC)
