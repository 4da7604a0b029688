from collections.abc import AsyncIterator

import pytest

from tests.support.loopback import Loopback, loopback


@pytest.fixture
async def world() -> AsyncIterator[Loopback]:
    async with loopback() as world:
        yield world
