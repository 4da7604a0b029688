"""Calls of the store that must succeed some day: tried again until they do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from logging import LoggerAdapter
from typing import Any, TypeVar

from elastic_jupyter.errors import StoreError
from elastic_jupyter.runtime.backoff import Backoff

T = TypeVar("T")

BACKOFF = Backoff(base=0.5, ceiling=30.0)


async def insist(
    call: Callable[[], Awaitable[T]],
    *,
    what: str,
    log: "logging.Logger | LoggerAdapter[Any]",
    passing: type[StoreError] = StoreError,
) -> T:
    """Return what ``call`` returns, after as many attempts as it takes.

    Whatever the store says counts as passing, a refusal, too: rights are given back, and a Secret
    that is gone is made again. Where only ``passing`` does, the rest is raised. ``what`` names the
    attempt in the log.
    """
    attempt = 0
    while True:
        try:
            return await call()
        except passing as error:
            log.warning("%s failed and will be tried again: %s", what, error)
        await asyncio.sleep(BACKOFF.delay(attempt))
        attempt += 1
