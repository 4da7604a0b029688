"""Servers that the tests of the extension share; each is started once."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.unit.notebook.servers import Gateway, Relay, Scripted, Server, Stack, notebook_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Real servers. The gateway keeps nothing for a client that is away."""
    home = tmp_path_factory.mktemp("stack")
    async with Server.run(
        home / "gateway", "--MappingKernelManager.buffer_offline_messages=False"
    ) as gateway:
        relay = Relay(gateway.port)
        await relay.restore()
        async with notebook_server(home / "notebook", relay.port) as notebook:
            yield Stack(gateway, relay, notebook)
        await relay.cut()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scripted_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scripted]:
    """A scripted gateway, with a notebook server of its own."""
    gateway = Gateway()
    gateway.start()
    async with notebook_server(tmp_path_factory.mktemp("scripted"), gateway.port) as notebook:
        yield Scripted(gateway, notebook)
    await gateway.stop()


@pytest.fixture
def scripted(scripted_servers: Scripted) -> Scripted:
    """The scripted gateway with its behaviour as at the start."""
    gateway = scripted_servers.gateway
    gateway.refuse_with = gateway.resumed = gateway.during_handshake = None
    gateway.speaks_v1 = True
    while not gateway.websockets.empty():
        gateway.websockets.get_nowait()
    return scripted_servers
