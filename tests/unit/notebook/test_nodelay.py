"""Small messages are not delayed (40 ms and more) on either leg."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from jupyter_server.gateway.gateway_client import GatewayClient
from tornado.iostream import IOStream
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect
from traitlets import Any as AnyTrait
from traitlets import Float, Unicode
from traitlets.config import LoggingConfigurable

from elastic_jupyter.notebook.connection import ElasticGatewayConnection
from tests.support.ports import free_port
from tests.unit.notebook.servers import Gateway


class Kernels(LoggingConfigurable):
    """The part of a mapping kernel manager that a connection reads."""

    kernel_info_timeout = Float(60)


class Kernel(LoggingConfigurable):
    """The part of a kernel manager that a connection reads."""

    kernel_id = Unicode("k")
    parent = AnyTrait()


class Browser(WebSocketHandler):
    """What KernelWebsocketHandler does with a connection."""

    connection: ElasticGatewayConnection

    async def open(self) -> None:
        self.connection = ElasticGatewayConnection(
            parent=Kernel(parent=Kernels()), websocket_handler=self
        )
        opened.set_result(self)
        await self.connection.connect()

    def on_close(self) -> None:
        self.connection.disconnect()


opened: "asyncio.Future[Browser]"


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway, and this process as a notebook server behind it."""
    gateway = Gateway()
    gateway.start()
    GatewayClient.instance().url = f"http://127.0.0.1:{gateway.port}"
    yield gateway
    GatewayClient.clear_instance()
    await gateway.stop()


def nodelay(stream: IOStream | Any) -> bool:
    """Whether TCP_NODELAY is set."""
    return bool(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def test_neither_leg_waits_to_fill_a_packet(gateway: Gateway) -> None:
    global opened
    opened = asyncio.get_running_loop().create_future()
    port = free_port()
    server = Application([("/", Browser)]).listen(port, "127.0.0.1")
    browser = await websocket_connect(f"ws://127.0.0.1:{port}/")
    handler = await opened
    upstream = await gateway.accepted()
    # A message all the way shows that the connection has taken its websocket over.
    await upstream.state("idle", to={"header": {}})
    assert await browser.read_message() is not None
    ws = handler.connection.ws
    assert ws is not None
    assert ws.protocol is not None
    assert handler.ws_connection is not None
    seen = nodelay(ws.protocol.stream), nodelay(handler.ws_connection.stream)
    browser.close()
    async with asyncio.timeout(10):
        await upstream.closed.wait()
    server.stop()
    assert seen == (True, True)
