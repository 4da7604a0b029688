"""The loop that reconciles: keys in, passes out, some at a time, each with its own backoff."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from elastic_jupyter import logs
from elastic_jupyter.errors import Conflict, ElasticJupyterError
from elastic_jupyter.runtime.backoff import Backoff
from elastic_jupyter.runtime.queue import WorkQueue

#: Keys that are looked at at the same time, unless a controller says otherwise.
WORKERS = 4

K = TypeVar("K", bound=Hashable)
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a pass came to. ``requeue_after``: look again after so many seconds, None: no need."""

    requeue_after: float | None = None


DONE = Result()


@dataclass(slots=True)
class Outcomes:
    """How many passes ended how, since the process started."""

    success: int = 0
    requeue: int = 0
    error: int = 0


class Controller(Generic[K]):
    """Calls ``reconcile`` with each key that was enqueued, never twice at once for one key.

    A pass that raises is repeated after the key's own backoff (0.05 s, doubling to 60 s, jittered):
    one bad object delays no other. Success starts the backoff from the beginning. What is enqueued
    meanwhile is looked at without waiting for it.

    Attributes:
        name: for log lines and metrics.
        outcomes: counters, from 0.
        queue: what waits; its length is a metric.
    """

    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        workers: int = WORKERS,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.outcomes = Outcomes()
        self.queue: WorkQueue[K] = WorkQueue(backoff)
        self._reconcile = reconcile
        self._workers = workers
        self._ids = itertools.count(1)

    def enqueue(self, key: K, after: float = 0.0) -> None:
        """Have the key reconciled, now or after so many seconds. Called from the event loop."""
        self.queue.add(key, after)

    async def run(self) -> NoReturn:
        """Reconcile until cancelled.

        Raises when a worker ends: the caller lets that end the process, since a controller that
        stands still looks healthy from outside.
        """
        tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                if not task.cancelled() and (error := task.exception()):
                    raise error
            raise RuntimeError(f"a worker of the controller {self.name} ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> NoReturn:
        while True:
            key = await self.queue.get()
            try:
                with logs.bind(
                    controller=self.name,
                    object=str(key),
                    reconcile=f"{self.name}-{next(self._ids)}",
                ):
                    await self._pass(key)
            finally:
                self.queue.done(key)

    async def _pass(self, key: K) -> None:
        try:
            result = await self._reconcile(key)
        except Exception as error:
            self._failed(key, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled the worker: something that the pass awaited was. An error like any.
            self._failed(key, error)
        else:
            self.queue.forget(key)
            if result.requeue_after is None:
                self.outcomes.success += 1
                log.debug("reconciled")
            else:
                self.outcomes.requeue += 1
                self.queue.add(key, result.requeue_after)
                log.debug("reconciled", requeue_after=result.requeue_after)

    def _failed(self, key: K, error: BaseException) -> None:
        self.outcomes.error += 1
        delay = round(self.queue.add_failed(key), 3)
        if isinstance(error, Conflict):  # routine: the copy that was decided on was behind
            log.info("reconcile will be repeated", error=error, after=delay)
        elif isinstance(error, ElasticJupyterError) and error.retryable:
            log.warning("reconcile will be repeated", error=error, after=delay)
        elif isinstance(error, ElasticJupyterError):
            log.error("reconcile failed", error=error, after=delay)
        else:
            log.error("reconcile failed unexpectedly", exc=error, after=delay)
