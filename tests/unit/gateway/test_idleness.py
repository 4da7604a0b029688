"""What keeps an idle kernel, and what its user is told before it goes. Its process is real."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api.base import ObjectMeta
from elastic_jupyter.api.kernel import Fallback
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.gateway import idleness
from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.store.protocol import Key
from tests.support.front_end import FrontEnd, Tab
from tests.support.loopback import Loopback, only_key
from tests.unit.gateway.test_gateway import until
from tests.unit.gateway.test_hibernation import LOSE_AGENT, NEVER, SOON, asleep, phase, suspend

THREAD = """
import os, threading, time
def work():
    while not os.path.exists({file!r}): time.sleep(0.02)
threading.Thread(target=work, name="worker", daemon=True).start()
"""
TASK = """
import asyncio, os
async def work():
    while not os.path.exists({file!r}): await asyncio.sleep(0.02)
running = asyncio.get_running_loop().create_task(work(), name="worker")
"""
PROCESS = """
import subprocess
child = subprocess.Popen(["sh", "-c", "while ! test -e {file}; do sleep 0.02; done; : worker"])
"""
SPEC = "saves"


def activity(world: Loopback) -> dict[str, Any]:
    return said_of(world, only_key(world)) if world.store.objects else {}


def said_of(world: Loopback, key: Key) -> dict[str, Any]:
    found: dict[str, Any] = world.store.objects[key]["status"].get("activity") or {}
    return found


def offer(world: Loopback, **reclaim: str) -> str:
    """Offer a kernel spec with this reclaim; return its name."""
    world.catalog.specs[SPEC] = JupyterKernelSpec.model_validate(
        {"metadata": ObjectMeta(name=SPEC), "spec": {"reclaim": reclaim}}
    )
    return SPEC


async def a_tab(world: Loopback, name: str = "python3", **how: Any) -> Tab:
    front_end = FrontEnd(await world.gateway(**how))
    return await front_end.open(await front_end.start(name))


@pytest.mark.parametrize(
    ("code", "what"),
    [(THREAD, "thread 'worker'"), (TASK, "task 'worker (work)'"), (PROCESS, "process 'sh (")],
)
async def test_what_a_cell_left_running_keeps_its_kernel(
    world: Loopback, tmp_path: Path, code: str, what: str
) -> None:
    file = tmp_path / "end"
    tab = await a_tab(world, **SOON)
    await tab.run(code.format(file=str(file)))

    def was_kept_at_the_deadline() -> bool:
        said = activity(world)
        if not said.get("leftRunning"):
            return False
        last, at = map(datetime.fromisoformat, (said["lastActivity"], said["reclaimAt"]))
        return at - last > timedelta(seconds=2 * SOON["idle"])

    await until(was_kept_at_the_deadline)
    assert activity(world)["leftRunning"][0].startswith(what)
    assert phase(world) == "Running"
    file.touch()
    await asleep(world)
    assert not activity(world).get("leftRunning"), "nothing was left when it went to sleep"
    assert "Still running" not in (await tab.run("1")).text("stderr")


@pytest.mark.parametrize("sleeps", [True, False])
async def test_a_release_ends_what_runs_and_says_so(
    world: Loopback, tmp_path: Path, *, sleeps: bool
) -> None:
    tab = await a_tab(world, **{**NEVER, "sleeps": sleeps})
    await tab.run(THREAD.format(file=str(tmp_path / "never")))
    await suspend(world)
    await (asleep(world) if sleeps else until(lambda: not world.store.objects))
    told = (await tab.run("1")).text("stderr")
    assert "Still running when it was stopped: thread 'worker'." in told


async def test_a_kernel_is_warned_of_its_reclaim_unless_it_is_used(world: Loopback) -> None:
    # The warning comes half of it before the reclaim, which is long enough for a cell.
    tab = await a_tab(world, idle=6, interval=0.1)
    await tab.run("1")
    await until(lambda: activity(world).get("warnedAt"))
    said = activity(world)
    assert datetime.fromisoformat(said["warnedAt"]) < datetime.fromisoformat(said["reclaimAt"])
    [uid] = [kernel["metadata"]["uid"] for kernel in world.store.objects.values()]
    await tab.run("2")
    await until(lambda: not activity(world).get("warnedAt"))
    assert world.store.objects[only_key(world)]["metadata"]["uid"] == uid
    assert activity(world)["reclaimAt"] > said["reclaimAt"]


async def test_nobody_keeps_a_kernel_for_longer_than_its_gateway_allows(world: Loopback) -> None:
    tab = await a_tab(world, idle=3, interval=0.1, max_extension=3)
    await tab.run("1")
    key = only_key(world)
    uid = world.store.objects[key]["metadata"]["uid"]
    await until(lambda: activity(world).get("keepLimit"))
    limit = datetime.fromisoformat(activity(world)["keepLimit"])
    kernel = await world.store.wish(key, uid=uid, keep_until=datetime.now(UTC) + timedelta(days=1))
    await until(lambda: not world.store.objects)
    assert kernel.metadata.uid == uid
    late = datetime.now(UTC) - limit
    assert timedelta(seconds=-0.1) < late < timedelta(seconds=10)


@pytest.mark.parametrize("fallback", [Fallback.KEEP, Fallback.DELETE])
async def test_a_kernel_that_cannot_be_saved_says_early_what_becomes_of_it(
    world: Loopback, fallback: Fallback
) -> None:
    """Its spec wants it saved, and its gateway has no place for that."""
    spec = offer(world, policy="Hibernate", fallback=fallback.value)
    tab = await a_tab(world, spec, idle=2, interval=0.1)
    await until(lambda: activity(world).get("unsavable"))
    assert "no place" in activity(world)["unsavable"]
    assert activity(world)["whenIdle"] == fallback.value
    told = (await tab.run("x = 1")).text("stderr")
    if fallback is Fallback.DELETE:
        assert "cannot be saved" in told
        await until(lambda: not world.store.objects)
        assert "its variables could not be saved" in (await tab.run("1")).text("stderr")
        return
    assert told == "", "nothing will be lost"
    assert activity(world).get("reclaimAt") is None
    await suspend(world)
    await until(lambda: not world.store.objects)
    told = (await tab.run("1")).text("stderr")
    assert "it was released by request, and its variables could not be saved" in told


ANOTHER_LOCK = """
import asyncio
get_ipython().kernel._main_asyncio_lock = asyncio.Semaphore(1)
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (LOSE_AGENT, "elastic-jupyter-agent is not installed"),
        (ANOTHER_LOCK, "is not one that the agent knows: it lacks the main lock"),
    ],
    ids=["its agent", "what its agent needs of ipykernel"],
)
async def test_one_that_lost_its_agent_is_kept_where_that_is_the_fallback(
    world: Loopback, code: str, why: str
) -> None:
    tab = await a_tab(world, **SOON, fallback=Fallback.KEEP)
    await tab.run(f"{code}x = 1")
    await until(lambda: activity(world).get("whenIdle") == "Keep")
    assert why in activity(world)["unsavable"]
    assert activity(world).get("reclaimAt") is None
    assert not world.store.objects[only_key(world)]["spec"].get("suspend")
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_kernel_spec_wins_over_its_gateway(world: Loopback) -> None:
    spec = offer(world, policy="Delete")
    tab = await a_tab(world, spec, **SOON)
    assert (await tab.run("x = 1")).text("stderr") == ""
    await until(lambda: not world.store.objects)
    assert "its variables are gone" in (await tab.run("1")).text("stderr")


async def test_one_that_is_stuck_is_kept_and_holds_up_no_other(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idleness, "PATIENCE", 1.0)
    front_end = FrontEnd(await world.gateway(**SOON))
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    stuck = only_key(world)
    process = world.store.processes[world.store.objects[stuck]["metadata"]["uid"]]
    process.send_signal(signal.SIGSTOP)
    try:
        await until(lambda: said_of(world, stuck).get("leftRunning"))
        assert "lets nothing else run" in said_of(world, stuck)["leftRunning"][0]
        other = await front_end.open(await front_end.start(), session="tab-2")
        await other.run("y = 2")
        [beside] = world.store.objects.keys() - {stuck}
        await until(lambda: world.store.objects[beside]["status"]["phase"] == "Hibernated")
        assert world.store.objects[stuck]["status"]["phase"] == "Running"
    finally:
        process.send_signal(signal.SIGCONT)
    await until(lambda: world.store.objects[stuck]["status"]["phase"] == "Hibernated")
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_restart_takes_what_the_kernel_spec_says_today(world: Loopback) -> None:
    spec = offer(world, policy="Delete")
    gateway = await world.gateway(**NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start(spec)
    tab = await front_end.open(kernel_id)
    await tab.run("1")
    wished = world.store.objects[only_key(world)]["spec"]
    assert "reclaimPolicy" not in wished
    offer(world, policy="Hibernate")
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/restart")
    await tab.run("1")
    assert world.store.objects[only_key(world)]["spec"]["reclaimPolicy"] == "Hibernate"


async def test_another_gateway_takes_what_was_left_running_to_run_still(
    world: Loopback, tmp_path: Path
) -> None:
    first = await world.gateway(**SOON)
    front_end = FrontEnd(first)
    tab = await front_end.open(await front_end.start())
    await tab.run(THREAD.format(file=str(tmp_path / "never")))
    await until(lambda: activity(world).get("leftRunning"))
    await world.end(first)
    second = await world.gateway(idle=60, interval=0.1, sleeps=True)
    [kernel] = second.kernels.kernels.values()
    await until(lambda: kernel.verdict(datetime.now(UTC)).reason != "Busy")
    left_at = kernel.idleness.left_running_at
    assert kernel.idleness.left_running
    assert left_at is not None
    # To learn whether it is busy may take so long that it counts as use.
    used = kernel.last_execution > left_at
    assert used or kernel.verdict(datetime.now(UTC)).reason == "LeftRunning"


HOOKED = """
import os, threading, time
del get_ipython().events.trigger  # as if it had not been greeted
ran = []
get_ipython().events.register("post_execute", lambda: ran.append(
    (threading.current_thread() is threading.main_thread(), os.path.exists({file!r}))))
while not os.path.exists({file!r}): time.sleep(0.02)
"""


async def test_another_gateway_greets_no_kernel_in_which_a_cell_runs(
    world: Loopback, tmp_path: Path
) -> None:
    file = tmp_path / "end"
    first = await world.gateway(**NEVER)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("1")
    await tab.execute(HOOKED.format(file=str(file)))
    await until(lambda: first.kernels.get_kernel(kernel_id).busy)
    await world.end(first)
    second = await world.gateway(**NEVER)
    [kernel] = second.kernels.kernels.values()
    await until(lambda: kernel.state is KernelState.RUNNING)
    await kernel.probe.learn_subshells()  # by control, which answers in order
    file.touch()
    tab = await FrontEnd(second).open(kernel_id)
    await until(lambda: not kernel.busy)
    await kernel.idleness.look()  # answered after the greeting
    assert (await tab.run("print(ran)")).text() == "[(True, True), (False, True)]\n"
