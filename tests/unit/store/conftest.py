from collections.abc import Mapping
from typing import Any

from tests.support.virtual_time import loop_factories


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    return loop_factories()
