"""How the extension is hooked in, on a ServerApp that is configured but does not listen."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.gateway import gateway_client
from jupyter_server.gateway.connections import GatewayWebSocketConnection
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager, GatewayMappingKernelManager
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from tornado.web import Application

import elastic_jupyter.notebook as extension
from elastic_jupyter.notebook.connection import ElasticGatewayConnection
from elastic_jupyter.notebook.kernels import ElasticGatewayKernelManager
from elastic_jupyter.notebook.rest import PatientHTTPClient

SETTING = "kernel_websocket_connection_class"


class Server:
    """The parts of ``ServerApp`` at the time when extensions are loaded."""

    def __init__(self, url: str | None, connection: type) -> None:
        self.app = ServerApp(kernel_websocket_connection_class=connection)
        self.app.gateway_config = GatewayClient.instance()
        self.app.gateway_config.url = url
        settings: dict[str, Any] = {SETTING: connection}
        self.app.web_app = Application(**settings)  # type: ignore[assignment]
        if url:
            self.app.kernel_manager = GatewayMappingKernelManager(parent=self.app)

    @property
    def connection(self) -> Any:
        """The class that the next websocket gets."""
        assert self.app.web_app is not None
        return self.app.web_app.settings[SETTING]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Make a server, without a trace at the end."""
    monkeypatch.setattr(gateway_client, "RetryableHTTPClient", gateway_client.RetryableHTTPClient)

    def make(url: str | None, connection: type = GatewayWebSocketConnection) -> Server:
        return Server(url, connection)

    yield make
    GatewayClient.clear_instance()


def test_behind_a_gateway_the_stock_classes_are_replaced(
    server: Callable[..., Server],
) -> None:
    behind = server("http://gateway:8888")
    extension._load_jupyter_server_extension(behind.app)
    assert behind.connection is ElasticGatewayConnection
    assert behind.app.kernel_manager.kernel_manager_factory is not GatewayKernelManager
    kernel = behind.app.kernel_manager.kernel_manager_factory(parent=behind.app.kernel_manager)
    assert isinstance(kernel, ElasticGatewayKernelManager)
    assert gateway_client.RetryableHTTPClient is PatientHTTPClient


def test_without_a_gateway_nothing_is_touched(server: Callable[..., Server]) -> None:
    alone = server(None, ZMQChannelsWebsocketConnection)
    stock = gateway_client.RetryableHTTPClient
    extension._load_jupyter_server_extension(alone.app)
    assert alone.connection is ZMQChannelsWebsocketConnection
    assert gateway_client.RetryableHTTPClient is stock


def test_a_connection_class_of_the_administrator_stays(server: Callable[..., Server]) -> None:
    class Theirs(GatewayWebSocketConnection):
        pass

    behind = server("http://gateway:8888", Theirs)
    extension._load_jupyter_server_extension(behind.app)
    assert behind.connection is Theirs


def test_the_data_file_enables_the_extension_by_the_name_it_has() -> None:
    (point,) = extension._jupyter_server_extension_points()
    folder = Path(extension.__file__).parent / "jupyter-config"
    text = (folder / "elastic_jupyter_notebook.json").read_text()
    assert f'"{point["module"]}": true' in text


def test_upstream_reads_the_setting_at_each_handshake() -> None:
    read = vars(KernelWebsocketHandler)[SETTING].fget
    assert f'self.settings.get("{SETTING}")' in inspect.getsource(read)
