import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from elastic_jupyter import logs
from elastic_jupyter.errors import Conflict, Invalid, Unavailable
from elastic_jupyter.runtime.controller import DONE, Controller, Outcomes, Result


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def running(
    reconcile: Callable[[str], Awaitable[Result]], *, workers: int = 2
) -> AsyncIterator[Controller[str]]:
    controller = Controller("things", reconcile, workers=workers)
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_key_is_never_in_two_passes_at_once():
    inside: defaultdict[str, int] = defaultdict(int)
    passes = 0

    async def reconcile(key: str) -> Result:
        nonlocal passes
        assert inside[key] == 0
        inside[key] += 1
        await asyncio.sleep(1)
        inside[key] -= 1
        passes += 1
        return DONE

    async with running(reconcile, workers=4) as controller:
        for _ in range(20):
            controller.enqueue("a")
            await asyncio.sleep(0.3)
        await asyncio.sleep(5)
    assert 6 <= passes <= 8
    assert controller.outcomes == Outcomes(success=passes)


async def test_what_is_enqueued_during_a_pass_is_looked_at_afterwards():
    seen = []
    world = {"a": 1}

    async def reconcile(key: str) -> Result:
        value = world[key]
        await asyncio.sleep(1)
        seen.append(value)
        return DONE

    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(0.5)
        world["a"] = 2
        controller.enqueue("a")
        await asyncio.sleep(3)
    assert seen == [1, 2]


async def test_a_bad_object_delays_no_other():
    times: defaultdict[str, list[float]] = defaultdict(list)

    async def reconcile(key: str) -> Result:
        times[key].append(now())
        if key == "bad":
            raise ValueError("no")
        return DONE

    async with running(reconcile, workers=1) as controller:
        started = now()
        controller.enqueue("bad")
        for _ in range(10):
            controller.enqueue("good")
            await asyncio.sleep(60)
    assert len(times["good"]) == 10
    pauses = [b - a for a, b in zip(times["bad"], times["bad"][1:], strict=False)]
    assert pauses[0] < 1
    assert 29 <= max(pauses) <= 65
    # Doubling: ten attempts in the first half minute or so, then about one a minute.
    assert 15 <= len([at for at in times["bad"] if at - started < 600]) <= 30
    assert controller.outcomes.error == len(times["bad"])


async def test_success_starts_the_backoff_from_the_beginning():
    times = []
    fail = True

    async def reconcile(key: str) -> Result:
        times.append(now())
        if fail:
            raise Unavailable("down")
        return DONE

    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(600)
        fail = False
        await asyncio.sleep(120)
        fail = True
        times.clear()
        controller.enqueue("a")
        await asyncio.sleep(2)
    assert len(times) >= 2
    assert times[1] - times[0] < 1


async def test_a_result_says_when_to_look_again():
    times = []

    async def reconcile(key: str) -> Result:
        times.append(now())
        return Result(requeue_after=90) if len(times) < 3 else DONE

    async with running(reconcile) as controller:
        controller.enqueue("a", after=10)
        started = now()
        await asyncio.sleep(1000)
    assert [at - started for at in times] == pytest.approx([10, 100, 190], abs=5)
    assert controller.outcomes == Outcomes(success=1, requeue=2)


async def test_a_cancellation_inside_of_a_pass_is_an_error_of_that_pass():
    passes = 0

    async def reconcile(key: str) -> Result:
        nonlocal passes
        passes += 1
        if passes == 1:
            other = asyncio.create_task(asyncio.sleep(10))
            asyncio.get_running_loop().call_later(1, other.cancel)
            await other
        return DONE

    async with running(reconcile, workers=1) as controller:
        controller.enqueue("a")
        await asyncio.sleep(10)
    assert controller.outcomes == Outcomes(success=1, error=1)


async def test_a_worker_that_ends_ends_the_run():
    async def reconcile(key: str) -> Result:
        raise _Fatal

    controller = Controller("things", reconcile, workers=2)
    controller.enqueue("fatal")
    with pytest.raises(_Fatal):
        await controller.run()


class _Fatal(BaseException):
    pass


async def test_cancelling_the_run_ends_the_passes():
    ended = asyncio.Event()

    async def reconcile(key: str) -> Result:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()
        return DONE

    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(1)
    assert ended.is_set()


@pytest.mark.parametrize(
    ("error", "want"),
    [
        pytest.param(Conflict("newer"), "INFO", id="a conflict is routine"),
        pytest.param(Unavailable("down"), "WARNING", id="an outage heals by itself"),
        pytest.param(Invalid("field"), "ERROR", id="an invalid object needs a person"),
        pytest.param(KeyError("x"), "ERROR", id="a defect needs a person"),
    ],
)
async def test_a_failed_pass_is_logged_by_what_it_asks_for(error, want, caplog):
    caplog.set_level(logging.INFO)

    async def reconcile(key: str) -> Result:
        raise error

    async with running(reconcile) as controller:
        controller.enqueue("a")
        await asyncio.sleep(1)
    assert {record.levelname for record in caplog.records} == {want}


async def test_lines_of_a_pass_carry_the_object_and_an_id_of_the_pass(caplog):
    caplog.set_level(logging.DEBUG)
    lines = []
    formatter = logs.TextFormatter()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    handler = Collect()
    logging.getLogger("elastic_jupyter").addHandler(handler)

    async def reconcile(key: str) -> Result:
        return DONE

    async with running(reconcile, workers=1) as controller:
        controller.enqueue("a")
        controller.enqueue("b")
        await asyncio.sleep(1)
    logging.getLogger("elastic_jupyter").removeHandler(handler)
    assert "object=a" in lines[0]
    assert "reconcile=things-1" in lines[0]
    assert "reconcile=things-2" in lines[1]
