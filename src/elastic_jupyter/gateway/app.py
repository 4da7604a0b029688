"""The gateway process: ``jupyter_server.ServerApp`` with our kernels, specs and identity."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from jupyter_server.extension.manager import ExtensionManager
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.manager import AsyncContentsManager
from tornado.netutil import bind_sockets
from traitlets.config import Config

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.gateway import snapshots
from elastic_jupyter.gateway.config import GatewayConfig
from elastic_jupyter.gateway.connection import ElasticConnection
from elastic_jupyter.gateway.identity import OwnKernelsOnly, TokenIdentityProvider
from elastic_jupyter.gateway.kernels import ElasticMappingKernelManager
from elastic_jupyter.gateway.kernelspecs import CatalogKernelSpecManager
from elastic_jupyter.gateway.retry import insist
from elastic_jupyter.gateway.transfers import Transfers
from elastic_jupyter.policy.keys import snapshot_key
from elastic_jupyter.store.snapshots import SnapshotStore
from elastic_jupyter.store.stores import Stores, connect

#: Bytes of a request's body. A pod's whole definition has no more.
MAX_BODY = 2**20
#: How long a gateway that was told to end waits for its successor, s; less than the pod's grace.
HANDOVER_PATIENCE = 50.0


def stores_of(settings: GatewayConfig) -> Stores:
    """Return the stores that the settings name."""
    return connect(settings.store, namespace=settings.namespace, gateway=settings.name)


def transfers_of(settings: GatewayConfig) -> Transfers | None:
    """Return how kernels save their variables; None: they do not."""
    if settings.snapshots is None:
        return None
    key = snapshot_key(settings.master_key)
    store = SnapshotStore(settings.snapshots, key=key, max_bytes=settings.max_snapshot)
    return Transfers(store)


class NoContents(AsyncContentsManager):
    """A gateway has no files."""

    files_handler_class = None

    def get_kernel_path(self, path: str, model: Any = None) -> str:
        """Return no folder: the notebook server's files are not here."""
        return ""

    def get_extra_handlers(self) -> list[Any]:
        """Return no routes."""
        return []


class GatewayApp(ServerApp):
    """Upstream's server (2.21) without files, sessions, terminals and extensions.

    Sessions are the notebook server's; upstream's would show every notebook's kernels to each.
    """

    name = "elastic-jupyter-gateway"
    # "api" would count every notebook's kernels for each, and no gateway client asks for it.
    default_services = ()  # type: ignore[assignment]  # upstream's type is of 13 names
    no_browser_open_file = True
    settings_of_pod: GatewayConfig
    connect: Callable[[GatewayConfig], Stores] = staticmethod(stores_of)

    @property
    def kernels(self) -> ElasticMappingKernelManager:
        """The manager of all kernels."""
        return cast("ElasticMappingKernelManager", self.kernel_manager)

    def _find_http_port(self) -> None:
        """Look for none: whoever set the port may have reserved it, and a probe would find that."""

    def _bind_http_server_tcp(self) -> bool:
        """Listen, on a port that the same user may have reserved, too (jupyter_server 2.21)."""
        sockets = bind_sockets(self.port, self.ip, reuse_port=True)
        self.port = sockets[0].getsockname()[1]
        self.http_server.add_sockets(sockets)
        return True

    def find_server_extensions(self) -> None:
        """Find none."""
        self.jpserver_extensions.clear()

    def init_server_extensions(self) -> None:
        """Load none."""
        self.jpserver_extensions.clear()
        self.extension_manager = ExtensionManager(log=self.log, serverapp=self)

    def init_configurables(self) -> None:
        """Connect the managers that upstream made to the stores."""
        super().init_configurables()
        settings = self.settings_of_pod
        identity_provider = cast("TokenIdentityProvider", self.identity_provider)
        self.stores = self.connect(settings)
        identity_provider.master_key = settings.master_key
        identity_provider.notebooks = self.stores.notebooks
        self.kernels.specs.bind(
            self.stores.catalog,
            default_image=settings.kernel_image,
            listed=settings.kernels,
            wanted_default=settings.default_kernel,
        )
        self.kernels.bind(
            settings,
            store=self.stores.kernels,
            tombstones=self.stores.tombstones,
            notebooks=self.stores.notebooks,
            transfers=transfers_of(settings),
        )

    def init_webapp(self) -> None:
        """Let the agents' requests find what is saved and restored."""
        super().init_webapp()
        self.web_app.settings[snapshots.SETTING] = self.kernels.transfers

    async def _post_start(self) -> None:
        """Start what lives as long as the process; called by upstream in the running loop."""
        self._tasks = [
            self._guard(self.stores.catalog.run()),
            self._guard(self.stores.notebooks.run()),
            self._guard(self._serve_kernels()),
            self._guard(self.kernels.cull_for_ever()),
            self._guard(self.kernels.unserved.end_for_ever()),
        ]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._begin_handover)

    def _guard(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a task that must not end; its end is an error that ends the process."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            self.log.critical("a task that must not end has ended: %r", task.exception())
            os._exit(1)

    async def _serve_kernels(self) -> None:
        await self.stores.catalog.synced.wait()
        await self.stores.notebooks.synced.wait()
        watch = self._guard(self.kernels.run())
        await self.kernels.recovered.wait()
        take = partial(self.stores.lease.take, self.settings_of_pod.identity)
        await insist(take, what="taking the handover lease", log=self.log)
        await watch

    # -- the orderly end

    def _begin_handover(self) -> None:
        self.kernels.begin_handover()
        self._handover = asyncio.get_running_loop().create_task(self._hand_over())

    async def _hand_over(self) -> None:
        """Serve on until the next gateway listens to all kernels, then send the clients there."""
        self.log.info("told to end; the next gateway is waited for")
        if self.kernels.any_running():
            taken = asyncio.ensure_future(
                self.stores.lease.wait_taken_by_other(self.settings_of_pod.identity)
            )
            alone = asyncio.ensure_future(self.kernels.until_none_runs())
            await asyncio.wait(
                (taken, alone),
                timeout=HANDOVER_PATIENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )
        for manager in list(self.kernels.kernels.values()):
            for connection in list(manager.connections):
                connection.close_for_restart()
        self.stop()

    async def cleanup_kernels(self) -> None:
        """Leave the kernels alone; upstream would stop them all."""


def main() -> None:
    """Run the gateway; exit status 2 when the environment is not complete."""
    try:
        settings = GatewayConfig.from_environment()
    except ConfigError as error:
        print(f"elastic-jupyter-gateway: {error}", file=sys.stderr)
        sys.exit(2)
    GatewayApp.settings_of_pod = settings
    GatewayApp.launch_instance(argv=[], config=Config(server_config(settings)))


def server_config(settings: GatewayConfig) -> dict[str, dict[str, Any]]:
    """Return the traits that make a ServerApp a gateway."""
    return {
        "ServerApp": {
            "ip": settings.host,
            "port": settings.port,
            "port_retries": 0,
            "allow_root": True,  # it runs no code of users
            "open_browser": False,
            "log_level": logging.getLevelNamesMapping()[settings.log_level],
            "terminals_enabled": False,
            "max_body_size": MAX_BODY,
            "contents_manager_class": NoContents,
            "kernel_manager_class": ElasticMappingKernelManager,
            "kernel_spec_manager_class": CatalogKernelSpecManager,
            "kernel_websocket_connection_class": ElasticConnection,
            "identity_provider_class": TokenIdentityProvider,
            "authorizer_class": OwnKernelsOnly,
            "extra_services": [
                "elastic_jupyter.gateway.handlers",
                "elastic_jupyter.gateway.snapshots",
            ],
        },
        # Opens nothing: our provider checks signatures. Upstream would make one up and log it.
        "IdentityProvider": {"token": "unused"},
    }
