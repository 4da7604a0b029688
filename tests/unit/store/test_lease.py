import asyncio

import pytest

from elastic_jupyter.kube.kinds import LEASE, Key
from elastic_jupyter.store.kubernetes import KubernetesLease
from tests.support.objects import an_object, until

KEY = Key("team", "gw-gateway")


@pytest.fixture
def lease(client, server):
    server.put(LEASE, an_object(KEY.name))
    return KubernetesLease(client, *KEY)


async def test_the_last_to_take_it_holds_it(lease, server):
    await lease.take("old")
    await lease.take("new")
    assert server.get(LEASE, KEY)["spec"]["holderIdentity"] == "new"


async def test_the_holder_waits_until_another_takes_it(lease, server):
    await lease.take("old")
    waiting = asyncio.create_task(lease.wait_taken_by_other("old"))
    await until(lambda: server.watching == 1)
    server.put(LEASE, an_object("unrelated", spec={"holderIdentity": "x"}))
    await lease.take("old")
    await asyncio.sleep(60)
    assert not waiting.done()
    await lease.take("new")
    async with asyncio.timeout(1):
        await waiting


async def test_a_lease_that_another_holds_already_is_seen_at_once(lease):
    await lease.take("new")
    async with asyncio.timeout(1):
        await lease.wait_taken_by_other("old")


async def test_a_lease_that_nobody_holds_is_no_handover(lease, server):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await lease.wait_taken_by_other("old")


@pytest.mark.parametrize("how", ["end_watches", "drop_watches", "freeze_watches", "expire_watches"])
async def test_a_handover_during_an_outage_is_not_missed(lease, server, how):
    await lease.take("old")
    waiting = asyncio.create_task(lease.wait_taken_by_other("old"))
    await until(lambda: server.watching == 1)
    getattr(server, how)()
    server.fail(503, verb="watch", times=5)
    await lease.take("new")
    async with asyncio.timeout(120):
        await waiting


async def test_no_right_to_list_is_needed(lease, server):
    await lease.take("new")
    await lease.wait_taken_by_other("old")
    assert {seen.verb for seen in server.seen} == {"patch", "watch"}
