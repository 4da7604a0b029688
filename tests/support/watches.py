"""Reading a watch of a store while a test goes on."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from elastic_jupyter.store.protocol import Synced
from tests.support.objects import until

T = TypeVar("T")


@contextlib.asynccontextmanager
async def collected(watch: AsyncGenerator[T, None]) -> AsyncIterator[list[T]]:
    """Read a watch into a list until the block ends, which begins once it is synced."""
    changes: list[T] = []

    async def read() -> None:
        async with contextlib.aclosing(watch):
            async for change in watch:
                changes.append(change)  # noqa: PERF401 - read by the test meanwhile

    task = asyncio.create_task(read())
    try:
        await until(lambda: Synced() in changes)
        yield changes
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
