import asyncio

import pytest

from elastic_jupyter.store.sqlite import SqliteLease


@pytest.fixture
def lease(database):
    return SqliteLease(database, "team", "gw-gateway")


@pytest.fixture
def successor(other):
    return SqliteLease(other, "team", "gw-gateway")


async def test_the_holder_waits_until_another_takes_it(lease, successor, other):
    await lease.take("old")
    waiting = asyncio.create_task(lease.wait_taken_by_other("old"))
    await SqliteLease(other, "team", "unrelated").take("x")
    await lease.take("old")
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    await successor.take("new")
    async with asyncio.timeout(10):
        await waiting


async def test_a_lease_that_another_holds_already_is_seen_at_once(lease, successor):
    await successor.take("new")
    async with asyncio.timeout(10):
        await lease.wait_taken_by_other("old")


async def test_the_last_to_take_it_holds_it(lease, successor):
    await lease.take("old")
    await successor.take("new")
    async with asyncio.timeout(10):
        await lease.wait_taken_by_other("old")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await lease.wait_taken_by_other("new")


async def test_a_lease_that_nobody_holds_is_no_handover(lease):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await lease.wait_taken_by_other("old")
