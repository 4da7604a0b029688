"""How the extension is hooked in, on a ServerApp that is configured but does not listen."""

import inspect
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_server.gateway import gateway_client
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayMappingKernelManager
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop

import elastic_jupyter.notebook as extension
from elastic_jupyter.notebook.connection import ElasticGatewayConnection
from elastic_jupyter.notebook.extension import REPLACED, _begin
from elastic_jupyter.notebook.kernels import (
    ElasticGatewayKernelManager,
    ElasticMappingKernelManager,
)
from elastic_jupyter.notebook.sessions import ElasticSessionManager


@pytest.fixture
def unlinked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave Jupyter Server as it was."""
    for module, name, _ in REPLACED:
        monkeypatch.setattr(module, name, getattr(module, name))
    yield
    GatewayClient.clear_instance()


def linked(url: str | None, **traits: object) -> ServerApp:
    """Return a server at the time when its managers are about to be made."""
    app = ServerApp(**traits)
    extension._link_jupyter_server_extension(app)
    app.gateway_config = GatewayClient.instance()
    app.gateway_config.url = url
    return app


@pytest.mark.usefixtures("unlinked")
def test_behind_a_gateway_the_stock_classes_are_replaced() -> None:
    app = linked("http://gateway:8888")
    assert app.kernel_manager_class is ElasticMappingKernelManager
    assert app.session_manager_class is ElasticSessionManager
    assert app.kernel_websocket_connection_class is ElasticGatewayConnection
    manager = ElasticMappingKernelManager(parent=app)
    assert isinstance(manager.kernel_manager_factory(parent=manager), ElasticGatewayKernelManager)


@pytest.mark.usefixtures("unlinked")
def test_without_a_gateway_nothing_is_touched() -> None:
    app = linked(None)
    assert app.kernel_manager_class is AsyncMappingKernelManager
    assert app.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection
    extension._load_jupyter_server_extension(app)


@pytest.mark.usefixtures("unlinked")
def test_a_class_of_the_administrator_stays() -> None:
    class Theirs(GatewayMappingKernelManager):
        pass

    app = linked("http://gateway:8888", kernel_manager_class=Theirs)
    assert app.kernel_manager_class is Theirs
    app.kernel_manager = Theirs(parent=app)
    extension._load_jupyter_server_extension(app)


@pytest.mark.usefixtures("unlinked")
def test_an_adoption_that_ends_in_an_unexpected_way_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> None:
        raise RuntimeError("of all things")

    app = linked("http://gateway:8888", log=logging.getLogger(__name__))
    app.io_loop = IOLoop(make_current=False)
    _begin(broken(), app)
    app.io_loop.close()
    (record,) = caplog.records
    assert (record.levelname, "of all things" in caplog.text) == ("ERROR", True)


def test_the_data_file_enables_the_extension_by_the_name_it_has() -> None:
    (point,) = extension._jupyter_server_extension_points()
    folder = Path(extension.__file__).parent / "jupyter-config"
    text = (folder / "elastic_jupyter_notebook.json").read_text()
    assert f'"{point["module"]}": true' in text


@pytest.mark.parametrize(
    ("trait", "name"),
    [
        ("_default_kernel_manager_class", "managers.GatewayMappingKernelManager"),
        ("_default_session_manager_class", "managers.GatewaySessionManager"),
        (
            "_default_kernel_websocket_connection_class",
            "connections.GatewayWebSocketConnection",
        ),
    ],
)
def test_upstream_still_names_its_classes_by_a_string(trait: str, name: str) -> None:
    source = inspect.getsource(inspect.getattr_static(ServerApp, trait).func)
    assert f'"jupyter_server.gateway.{name}"' in source


def test_upstream_looks_its_http_client_up_at_each_call() -> None:
    assert "RetryableHTTPClient()" in inspect.getsource(gateway_client.gateway_request)
