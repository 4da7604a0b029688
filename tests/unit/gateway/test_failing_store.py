"""What a gateway does while the API server refuses or does not answer. Most kernels never start."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from elastic_jupyter.errors import Forbidden, StoreError, Unavailable
from elastic_jupyter.gateway import provisioner
from tests.support.front_end import FrontEnd
from tests.support.loopback import Loopback, loopback
from tests.support.objects import until


@pytest.fixture
async def world() -> AsyncIterator[Loopback]:
    async with loopback() as world:
        world.store.hold = True
        yield world


@pytest.fixture(params=[Unavailable, Forbidden])
def failure(request: pytest.FixtureRequest, world: Loopback) -> type[StoreError]:
    """How deletes fail: no answer, or a refusal, as while the gateway's rights are made again."""
    world.store.deletes_fail_with = request.param
    return world.store.deletes_fail_with


@pytest.mark.usefixtures("failure")
async def test_a_kernel_that_is_shut_down_goes_though_its_delete_fails(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    world.store.failing_deletes = 2
    assert (await front_end.rest("DELETE", f"/api/kernels/{kernel_id}")).code == 204
    assert world.store.objects, "the delete failed"
    await until(lambda: not world.store.objects)


@pytest.mark.usefixtures("failure")
@pytest.mark.parametrize("end", ["interrupt", "shutdown"])
async def test_a_launch_that_is_cancelled_leaves_no_object(world: Loopback, end: str) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    world.store.answering.clear()
    start = asyncio.create_task(front_end.rest("POST", "/api/kernels"))
    await until(lambda: gateway.kernels.kernels)
    (kernel_id,) = gateway.kernels.kernels
    if end == "interrupt":
        await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    else:
        await front_end.rest("DELETE", f"/api/kernels/{kernel_id}")
    world.store.failing_deletes = 2
    world.store.answering.set()
    assert (await start).code == 503
    await until(lambda: not world.store.failing_deletes and not world.store.objects)
    assert await front_end.kernels() == []
    assert not world.tombstones


async def test_a_create_whose_answer_is_lost_leaves_no_object_either(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    world.store.answering.clear()
    monkeypatch.setattr(provisioner, "CREATE_PATIENCE", 0)
    restart = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: not world.store.objects)
    await front_end.rest("DELETE", f"/api/kernels/{kernel_id}")
    world.store.lost_answers = 1
    world.store.answering.set()
    assert (await restart).code == 503
    await until(lambda: not world.store.lost_answers and not world.store.objects)


async def test_a_restart_after_an_interrupt_keeps_its_kernel(world: Loopback) -> None:
    """The cancelled create and the next one are of the same name."""
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    world.store.answering.clear()
    first = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: not world.store.objects)
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    second = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    assert (await first).code == 503
    world.store.hold = False
    world.store.answering.set()
    assert (await second).code == 200
    tab = await front_end.open(kernel_id)
    assert (await tab.run("print('here')")).text() == "here\n"
    assert len(world.store.objects) == 1


async def test_a_restart_that_is_interrupted_is_answered(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    world.store.answering.clear()
    restart = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: not world.store.objects)
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    answer = await restart
    assert answer.code == 503
    assert "interrupted" in json.loads(answer.body)["message"]
    world.store.answering.set()
    assert [kernel["id"] for kernel in await front_end.kernels()] == [kernel_id]


async def test_a_gateway_that_cannot_read_its_tombstones_is_unready_until_it_can(
    world: Loopback,
) -> None:
    world.tombstones.failing_loads = 2
    starting = asyncio.create_task(world.gateway())
    await until(lambda: world.gateways)
    front_end = FrontEnd(world.gateways[0])
    assert (await front_end.rest("GET", "/readyz")).code == 503
    await starting
    assert (await front_end.rest("GET", "/readyz")).code == 200
    assert not world.tombstones.failing_loads


async def test_a_gateway_takes_its_lease_when_the_first_attempts_fail(world: Loopback) -> None:
    world.lease.failing_takes = 2
    front_end = FrontEnd(await world.gateway())
    await until(lambda: world.lease.holder == "gw-0")
    assert (await front_end.rest("GET", "/readyz")).code == 200


async def test_a_kernel_that_was_shut_down_is_forgotten_though_that_fails_first(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    assert set(world.tombstones) == {kernel_id}
    world.tombstones.failing_removes = 2
    assert (await front_end.rest("DELETE", f"/api/kernels/{kernel_id}")).code == 204
    assert await front_end.kernels() == []
    await until(lambda: not world.tombstones)
