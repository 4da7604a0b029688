"""What a person wishes of a kernel: to give its resources back now, or to be kept."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.store.protocol import Key
from tests.support.front_end import FrontEnd
from tests.support.loopback import Loopback, now, only_key
from tests.unit.gateway.test_gateway import reclaim_at_of, until


async def release(world: Loopback, key: Key | None = None) -> None:
    key = key or only_key(world)
    await world.store.wish(key, uid=world.store.objects[key]["metadata"]["uid"], suspend=True)


async def keep(world: Loopback, hours: float) -> None:
    key = only_key(world)
    uid = world.store.objects[key]["metadata"]["uid"]
    await world.store.wish(key, uid=uid, keep_until=now() + timedelta(hours=hours))


@pytest.mark.parametrize("gateway_restarts", [False, True], ids=["", "after a gateway restart"])
async def test_a_released_kernel_goes_at_once_and_the_next_cell_says_so(
    world: Loopback, *, gateway_restarts: bool
) -> None:
    first = await world.gateway(interval=3600)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    await release(world)
    await until(lambda: not world.store.objects)
    if gateway_restarts:
        await world.end(first)
        tab = await FrontEnd(await world.gateway(interval=3600)).open(kernel_id)
    cell = await tab.run("print('x' in dir())")
    assert cell.text() == "False\n"
    assert "released by request" in cell.text("stderr")
    [body] = world.store.objects.values()
    assert "suspend" not in body["spec"], "the wish was for the kernel before"


async def test_a_release_waits_for_all_cells_that_were_sent(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(interval=3600))
    tab = await front_end.open(await front_end.start())
    long = await tab.execute("import time\nprint('on', flush=True)\ntime.sleep(1)\nprint('end')")
    behind = await tab.execute("print('behind')")
    await tab.until(lambda: long.text() == "on\n")
    await release(world)
    await tab.until(lambda: long.done and behind.done)
    assert (long.text(), behind.text()) == ("on\nend\n", "behind\n")
    await until(lambda: not world.store.objects)


async def test_a_release_waits_for_a_cell_whose_tab_is_closed(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(interval=3600))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute("import time\nprint('on', flush=True)\ntime.sleep(1)\nprint('end')")
    await tab.until(lambda: cell.text() == "on\n")
    await tab.close()
    await release(world)
    await until(lambda: not world.store.objects)
    back = await front_end.open(kernel_id, query=f"&last_msg_id={tab.last_iopub}")
    back.adopt(cell)
    await back.until(lambda: cell.done)
    assert cell.text() == "on\nend\n"


@pytest.mark.parametrize("phase", ["Queued", "Pending"])
async def test_a_kernel_that_waits_gives_its_place_up_and_its_cell_says_so(
    world: Loopback, phase: str
) -> None:
    front_end = FrontEnd(await world.gateway(interval=3600))
    world.store.hold = True
    tab = await front_end.open(await front_end.start())
    cell = await tab.execute("1")
    await tab.until(lambda: len(cell.waiting) == 1)
    world.store.report(only_key(world), phase=phase, queue={"position": 1, "length": 1})
    await release(world)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert cell.reply["content"]["ename"] == "KernelReleased"
    assert "before it ran" in cell.reply["content"]["evalue"]
    await until(lambda: not world.store.objects)

    world.store.hold = False
    assert (await tab.run("print('later')")).text() == "later\n"


async def test_a_release_that_nobody_heeded_yet_is_by_the_next_gateway(world: Loopback) -> None:
    first = await world.gateway(interval=3600)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    await (await front_end.open(kernel_id)).run("1")
    await world.end(first)
    await release(world)
    await world.gateway(interval=3600)
    await until(lambda: not world.store.objects)
    assert world.tombstones[kernel_id]["reason"] == "it was released by request"


async def test_a_release_of_the_kernel_before_a_restart_is_none_of_the_new_one(
    world: Loopback,
) -> None:
    gateway = await world.gateway(interval=3600)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    await (await front_end.open(kernel_id)).run("1")
    world.store.answering.clear()
    restart = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: not world.store.objects)
    kernel = gateway.kernels.kernels[kernel_id]
    assert kernel.facts is not None
    kernel.facts = replace(kernel.facts, suspend=True)
    await kernel._heed()
    world.store.answering.set()
    assert (await restart).code == 200


async def test_a_release_that_comes_as_its_kernel_is_restarted_is_none_of_the_new_one(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway(interval=3600)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("1")
    written, put = asyncio.Event(), world.tombstones.put

    async def put_slowly(kernel_id: str, tombstone: dict[str, Any]) -> None:
        await written.wait()
        await put(kernel_id, tombstone)

    monkeypatch.setattr(world.tombstones, "put", put_slowly)
    kernel = gateway.kernels.kernels[kernel_id]
    restart = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: kernel.state is KernelState.STARTING)
    await release(world)
    await until(lambda: kernel.facts is not None and kernel.facts.suspend)
    written.set()
    assert (await restart).code == 200
    cell = await tab.run("print('new')")
    assert (cell.text(), cell.text("stderr")) == ("new\n", "")


async def test_a_kernel_that_is_to_be_kept_is_not_reclaimed(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.5))
    world.store.hold = True
    tab = await front_end.open(await front_end.start())
    await keep(world, 2)
    world.store.run(only_key(world))
    await tab.run("x = 1")
    await until(lambda: is_told_to_stay(world))
    await release(world)
    await until(lambda: not world.store.objects)


async def test_how_long_a_kernel_is_kept_is_told_at_once(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=60, interval=3600))
    tab = await front_end.open(await front_end.start())
    await tab.run("1")
    await keep(world, 2)
    await until(lambda: is_told_to_stay(world))


async def test_a_restart_by_its_user_keeps_the_kernel_as_long(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=60, interval=3600))
    kernel_id = await front_end.start()
    await (await front_end.open(kernel_id)).run("1")
    await keep(world, 2)
    await until(lambda: is_told_to_stay(world))
    kept = (await world.store.get(only_key(world))).spec.keep_until
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/restart")
    assert (await world.store.get(only_key(world))).spec.keep_until == kept


def is_told_to_stay(world: Loopback) -> bool:
    """Whether the only kernel's object says that it is not reclaimed within the next hour."""
    if "activity" not in world.store.objects[only_key(world)]["status"]:
        return False
    at = reclaim_at_of(world)
    return at is not None and at > now() + timedelta(hours=1)
