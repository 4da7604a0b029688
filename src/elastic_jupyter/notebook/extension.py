"""Where the extension is hooked into Jupyter Server (2.21.1).

Extensions are loaded when the managers and the web application exist and before the server listens,
and only then is the gateway's configuration final. So everything is set in that step:

- the websocket: handlers read ``kernel_websocket_connection_class`` from the web application's
  settings at each handshake; the trait of ``ServerApp`` was read before.
- kernels: ``kernel_manager_class`` of the mapping kernel manager is observed.
- REST: ``gateway_client.RetryableHTTPClient`` is looked up by ``gateway_request`` at each call; it
  has no trait, so the module's name is bound anew.
"""

from typing import TYPE_CHECKING

from jupyter_server.gateway import gateway_client
from jupyter_server.gateway.connections import GatewayWebSocketConnection
from jupyter_server.gateway.managers import GatewayMappingKernelManager

from elastic_jupyter.notebook.connection import ElasticGatewayConnection
from elastic_jupyter.notebook.rest import PatientHTTPClient

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

STOCK_KERNEL_MANAGER = "jupyter_server.gateway.managers.GatewayKernelManager"
OUR_KERNEL_MANAGER = "elastic_jupyter.notebook.kernels.ElasticGatewayKernelManager"
CONNECTION_SETTING = "kernel_websocket_connection_class"


def load(serverapp: "ServerApp") -> None:
    """Hook into ``serverapp`` if it is behind a gateway; what an administrator set stays."""
    if not serverapp.gateway_config.gateway_enabled:
        serverapp.log.info("elastic_jupyter.notebook: no gateway is set, nothing to do")
        return
    gateway_client.RetryableHTTPClient = PatientHTTPClient  # type: ignore[misc]
    _replace_connection(serverapp)
    _replace_kernel_manager(serverapp)


def _replace_connection(serverapp: "ServerApp") -> None:
    assert serverapp.web_app is not None
    settings = serverapp.web_app.settings
    if settings[CONNECTION_SETTING] is not GatewayWebSocketConnection:
        serverapp.log.warning(
            "elastic_jupyter.notebook: ServerApp.%s is set to %s, which is used instead of ours",
            CONNECTION_SETTING,
            settings[CONNECTION_SETTING],
        )
        return
    settings[CONNECTION_SETTING] = ElasticGatewayConnection


def _replace_kernel_manager(serverapp: "ServerApp") -> None:
    manager = serverapp.kernel_manager
    if (
        isinstance(manager, GatewayMappingKernelManager)
        and manager.kernel_manager_class == STOCK_KERNEL_MANAGER
    ):
        manager.kernel_manager_class = OUR_KERNEL_MANAGER
