import asyncio

import pytest

from elastic_jupyter.runtime.backoff import Backoff
from elastic_jupyter.runtime.queue import WorkQueue


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_that_is_added_twice_is_handed_out_once():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_in_work_is_not_handed_out_before_it_is_done():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_delayed_key_comes_at_its_time():
    queue: WorkQueue[str] = WorkQueue()
    started = now()
    queue.add("a", after=300)
    await queue.get()
    assert now() - started == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize("delays", [(60, 5), (5, 60)])
async def test_of_two_delays_the_one_that_ends_first_counts(delays):
    queue: WorkQueue[str] = WorkQueue()
    started = now()
    for delay in delays:
        queue.add("a", after=delay)
    queue.done(await queue.get())
    assert now() - started == pytest.approx(5, abs=0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(120):
            await queue.get()


async def test_a_delay_that_ends_during_the_work_is_not_lost():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a", after=1)
    await asyncio.sleep(2)
    queue.done("a")
    assert await queue.get() == "a"


async def test_the_backoff_doubles_to_its_ceiling_and_starts_again_after_success():
    queue: WorkQueue[str] = WorkQueue(Backoff(base=0.05, ceiling=60))
    delays = []
    for _ in range(14):
        delays.append(queue.add_failed("a"))
        queue.done(await queue.get())
    for attempt, delay in enumerate(delays):
        whole = min(60, 0.05 * 2**attempt)
        assert whole / 2 <= delay <= whole
    queue.forget("a")
    assert queue.add_failed("a") <= 0.05


async def test_a_failing_key_does_not_delay_another():
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(12):
        queue.add_failed("bad")
    started = now()
    queue.add("good")
    assert await queue.get() == "good"
    assert now() - started < 1


async def test_a_waiter_that_is_cancelled_takes_no_wake_up_with_it():
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0.01)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(10):
        assert await second == "a"
    assert first.cancelled()


def test_no_number_of_failures_overflows_the_backoff():
    assert Backoff(base=0.05, ceiling=60).delay(100_000) <= 60
