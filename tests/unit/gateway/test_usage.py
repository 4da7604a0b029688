"""What the gateway notes of a kernel's GPU time, over reclaims, ends and restarts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel, Phase
from elastic_jupyter.policy import usage
from elastic_jupyter.policy.usage import Usage
from tests.support.front_end import FrontEnd, Tab
from tests.support.loopback import Loopback, now, only_key
from tests.support.objects import until
from tests.unit.gateway.test_gateway import edit
from tests.unit.gateway.test_wishes import release

GPUS = 2
SLACK = timedelta(minutes=2)


async def a_gpu_kernel(world: Loopback, *, sleeps: bool = False) -> tuple[str, Tab]:
    """Start a kernel that seems to have run for an hour."""
    edit(world, "gpu", resources={"limits": {"nvidia.com/gpu": GPUS}})
    front_end = FrontEnd(await world.gateway(interval=3600, sleeps=sleeps))
    kernel_id = await front_end.start("gpu")
    tab = await front_end.open(kernel_id)
    await tab.run("1")
    runs_for(world, timedelta(hours=1))
    return kernel_id, tab


def runs_for(world: Loopback, span: timedelta) -> None:
    since = (now() - span).isoformat()
    running = {"type": "Running", "status": "True", "lastTransitionTime": since}
    world.store.report(only_key(world), conditions=[running])


def noted(world: Loopback) -> Usage:
    [body] = world.store.objects.values()
    return usage.usage_of(JupyterKernel.model_validate(body))


def noted_since(world: Loopback, span: timedelta) -> None:
    """Have what is noted say that the kernel has slept for so long."""
    body = world.store.objects[only_key(world)]
    since = replace(noted(world), asleep_since=now() - span)
    body["metadata"]["annotations"][names.ANNOTATION_GPU_USAGE] = usage.annotation(since)


def hours(count: int) -> timedelta:
    return GPUS * timedelta(hours=count)


def sleeps_for(tombstone: dict[str, Any], span: timedelta) -> None:
    tombstone["usage"]["asleepSince"] = (now() - span).isoformat()


async def test_a_kernel_that_slept_gave_that_time_back(world: Loopback) -> None:
    kernel_id, _ = await a_gpu_kernel(world)
    await release(world)
    await until(lambda: not world.store.objects)
    told = usage.from_json(world.tombstones[kernel_id]["usage"])
    assert GPUS * timedelta(hours=1) <= told.used < GPUS * timedelta(hours=1) + SLACK
    assert told.asleep_since is not None

    await world.end(world.gateways[0])
    sleeps_for(world.tombstones[kernel_id], timedelta(hours=3))
    await (await FrontEnd(await world.gateway()).open(kernel_id)).run("1")
    woken = noted(world)
    assert woken.used == told.used
    assert GPUS * timedelta(hours=3) <= woken.given_back < GPUS * timedelta(hours=3) + SLACK
    assert woken.asleep_since is None


async def test_a_restart_by_its_user_goes_on_counting(world: Loopback) -> None:
    kernel_id, tab = await a_gpu_kernel(world)
    front_end = FrontEnd(world.gateways[0])
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/restart")
    await tab.run("1")
    assert GPUS * timedelta(hours=1) <= noted(world).used < GPUS * timedelta(hours=1) + SLACK
    assert noted(world).given_back < SLACK


@pytest.mark.parametrize("gone", [False, True], ids=["failed", "deleted by somebody"])
async def test_a_kernel_that_ended_by_itself_is_counted_too(world: Loopback, *, gone: bool) -> None:
    kernel_id, tab = await a_gpu_kernel(world)
    key = only_key(world)
    if gone:
        await world.store.delete(key, uid=world.store.objects[key]["metadata"]["uid"])
        await until(lambda: kernel_id in world.tombstones)
        told = usage.from_json(world.tombstones[kernel_id]["usage"])
    else:
        ended = (now() - timedelta(minutes=30)).isoformat()
        world.store.report(key, phase="Failed", completionTime=ended, conditions=[])
        await until(lambda: noted(world).used)
        told = noted(world)
    ran = timedelta(hours=1) if gone else timedelta(minutes=30)
    assert abs(told.used - GPUS * ran) < SLACK
    await tab.run("1")
    assert noted(world).used == told.used


async def test_a_kernel_that_ended_while_no_gateway_listened_is_counted(world: Loopback) -> None:
    await a_gpu_kernel(world)
    await world.end(world.gateways[0])
    began, ended = (now() - timedelta(hours=hours) for hours in (2, 1))
    world.store.report(
        only_key(world),
        phase="Failed",
        runningSince=began.isoformat(),
        completionTime=ended.isoformat(),
        conditions=[],
    )
    await world.gateway(interval=3600)
    await until(lambda: noted(world).used)
    assert abs(noted(world).used - GPUS * timedelta(hours=1)) < SLACK


async def test_a_start_that_fails_is_counted_from_when_its_gpu_was_held(world: Loopback) -> None:
    edit(world, "gpu", resources={"limits": {"nvidia.com/gpu": GPUS}})
    world.store.hold = True
    front_end = FrontEnd(await world.gateway(interval=3600))
    kernel_id = await front_end.start("gpu")
    world.store.report(only_key(world), phase="Running")
    runs_for(world, timedelta(hours=1))
    world.store.report(only_key(world), phase="Failed", conditions=[])
    await until(lambda: not world.store.objects)
    told = usage.from_json(world.tombstones[kernel_id]["usage"])
    assert abs(told.used - GPUS * timedelta(hours=1)) < SLACK


async def test_a_kernel_without_a_gpu_is_noted_nothing_of(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(interval=3600))
    tab = await front_end.open(await front_end.start())
    await tab.run("1")
    runs_for(world, timedelta(hours=1))
    await release(world)
    await until(lambda: not world.store.objects)
    await tab.run("1")
    [body] = world.store.objects.values()
    assert names.ANNOTATION_GPU_USAGE not in body["metadata"]["annotations"]


async def test_a_kernel_that_wakes_holds_its_gpu_again(world: Loopback) -> None:
    kernel_id, _ = await a_gpu_kernel(world, sleeps=True)
    await release(world)
    await until(lambda: noted(world).asleep_since)
    assert abs(noted(world).used - hours(1)) < SLACK
    await world.end(world.gateways[0])
    noted_since(world, timedelta(hours=3))
    await (await FrontEnd(await world.gateway(sleeps=True)).open(kernel_id)).run("1")
    await until(lambda: noted(world).asleep_since is None)
    assert abs(noted(world).given_back - hours(3)) < SLACK
    runs_for(world, timedelta(hours=1))
    await release(world)
    await until(lambda: noted(world).asleep_since)
    assert abs(noted(world).used - hours(2)) < SLACK
    assert abs(noted(world).given_back - hours(3)) < SLACK


async def test_what_no_gateway_noted_of_a_wake_is_counted_by_the_next(world: Loopback) -> None:
    kernel_id, tab = await a_gpu_kernel(world, sleeps=True)
    await release(world)
    await until(lambda: noted(world).asleep_since)
    await tab.run("1")
    await world.end(world.gateways[0])
    noted_since(world, timedelta(hours=3))
    runs_for(world, timedelta(hours=1))
    gateway = await world.gateway(sleeps=True)
    await until(lambda: gateway.kernel_manager.kernels[kernel_id].iopub)
    await release(world)
    await until(lambda: noted(world).used > hours(1) + SLACK)
    assert abs(noted(world).used - hours(2)) < SLACK
    assert abs(noted(world).given_back - hours(2)) < SLACK


async def test_a_sleep_that_another_gateway_sees_is_counted_once(world: Loopback) -> None:
    kernel_id, _ = await a_gpu_kernel(world, sleeps=True)
    second = await world.gateway(interval=3600, sleeps=True)
    manager = second.kernel_manager.kernels[kernel_id]
    await until(lambda: manager.iopub)
    [first] = world.gateways[0].kernel_manager.kernels.values()
    await first.ask(suspend=True)
    await until(lambda: manager.asleep and first.asleep)
    for kernel in (first, manager):
        await kernel._note_usage()
        assert abs(noted(world).used - hours(1)) < SLACK


@pytest.mark.parametrize("made", [False, True], ids=["at once", "when its pod is made"])
@pytest.mark.parametrize("wish", ["interrupt", "release"])
async def test_a_wake_that_is_taken_back_counts_nothing_twice(
    world: Loopback, wish: str, *, made: bool
) -> None:
    kernel_id, tab = await a_gpu_kernel(world, sleeps=True)
    await release(world)
    await until(lambda: noted(world).asleep_since)
    before = noted(world)
    world.store._reconcile = lambda _: None
    cell = await tab.execute("1")
    await until(lambda: not world.store.objects[only_key(world)]["spec"]["suspend"])
    await until(lambda: noted(world).asleep_since is None)
    if made:
        [kernel] = world.gateways[0].kernel_manager.kernels.values()
        new = {"phase": "Pending", "epoch": 2, "conditions": [], "completionTime": None}
        world.store.report(only_key(world), **new)
        await until(lambda: kernel.facts.phase is Phase.PENDING)
    if wish == "interrupt":
        path = f"/api/kernels/{kernel_id}/interrupt"
        await FrontEnd(world.gateways[0]).rest("POST", path)
    else:
        await release(world)
    await tab.until(lambda: cell.done)
    await until(lambda: noted(world).asleep_since)
    assert noted(world).used == before.used
    assert noted(world).asleep_since >= before.asleep_since


async def test_a_sleep_that_its_gateway_did_not_come_to_note_is_noted_by_the_next(
    world: Loopback,
) -> None:
    await a_gpu_kernel(world, sleeps=True)
    [kernel] = world.gateways[0].kernel_manager.kernels.values()
    world.store.failing_annotates = 1_000_000
    await release(world)
    await until(lambda: kernel.asleep)
    await world.end(world.gateways[0])
    assert noted(world) == usage.NOTHING
    world.store.failing_annotates = 0
    await world.gateway(interval=3600, sleeps=True)
    await until(lambda: noted(world).asleep_since)
    assert abs(noted(world).used - hours(1)) < SLACK
