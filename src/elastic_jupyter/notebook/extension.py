"""Where the extension is hooked into Jupyter Server (2.21.1).

Behind a gateway the server makes its managers and websockets of classes that it names by a string
unless an administrator set others. Those names are bound to our classes when the extension is
linked, before any of them is looked up; so without a gateway nothing happens, and what an
administrator set stays. ``gateway_client.RetryableHTTPClient``, which has no trait, is looked up by
``gateway_request`` at each call and bound in the same way.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from jupyter_server.gateway import connections, gateway_client, managers

from elastic_jupyter.notebook.adoption import adopt
from elastic_jupyter.notebook.connection import ElasticGatewayConnection
from elastic_jupyter.notebook.kernels import ElasticMappingKernelManager
from elastic_jupyter.notebook.rest import PatientHTTPClient
from elastic_jupyter.notebook.sessions import ElasticSessionManager

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

#: Module, name, and what it is bound to.
REPLACED = (
    (managers, "GatewayMappingKernelManager", ElasticMappingKernelManager),
    (managers, "GatewaySessionManager", ElasticSessionManager),
    (connections, "GatewayWebSocketConnection", ElasticGatewayConnection),
    (gateway_client, "RetryableHTTPClient", PatientHTTPClient),
)

#: Seconds that the server's start waits for the gateway. It listens after that, and so is Ready: a
#: user has his files though the gateway be gone. For kernels it answers 503 until it is there.
START_PATIENCE = 5.0

_adopting: set[asyncio.Task[None]] = set()


def link() -> None:
    """Bind the names; called by Jupyter Server before it makes its managers."""
    for module, name, ours in REPLACED:
        setattr(module, name, ours)


def load(serverapp: "ServerApp") -> None:
    """Begin to adopt kernels; called when the managers exist, before the server listens."""
    if not serverapp.gateway_config.gateway_enabled:
        serverapp.log.info("elastic_jupyter.notebook: no gateway is set, nothing to do")
        return
    kernels = serverapp.kernel_manager
    if not isinstance(kernels, ElasticMappingKernelManager):
        return  # an administrator's
    sessions = serverapp.session_manager
    if isinstance(sessions, ElasticSessionManager):
        _begin(adopt(kernels, sessions, log=serverapp.log), serverapp)
    else:
        serverapp.log.warning(
            "elastic_jupyter.notebook: ServerApp.session_manager_class is set to %s, so kernels "
            "and sessions are not found again after a restart of this server",
            type(sessions).__name__,
        )
        kernels.serve()


def _begin(work: Coroutine[Any, Any, None], serverapp: "ServerApp") -> None:
    """Adopt before the server listens, where that is quick; a loop that runs already is not held.

    A browser's websocket that comes before would be told that its kernel does not exist.
    """
    loop = serverapp.io_loop.asyncio_loop  # type: ignore[attr-defined]  # of tornado's own class
    task = loop.create_task(work)
    _adopting.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        _adopting.discard(task)
        if not task.cancelled() and (error := task.exception()):
            serverapp.log.error(
                "The adoption of kernels ended; until a restart of this server there are none",
                exc_info=error,
            )

    task.add_done_callback(ended)
    if not loop.is_running():
        loop.run_until_complete(asyncio.wait({task}, timeout=START_PATIENCE))
