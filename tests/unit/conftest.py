from collections.abc import AsyncIterator

import pytest_asyncio

from elastic_jupyter.kube.client import Client
from tests.support.fake_apiserver import FakeApiServer


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as server:
        yield server


@pytest_asyncio.fixture
async def client(server: FakeApiServer) -> AsyncIterator[Client]:
    async with Client.from_server(server.url) as client:
        yield client
