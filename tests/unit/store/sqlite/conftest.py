import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from elastic_jupyter.store.sqlite import open_database


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    """Real time: a database answers from a thread."""
    return {"real_time": asyncio.SelectorEventLoop}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "objects.db"


@pytest.fixture
def database(path):
    with contextlib.closing(open_database(path)) as database:
        yield database


@pytest.fixture
def other(database):
    """The file as another process sees it."""
    with contextlib.closing(open_database(database.path)) as other:
        yield other


@pytest.fixture
def running():
    """Keep something running until the block ends."""

    @contextlib.asynccontextmanager
    async def run(work):
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return run
