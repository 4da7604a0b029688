from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.support.clock import StoppedClock
from tests.support.virtual_time import loop_factories
from tests.unit.operator.world import World, a_world


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    return loop_factories()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as world:
        yield world
