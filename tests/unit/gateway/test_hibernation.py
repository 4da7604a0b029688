"""A kernel that sleeps, and what fails on its way there and back. Its process is an ipykernel."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api.base import ObjectMeta
from elastic_jupyter.api.kernel import JupyterKernel, Snapshot
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.errors import Unavailable
from elastic_jupyter.gateway import hibernation, kernel
from elastic_jupyter.gateway.app import GatewayApp
from elastic_jupyter.gateway.connection import ElasticConnection
from elastic_jupyter.gateway.iopub import IOPub
from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.policy import idle, saves
from elastic_jupyter.policy.keys import address_token
from elastic_jupyter.store.protocol import Key
from tests.support import s3_server
from tests.support.front_end import Cell, FrontEnd, Tab
from tests.support.loopback import MASTER, Loopback, now, only_key
from tests.unit.gateway.test_gateway import until

SOON = {"idle": 0.5, "interval": 0.1, "sleeps": True}
NEVER = {"idle": 3600, "interval": 0.1, "sleeps": True}
#: What was asked already has loaded it.
LOSE_AGENT = """
import sys
for name in ("elastic_jupyter_agent", "elastic_jupyter_agent.attached"):
    sys.modules[name] = None
"""


def phase(world: Loopback) -> str:
    return str(world.store.objects[only_key(world)]["status"]["phase"])


def spec(world: Loopback) -> dict[str, Any]:
    found: dict[str, Any] = world.store.objects[only_key(world)]["spec"]
    return found


def activity(world: Loopback) -> dict[str, Any]:
    found: dict[str, Any] = world.store.objects[only_key(world)]["status"].get("activity") or {}
    return found


async def suspend(world: Loopback) -> None:
    """Have the kernel sleep by request."""
    key = only_key(world)
    await world.store.wish(key, uid=world.store.objects[key]["metadata"]["uid"], suspend=True)


async def asleep(world: Loopback) -> None:
    await until(lambda: phase(world) == "Hibernated")


async def a_tab(world: Loopback, *, query: str = "") -> tuple[GatewayApp, str, Tab]:
    """Return a gateway that reclaims nothing by itself, its new kernel, and a tab on that."""
    gateway = await world.gateway(**NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    return gateway, kernel_id, await front_end.open(kernel_id, query=query)


async def a_sleeper(
    world: Loopback, *, code: str = "x = 1", query: str = ""
) -> tuple[GatewayApp, str, Tab]:
    """Return a gateway, its kernel that ran the code and sleeps, and a tab on that."""
    gateway, kernel_id, tab = await a_tab(world, query=query)
    await tab.run(code)
    await suspend(world)
    await asleep(world)
    return gateway, kernel_id, tab


async def asks_in_vain(world: Loopback, tab: Tab, code: str) -> Cell:
    """Return a cell that asks for its kernel, which gets no process until the store goes on."""
    world.store.hold = True
    cell = await tab.execute(code)
    await until(lambda: spec(world).get("suspend") is False)
    return cell


def go_on(world: Loopback) -> None:
    """Have the store make the process that is asked for."""
    world.store.hold = False
    world.store.run(only_key(world))


def answer_late(world: Loopback, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have writes of a snapshot be answered when the event is set, with what was there at first.

    Whoever watches sees them, and what comes of them, at once.
    """
    answered, save, reconcile = asyncio.Event(), world.store.save, world.store._reconcile

    async def save_slowly(key: Key, *args: Any, **kwargs: Any) -> JupyterKernel:
        monkeypatch.setattr(world.store, "_reconcile", lambda _: None)
        written = await save(key, *args, **kwargs)
        monkeypatch.setattr(world.store, "_reconcile", reconcile)
        reconcile(key)
        await answered.wait()
        return written

    monkeypatch.setattr(world.store, "save", save_slowly)
    return answered


async def a_cell_during_the_save(world: Loopback) -> tuple[GatewayApp, str, Tab, Cell]:
    """Return a gateway, its kernel whose snapshot is being named, a tab, and its cell ``print(x)``.

    It is named when the store goes on ``naming``.
    """
    gateway, kernel_id, tab = await a_tab(world, query="&sends_again=true")
    await tab.run("x = 1")
    world.store.naming.clear()
    await suspend(world)
    await until(lambda: world.store.to_name > 0)
    cell = await tab.execute("print(x)")
    await tab.until(lambda: cell.waiting)
    return gateway, kernel_id, tab, cell


def interrupt(gateway: GatewayApp, kernel_id: str) -> asyncio.Task[Any]:
    """Interrupt a kernel, or the wait for it."""
    path = f"/api/kernels/{kernel_id}/interrupt"
    return asyncio.create_task(FrontEnd(gateway).rest("POST", path))


async def comes_back(gateway: GatewayApp, kernel_id: str, tab: Tab) -> tuple[Tab, str | None]:
    """Return the tab as its notebook server opens it anew, and since when its cells did not run."""
    query = f"&sends_again=true&last_msg_id={tab.last_iopub}"
    again = await FrontEnd(gateway).open(kernel_id, session="tab-2", query=query)
    return again, again.ws.headers.get("X-Elastic-Jupyter-Not-Run-Since")


async def reopened(gateway: GatewayApp, kernel_id: str, tab: Tab) -> Tab:
    """Return the same tab with a new websocket: it hears what it missed of its cells."""
    again = await FrontEnd(gateway).open(kernel_id, query=f"&last_msg_id={tab.last_iopub}")
    again.goes_on_with(tab)
    return again


async def woken_by_the_next(world: Loopback, code: str) -> tuple[GatewayApp, str, Tab, Cell]:
    """Return a gateway, the kernel it woke, a tab, and its cell that went with the one before."""
    first, kernel_id, tab = await a_sleeper(world, query="&sends_again=true")
    cell = await asks_in_vain(world, tab, code)
    await tab.until(lambda: cell.held_with)
    await world.end(first)
    second = await world.gateway(**NEVER)
    go_on(world)
    manager = second.kernel_manager.kernels[kernel_id]
    await until(lambda: manager.state is KernelState.RUNNING)
    return second, kernel_id, tab, cell


async def test_variables_come_back_and_the_snapshot_is_nobodys_any_more(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**SOON))
    tab = await front_end.open(await front_end.start())
    await tab.run("x = [1]")
    await asleep(world)
    assert spec(world)["snapshot"]["epoch"] == 1
    assert spec(world)["snapshot"]["id"].startswith("1-")
    cell = await tab.run("x.append(2); print(x)")
    assert cell.text() == "[1, 2]\n"
    assert "woke with x" in cell.text("stderr")
    assert "snapshot" not in spec(world), "or an older state could be restored over this one"


async def test_variables_come_back_from_a_bucket(
    world: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server.s3_server(tmp_path) as address:
        s3_server.use(address, monkeypatch)
        bucket = s3_server.new_bucket(address)
        front_end = FrontEnd(await world.gateway(**NEVER, snapshots=f"s3://{bucket}/team"))
        tab = await front_end.open(await front_end.start())
        await tab.run("import os, zlib\nlarge = os.urandom(20_000_000); sum_ = zlib.crc32(large)")
        await suspend(world)
        await asleep(world)
        kept = s3_server.client(address).list_objects_v2(Bucket=bucket)["Contents"]
        assert sum(one["Size"] for one in kept) > 20_000_000
        cell = await tab.run("print(zlib.crc32(large) == sum_)")
        assert cell.text() == "True\n"
        assert "woke with" in cell.text("stderr")


async def test_a_release_by_hand_loses_nothing(world: Loopback) -> None:
    _, _, tab = await a_sleeper(world)
    assert (await tab.run("print(x)")).text() == "1\n"


@pytest.fixture
def again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save again after tenths of a second, where that failed."""
    monkeypatch.setattr(saves, "FIRST", timedelta(seconds=0.2))


async def test_what_is_too_large_is_not_lost_and_its_user_reads_why(world: Loopback) -> None:
    gateway = await world.gateway(**SOON, max_snapshot=100_000)
    front_end = FrontEnd(gateway)
    tab = await front_end.open(await front_end.start())
    await tab.run("import os\nx = os.urandom(1_000_000)")
    [kernel] = gateway.kernels.kernels.values()
    await until(lambda: activity(world).get("saveFailed"))
    why = "the variables have more than the 100000 bytes that a snapshot may have"
    assert activity(world)["saveFailed"] == why
    said = activity(world)
    failed, again = map(datetime.fromisoformat, (said["saveFailedAt"], said["reclaimAt"]))
    assert again - failed >= saves.FIRST / 2, "not at each round"
    assert (phase(world), kernel.state) == ("Running", KernelState.RUNNING)
    assert not spec(world)["suspend"]
    cell = await tab.run("print(len(x)); x = x[:10]")
    assert cell.text() == "1000000\n"
    assert why in cell.text("stderr")
    await asleep(world)  # an execution ends the pause
    cell = await tab.run("print(len(x))")
    assert cell.text() == "10\n"
    assert "could not be saved" not in cell.text("stderr")


@pytest.mark.usefixtures("again_at_once")
@pytest.mark.parametrize("released", [False, True])
async def test_a_store_that_was_away_gets_what_is_saved_again(
    world: Loopback, *, released: bool
) -> None:
    front_end = FrontEnd(await world.gateway(**(NEVER if released else SOON)))
    tab = await front_end.open(await front_end.start())
    world.snapshots.write_text("no folder can be here")
    await tab.run("__import__('elastic_jupyter_agent.transfer').transfer.PATIENCE = 0; x = 1")
    if released:
        await suspend(world)
    await until(lambda: activity(world).get("saveFailed"))
    first = activity(world)["saveFailedAt"]
    await until(lambda: activity(world)["saveFailedAt"] != first)
    assert phase(world) in ("Running", "Hibernating")
    world.snapshots.unlink()
    await asleep(world)
    cell = await tab.run("print(x)")
    assert cell.text() == "1\n"
    assert "could not be saved" not in cell.text("stderr")
    await until(lambda: not activity(world).get("saveFailed"))


@pytest.mark.parametrize("damaged", [True, False])
@pytest.mark.parametrize("pattern", ["*/*.json", "*/blobs/*"])
async def test_a_snapshot_that_cannot_be_read_fails_the_cell_and_stays(
    world: Loopback, pattern: str, *, damaged: bool
) -> None:
    _, _, tab = await a_sleeper(world, code="x = 'x' * 20_000")
    file, *_ = sorted(world.snapshots.glob(pattern))
    kept = file.read_bytes()
    file.write_bytes(kept[:-9] + b"damaged !") if damaged else file.unlink()
    cell = await tab.run("print(len(x))")
    assert cell.reply is not None
    assert cell.reply["content"]["status"] == "error"
    said = cell.reply["content"]["evalue"]
    assert "does not bring its variables back" in said
    assert ("back: x." in said) == ("blobs" in pattern), "its manifest names them"
    await asleep(world)
    file.write_bytes(kept)
    assert (await tab.run("print(len(x))")).text() == "20000\n"


@pytest.mark.parametrize("gone", ["the object", "the files"])
async def test_a_kernel_that_slept_sleeps_again_though_its_snapshot_is_gone(
    world: Loopback, gone: str
) -> None:
    large = "import os\nlarge = os.urandom(50_000)\n"  # a blob, which stays as it is
    gateway, _, tab = await a_sleeper(world, code=f"{large}x = 1")
    await tab.run("x = 2")
    if gone == "the object":
        [kernel] = gateway.kernels.kernels.values()
        await kernel.restart_kernel()
        await tab.run(f"{large}x = 2")
    else:
        shutil.rmtree(world.snapshots)
    await suspend(world)
    await asleep(world)
    assert (await tab.run("print(x, len(large))")).text() == "2 50000\n"


async def test_a_store_that_is_away_when_all_is_saved_leaves_the_kernel_running(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER))
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    world.store.failing_saves = 1
    await suspend(world)
    await until(lambda: world.store.failing_saves == 0)
    assert (await tab.run("print(x)")).text() == "1\n"


@pytest.mark.parametrize("moment", ["Hibernating", "Hibernated"])
async def test_another_gateway_goes_on_with_what_one_left(world: Loopback, moment: str) -> None:
    first = await world.gateway(**NEVER)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("import os\nx = os.urandom(50_000_000)")
    await suspend(world)
    await until(lambda: phase(world) == moment)
    await world.end(first)
    tab = await FrontEnd(await world.gateway(**NEVER)).open(kernel_id)
    await asleep(world)
    assert (await tab.run("print(len(x))")).text() == "50000000\n"


async def test_a_gateway_that_is_told_to_end_leaves_sleep_to_the_next(world: Loopback) -> None:
    first = await world.gateway(**NEVER)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    await (await front_end.open(kernel_id)).run("x = 1")
    first.kernels.begin_handover()
    await suspend(world)
    await until(lambda: phase(world) == "Hibernating")
    await first.kernels.cull_kernel_if_idle(kernel_id)
    assert phase(world) == "Hibernating"
    second = await world.gateway(**NEVER)
    await asleep(world)
    tab = await FrontEnd(second).open(kernel_id, session="tab-2")  # the first's is open yet
    assert (await tab.run("print(x)")).text() == "1\n"


@pytest.mark.parametrize("client", ["ours", "another"])
async def test_a_cell_that_waits_as_its_gateway_is_told_to_end_waits_in_the_next(
    world: Loopback, client: str
) -> None:
    """A client that does not send it again is told that it has not run."""
    query = "&sends_again=true" if client == "ours" else ""
    first, kernel_id, tab = await a_sleeper(world, query=query)
    cell = await asks_in_vain(world, tab, "x += 1")
    second = await world.gateway(**NEVER)
    first.stop = lambda *_: None
    await first._hand_over()
    with pytest.raises(AssertionError, match="closed"):
        await tab.until(lambda: False)
    handed_back = [m["msg_type"] for m in cell.messages].count("elastic_jupyter_handed_back")
    assert (handed_back, cell.done) == ((1, False) if client == "ours" else (0, True))
    again = await FrontEnd(second).open(kernel_id, query=f"{query}&last_msg_id={tab.last_iopub}")
    go_on(world)
    await again.run("x += 1")  # as the notebook server does, or the user
    assert (await again.run("print(x)")).text() == "2\n"


@pytest.mark.parametrize("broken", ["before", "while"])
async def test_a_cell_that_its_client_takes_to_the_next_gateway_runs_once(
    world: Loopback, broken: str
) -> None:
    """Its connection breaks off before the gateway is told to end, or while it serves on."""
    first, kernel_id, tab = await a_sleeper(world, query="&sends_again=true")
    cell = await asks_in_vain(world, tab, "x += 1")
    await tab.until(lambda: cell.held_with)
    manager = first.kernel_manager.kernels[kernel_id]
    if broken == "while":
        first.kernels.begin_handover()
    await tab.close()
    await until(lambda: not manager.connections)
    if broken == "before":
        assert manager.parked.waiting
        first.kernels.begin_handover()
    assert not manager.parked.waiting
    again, not_run_since = await comes_back(await world.gateway(**NEVER), kernel_id, tab)
    assert [not_run_since] == cell.held_with
    go_on(world)
    await again.run("x += 1")
    await until(lambda: manager.state is KernelState.RUNNING)
    assert (await again.run("print(x)")).text() == "2\n"


async def test_a_cell_is_sent_again_though_its_kernel_woke_before_its_client_came_back(
    world: Loopback,
) -> None:
    second, kernel_id, tab, cell = await woken_by_the_next(world, "x += 1")
    manager = second.kernel_manager.kernels[kernel_id]
    again, not_run_since = await comes_back(second, kernel_id, tab)
    assert [not_run_since] == cell.held_with
    await again.run("x += 1")
    await again.close()
    await until(lambda: not manager.connections)
    once_more, not_run_since = await comes_back(second, kernel_id, tab)
    assert not_run_since is None
    assert (await once_more.run("print(x)")).text() == "2\n"


@pytest.mark.parametrize("lazy", [False, True])
async def test_what_a_gateway_ran_that_lives_is_not_sent_again_to_the_next(
    world: Loopback, lazy: bool
) -> None:
    if lazy:
        first = await world.gateway(**NEVER, lazy=True)
        kernel_id = await FrontEnd(first).start()
        tab = await FrontEnd(first).open(kernel_id)
    else:
        first, kernel_id, tab = await a_sleeper(world)
    cell = await asks_in_vain(world, tab, "x = 1")
    second = await world.gateway(**NEVER)
    go_on(world)
    await tab.until(lambda: cell.done)
    manager = second.kernel_manager.kernels[kernel_id]
    await until(lambda: manager.state is KernelState.RUNNING)
    _, not_run_since = await comes_back(second, kernel_id, tab)
    assert not_run_since is None


async def test_a_gateway_hears_that_another_has_cells_run(world: Loopback) -> None:
    second, kernel_id, *_ = await woken_by_the_next(world, "x = 1")
    manager = second.kernel_manager.kernels[kernel_id]
    assert manager.returning.not_run_since("tab-2")
    third = await FrontEnd(await world.gateway(**NEVER)).open(kernel_id, session="tab-3")
    await third.run("x = 1")
    await until(lambda: manager.returning.not_run_since("tab-2") is None)


async def test_a_cell_that_ran_unseen_is_not_sent_again_when_its_kernel_sleeps_again(
    world: Loopback,
) -> None:
    first, kernel_id, tab = await a_sleeper(world, query="&sends_again=true")
    await asks_in_vain(world, tab, "x += 1")
    manager = first.kernel_manager.kernels[kernel_id]
    await tab.close()
    await until(lambda: not manager.connections)
    go_on(world)
    await until(lambda: manager.state is KernelState.RUNNING and not manager.busy)
    await suspend(world)
    await asleep(world)
    assert manager.returning.not_run_since("tab-1") is None


async def test_a_cell_whose_kernel_slept_again_is_not_taken_for_one_that_still_waits(
    world: Loopback,
) -> None:
    second, kernel_id, tab, cell = await woken_by_the_next(world, "x += 1")
    other = await FrontEnd(second).open(kernel_id, session="other", query="&sends_again=true")
    await other.run("x += 1")
    await suspend(world)
    await asleep(world)
    await world.end(second)
    _, not_run_since = await comes_back(await world.gateway(**NEVER), kernel_id, tab)
    assert not_run_since
    assert not_run_since not in cell.held_with


async def test_a_gateway_that_dies_after_the_restore_leaves_it_to_the_next(
    world: Loopback,
) -> None:
    """The snapshot is still named: nothing else has run, so it is restored again."""
    first, kernel_id, tab = await a_sleeper(world, code="x = [1]")
    await asks_in_vain(world, tab, "x.append(2)")
    await world.end(first)
    go_on(world)
    tab = await FrontEnd(await world.gateway(**NEVER)).open(kernel_id)
    assert (await tab.run("print(x)")).text() == "[1]\n"


async def test_a_kernel_without_an_agent_is_deleted_and_its_user_reads_why(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**SOON))
    tab = await front_end.open(await front_end.start())
    await tab.run(LOSE_AGENT)
    await until(lambda: not world.store.objects)
    cell = await tab.run("1")
    assert "could not be saved" in cell.text("stderr")
    assert "elastic-jupyter-agent is not installed" in cell.text("stderr")


async def test_what_was_saved_goes_with_its_kernel(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**SOON))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 'x' * 20_000")
    await asleep(world)
    assert _saved(world.snapshots)
    await front_end.rest("DELETE", f"/api/kernels/{kernel_id}")
    await until(lambda: not _saved(world.snapshots))


async def test_a_kernel_of_another_image_is_not_taken_for_what_the_one_before_said(
    world: Loopback,
) -> None:
    """Before it runs, its spec is all that is known of it."""
    gateway = await world.gateway(**NEVER, lazy=True)
    front_end = FrontEnd(gateway)
    said = []
    for image in ("one:1", "one:1", "two:1"):
        world.catalog.specs["any"] = JupyterKernelSpec.model_validate(
            {"metadata": ObjectMeta(name="any"), "spec": {"image": image}}
        )
        kernel_id = await front_end.start("any")
        tab = await front_end.open(kernel_id, session=kernel_id)
        asked = await tab.send("kernel_info_request", {})
        await tab.until(lambda asked=asked: asked.idle)
        replies = [m for m in asked.messages if m["msg_type"] == "kernel_info_reply"]
        said += [reply["content"]["implementation"] for reply in replies]
        if len(said) == 1:
            await tab.run("1")
    assert said == ["", "ipython", ""]


async def test_a_wake_that_gets_no_gpu_in_time_tells_why_and_keeps_the_variables(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER, queue_timeout=1))
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    await suspend(world)
    await asleep(world)
    snapshot = spec(world)["snapshot"]["id"]
    cell = await asks_in_vain(world, tab, "print(x)")
    queue = {"position": 2, "length": 3, "reason": "1 Insufficient nvidia.com/gpu."}
    world.store.report(only_key(world), phase="Queued", queue=queue)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    said = cell.reply["content"]["evalue"]
    for words in ("within 1 s (queueTimeoutSeconds", "2nd of 3", "Insufficient nvidia.com/gpu"):
        assert words in said
    await asleep(world)
    assert spec(world)["snapshot"]["id"] == snapshot
    world.store.hold = False
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_lazy_kernel_starts_with_its_first_cell(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER, lazy=True))
    tab = await front_end.open(await front_end.start())
    assert phase(world) == "Dormant"
    assert world.store.processes == {}
    assert (await tab.run("print(1)")).text() == "1\n"
    assert phase(world) == "Running"
    assert "snapshot" not in spec(world)


async def test_the_first_cell_of_a_lazy_kernel_is_known_not_to_have_run_until_it_does(
    world: Loopback,
) -> None:
    first = await world.gateway(**NEVER, lazy=True)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id, query="&sends_again=true")
    cell = await asks_in_vain(world, tab, "x = 1")
    await tab.until(lambda: cell.held_with)
    await world.end(first)
    front_end = FrontEnd(await world.gateway(**NEVER, lazy=True))
    again = await front_end.open(kernel_id, query="&last_msg_id=")
    assert [again.ws.headers.get("X-Elastic-Jupyter-Not-Run-Since")] == cell.held_with
    cell = await again.execute("x = 1")
    go_on(world)
    await again.until(lambda: cell.done)
    await again.close()
    again = await front_end.open(kernel_id, query="&last_msg_id=")
    assert again.ws.headers.get("X-Elastic-Jupyter-Not-Run-Since") is None


def _saved(folder: Path) -> list[Path]:
    # Others may be removing them.
    return [Path(where, file) for where, _, files in os.walk(folder) for file in files]


SLOW_TO_SAVE = """
import time
class Slow:
    def __reduce__(self):
        time.sleep(600)
x, slow = 1, Slow()
"""
SLOW_TO_RESTORE = """
def late(): __import__("time").sleep(600)
class Slow:
    def __reduce__(self): return late, ()
x, slow = 1, Slow()
"""


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take for a standstill what lasts two seconds."""
    monkeypatch.setattr(hibernation, "STANDSTILL", 2.0)


async def test_a_save_that_stands_still_ends_and_the_kernel_runs_on(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_impatient(monkeypatch)
    front_end = FrontEnd(await world.gateway(**NEVER))
    tab = await front_end.open(await front_end.start())
    await tab.run(SLOW_TO_SAVE)
    await suspend(world)
    await until(lambda: activity(world).get("saveFailed"))
    assert "nothing has moved for 2 s" in activity(world)["saveFailed"]
    assert (await tab.run("print(x)")).text() == "1\n", "the agent was interrupted"


async def test_a_cell_does_not_wait_for_a_slow_object_that_is_saved(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER))
    tab = await front_end.open(await front_end.start())
    await tab.run(SLOW_TO_SAVE)
    await suspend(world)
    await until(lambda: phase(world) == "Hibernating")
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_restore_that_stands_still_fails_the_cell_and_the_snapshot_stays(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER))
    tab = await front_end.open(await front_end.start())
    await tab.run(SLOW_TO_RESTORE)
    await suspend(world)
    await asleep(world)
    saved = spec(world)["snapshot"]["id"]
    be_impatient(monkeypatch)  # a save has to load much first, and may take as long
    cell = await tab.run("print(x)")
    assert cell.reply is not None
    assert "nothing has moved for 2 s" in cell.reply["content"]["evalue"]
    await asleep(world)
    assert spec(world)["snapshot"]["id"] == saved


async def test_cells_of_several_tabs_run_in_the_order_in_which_they_came(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER))
    kernel_id = await front_end.start()
    tabs = [await front_end.open(kernel_id, session=f"tab-{number}") for number in range(8)]
    await tabs[0].run("ran = []")
    await suspend(world)
    await asleep(world)
    cells = [await tabs[number].execute(f"ran.append({number})") for number in range(8)]
    for tab, cell in zip(tabs, cells, strict=True):
        await tab.until(lambda cell=cell: cell.done)
    assert (await tabs[0].run("print(ran)")).text() == f"{list(range(8))}\n"


async def test_no_cell_runs_between_a_save_and_the_moment_that_its_snapshot_is_named(
    world: Loopback, tmp_path: Path
) -> None:
    """One of another gateway's: it would be in no snapshot."""
    file = tmp_path / "ran"
    front_end = FrontEnd(await world.gateway(**NEVER))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    second = await world.gateway(**NEVER)
    second.kernels.begin_handover()  # or it would save, too
    other = await FrontEnd(second).open(kernel_id, session="tab-2")
    world.store.naming.clear()
    await suspend(world)
    await until(lambda: world.store.to_name > 0)
    cell = await other.execute(f"open({str(file)!r}, 'w'); x = 2")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await other.until(lambda: cell.done)
    assert not file.exists()
    world.store.naming.set()
    await asleep(world)
    await other.until(lambda: cell.done)
    assert cell.reply is not None
    assert cell.reply["content"]["ename"] == "KernelSlept"
    assert not file.exists()
    assert (await other.run("print(x)")).text() == "1\n"


async def test_a_cell_that_comes_as_its_snapshot_is_named_is_known_to_wait_for_it(
    world: Loopback,
) -> None:
    _, _, tab, cell = await a_cell_during_the_save(world)
    assert cell.held_with == [], "the save may end in vain, and the cell run"
    world.store.naming.set()
    await tab.until(lambda: cell.done)
    assert cell.text() == "1\n"
    assert [name.partition("-")[0] for name in cell.held_with] == ["1"]


async def test_a_tab_that_comes_back_hears_for_which_variables_its_cell_waits(
    world: Loopback,
) -> None:
    gateway, kernel_id, tab, cell = await a_cell_during_the_save(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    await tab.close()
    await until(lambda: not manager.connections)
    world.store.hold = True
    world.store.naming.set()
    await until(lambda: manager.state is KernelState.STARTING and manager.variables is not None)
    query = f"&sends_again=true&last_msg_id={tab.last_iopub}"
    again = await FrontEnd(gateway).open(kernel_id, query=query)
    again.adopt(cell)
    await again.until(lambda: cell.held_with == [manager.variables])


async def test_a_cell_that_comes_while_an_interrupt_is_written_down_wakes_its_kernel(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    first = await asks_in_vain(world, tab, "print('first')")
    answered = answer_late(world, monkeypatch)
    asked = interrupt(gateway, kernel_id)
    await until(lambda: manager.facts is not None and manager.facts.rests)
    second = await tab.execute("print(x)")
    await until(lambda: manager.state is KernelState.STARTING)
    world.store.hold = False
    answered.set()
    await tab.until(lambda: first.done and second.done)
    assert (await asked).code == 204
    assert (first.reply or {})["content"]["ename"] == "KeyboardInterrupt"
    assert second.text() == "1\n", second.reply


async def test_an_interrupt_that_is_written_down_late_does_not_overtake_the_next_wake(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    first = await asks_in_vain(world, tab, "print('first')")
    world.store.failing_saves = 1
    world.store.naming.clear()
    named = world.store.to_name
    await interrupt(gateway, kernel_id)
    await until(lambda: world.store.to_name > named)
    second = await tab.execute("print(x)")
    await until(lambda: manager.state is KernelState.STARTING)
    for _ in range(100):  # for the wake to be written, if nothing keeps it
        await asyncio.sleep(0)
    world.store.hold = False
    world.store.naming.set()
    await tab.until(lambda: first.done and second.done)
    assert second.text() == "1\n", second.reply


async def test_an_interrupt_at_the_end_of_a_wake_ends_the_cell_and_keeps_the_variables(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    answered = answer_late(world, monkeypatch)
    first = await tab.execute("print('first')")
    await until(lambda: manager.facts is not None and manager.facts.snapshot is None)
    assert (await interrupt(gateway, kernel_id)).code == 204
    await tab.until(lambda: first.done)
    answered.set()
    assert (first.reply or {})["content"]["ename"] == "KeyboardInterrupt"
    second = await tab.run("print(x)")
    assert second.text() == "1\n", second.reply


async def test_a_release_that_is_told_before_the_wake_that_it_follows_is_heeded(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    answered, wish = asyncio.Event(), world.store.wish

    async def wish_slowly(key: Key, **wishes: Any) -> JupyterKernel:
        written = await wish(key, **wishes)
        if wishes.get("suspend") is False:
            await answered.wait()
        return written

    monkeypatch.setattr(world.store, "wish", wish_slowly)
    first = await asks_in_vain(world, tab, "print('first')")
    await suspend(world)
    await until(lambda: manager.epoch == 2 and manager.facts is not None and manager.facts.rests)
    answered.set()
    await tab.until(lambda: first.done)
    assert (first.reply or {})["content"]["ename"] == "KernelReleased"
    world.store.hold = False
    assert (await tab.run("print(x)")).text() == "1\n"


def tell_address(gateway: GatewayApp, kernel_id: str, address: str) -> None:
    """Tell a gateway a kernel's address, as that does before its status has it."""
    manager = gateway.kernel_manager.kernels[kernel_id]
    facts = manager.facts
    token = address_token(MASTER, facts.uid, facts.epoch)
    assert manager.take_address(address, epoch=facts.epoch, token=token)


async def connecting(world: Loopback) -> tuple[GatewayApp, str, subprocess.Popen[bytes]]:
    """Return a gateway that took over a kernel with x = 1, and that kernel, which is stopped."""
    first = await world.gateway(**NEVER)
    kernel_id = await FrontEnd(first).start()
    await (await FrontEnd(first).open(kernel_id)).run("x = 1")
    await world.end(first)
    [process] = world.store.processes.values()
    process.send_signal(signal.SIGSTOP)
    second = await world.gateway(**NEVER)
    assert second.kernel_manager.kernels[kernel_id].state is KernelState.STARTING
    return second, kernel_id, process


async def test_a_release_of_a_kernel_that_ran_before_its_gateway_did_loses_nothing(
    world: Loopback,
) -> None:
    gateway, kernel_id, process = await connecting(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    await suspend(world)
    await until(lambda: manager.facts is not None and manager.facts.suspend)
    manager._busy_unknown = False  # as when the end of its cell is heard before the answer
    await manager._heed()
    process.send_signal(signal.SIGCONT)
    await asleep(world)
    tab = await FrontEnd(gateway).open(kernel_id)
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_kernel_that_another_gateway_saves_while_this_one_connects_sleeps_here_too(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer for which this one waits comes from a kernel that is about to end."""
    gateway, kernel_id, process = await connecting(world)
    manager, key = gateway.kernel_manager.kernels[kernel_id], only_key(world)
    answered, subscribe, reconcile = (
        asyncio.Event(),
        manager.probe.subscribe,
        world.store._reconcile,
    )

    async def subscribed(iopub: IOPub, *, channel: str) -> None:
        await subscribe(iopub, channel=channel)
        answered.set()

    monkeypatch.setattr(manager.probe, "subscribe", subscribed)
    monkeypatch.setattr(world.store, "_reconcile", lambda _: None)
    await suspend(world)
    named = Snapshot(epoch=1, id=f"1-{'0' * 64}")
    uid = world.store.objects[key]["metadata"]["uid"]
    await world.store.save(key, named, uid=uid, epoch=1)
    await until(lambda: manager.variables is not None)
    process.send_signal(signal.SIGCONT)
    await answered.wait()
    for _ in range(100):  # for what it would write
        await asyncio.sleep(0)
    assert spec(world)["snapshot"]["id"] == named.id
    reconcile(key)
    await until(lambda: manager.state is KernelState.ASLEEP)


@pytest.mark.parametrize("asked", ["before the cell", "after it"])
@pytest.mark.parametrize("kind", ["new", "lazy", "saved"])
async def test_a_kernel_that_another_gateway_starts_is_connected_to_while_its_cell_runs(
    world: Loopback, kind: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shell channel answers when the cell has ended, which may take hours."""
    if kind == "saved":
        first, kernel_id, tab = await a_sleeper(world)
    else:
        world.store.hold = True
        first = await world.gateway(**NEVER, lazy=kind == "lazy")
        kernel_id = await FrontEnd(first).start()
        tab = await FrontEnd(first).open(kernel_id)
    world.store.hold = True
    cell = await tab.execute("import time\nprint('on')\ntime.sleep(600)")
    await until(lambda: not spec(world).get("suspend"))
    second = await world.gateway(**NEVER)
    manager = second.kernel_manager.kernels[kernel_id]
    assert manager.state is KernelState.STARTING
    ask = manager.probe._ask_for_info

    async def asked_in_vain(channel: str) -> dict[str, Any]:
        return await ask(channel) if channel == "control" else await asyncio.Event().wait()

    monkeypatch.setattr(manager.probe, "_ask_for_info", asked_in_vain)
    key = only_key(world)
    address = world.store.run(key, told=asked == "before the cell")
    tell_address(first, kernel_id, address)
    await tab.until(lambda: cell.text() == "on\n")
    world.store.report(key, phase="Running", podIP=address)
    await until(lambda: manager.state is KernelState.RUNNING)
    await interrupt(second, kernel_id)
    await tab.until(lambda: cell.done)


async def woken_beside(
    world: Loopback, monkeypatch: pytest.MonkeyPatch, code: str
) -> tuple[GatewayApp, str, Tab]:
    """Return a gateway, a kernel in which another one has the code run, and the tab of that.

    The code has printed "on". The kernel's reconciler has not said yet that it runs.
    """
    first, kernel_id, tab = await a_sleeper(world)
    cell = await asks_in_vain(world, tab, code)
    monkeypatch.setattr(world.store, "_reconcile", lambda _: None)
    second = await world.gateway(**NEVER)
    tell_address(first, kernel_id, world.store.run(only_key(world), told=False))
    await tab.until(lambda: cell.text() == "on\n")
    await until(lambda: second.kernel_manager.kernels[kernel_id].variables is None)
    return second, kernel_id, tab


async def test_an_interrupt_leaves_a_kernel_that_another_gateway_gave_its_variables_back(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time\nprint('on')\ntime.sleep(600)"
    second, kernel_id, _ = await woken_beside(world, monkeypatch, code)
    assert (await interrupt(second, kernel_id)).code == 204
    assert not spec(world)["suspend"]


async def test_a_suspend_that_is_tried_again_leaves_what_another_gateway_has_woken(
    world: Loopback,
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    await tab.run("x += 1")
    assert manager.facts is not None
    manager._state = KernelState.ASLEEP  # as in a gateway that was to wake it, and was interrupted
    await manager._suspend(manager.facts.uid, was_named=True)
    assert not spec(world)["suspend"]


async def test_a_kernel_that_is_deleted_while_it_sleeps_says_that_its_variables_went(
    world: Loopback,
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager, key = gateway.kernel_manager.kernels[kernel_id], only_key(world)
    await world.store.delete(key, uid=world.store.objects[key]["metadata"]["uid"])
    await until(lambda: manager.state is KernelState.RECLAIMED)
    cell = await tab.run("print('x' in globals())")
    assert cell.text() == "False\n"
    assert "its JupyterKernel was deleted" in cell.text("stderr")
    assert "variables are gone" in cell.text("stderr")


async def test_a_cell_that_comes_while_a_wake_fails_leaves_the_snapshot(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    before, hidden = spec(world)["snapshot"]["id"], world.snapshots.with_name("hidden")
    asked, told, names = asyncio.Event(), asyncio.Event(), manager.hibernation.names

    async def names_slowly(*args: Any) -> list[str]:
        asked.set()
        await told.wait()
        return await names(*args)

    monkeypatch.setattr(manager.hibernation, "names", names_slowly)
    world.snapshots.rename(hidden)
    first = await tab.execute("print(x)")
    await asked.wait()
    second = await tab.execute("print(x)")
    await until(lambda: manager.state is KernelState.STARTING)
    told.set()
    await tab.until(lambda: first.done and second.done)
    await asleep(world)
    assert spec(world)["snapshot"]["id"] == before
    shutil.rmtree(world.snapshots, ignore_errors=True)
    hidden.rename(world.snapshots)
    assert (await tab.run("print(x)")).text() == "1\n"


@pytest.mark.parametrize("heard", [True, False])
async def test_a_gateway_leaves_the_snapshot_that_another_has_just_named(
    world: Loopback, monkeypatch: pytest.MonkeyPatch, *, heard: bool
) -> None:
    first = await world.gateway(**NEVER)
    kernel_id = await FrontEnd(first).start()
    await (await FrontEnd(first).open(kernel_id)).run("x = 1")
    second = await world.gateway(**NEVER)
    manager, key = second.kernel_manager.kernels[kernel_id], only_key(world)
    await until(lambda: manager.state is KernelState.RUNNING)
    monkeypatch.setattr(world.store, "_reconcile", lambda _: None)
    named = Snapshot(epoch=1, id=f"1-{'0' * 64}")
    uid = world.store.objects[key]["metadata"]["uid"]
    if not heard:
        monkeypatch.setattr(manager, "on_facts", lambda _: None)
        manager.facts = replace(manager.facts, snapshot=Snapshot(epoch=0, id=f"0-{'0' * 64}"))
    await world.store.save(key, named, uid=uid, epoch=1)
    await until(lambda: not heard or manager.facts.goes)
    assert await manager._hibernate(released=False) is None
    assert manager.notice.text is None, "nothing has failed"
    await manager._stay_awake(released=False)
    assert spec(world)["snapshot"]["id"] == named.id
    assert spec(world)["suspend"]


@pytest.mark.parametrize("lazy", [False, True])
async def test_a_suspend_is_not_written_over_what_another_gateway_wakes_meanwhile(
    world: Loopback, monkeypatch: pytest.MonkeyPatch, *, lazy: bool
) -> None:
    """The other one has removed the snapshot's name since this one read it."""
    if lazy:
        gateway = await world.gateway(**NEVER, lazy=True)
        kernel_id = await FrontEnd(gateway).start()
        tab = await FrontEnd(gateway).open(kernel_id)
    else:
        gateway, kernel_id, tab = await a_sleeper(world)
    cell = await asks_in_vain(world, tab, "import time\nx = 1\nprint('on')\ntime.sleep(600)")
    second = await world.gateway(**NEVER)
    manager, get = second.kernel_manager.kernels[kernel_id], world.store.get
    uid = world.store.objects[only_key(world)]["metadata"]["uid"]

    async def get_before(key: Key) -> JupyterKernel:
        monkeypatch.setattr(world.store, "get", get)
        read = await get(key)
        go_on(world)
        await tab.until(lambda: cell.text() == "on\n")
        return read

    manager._cancel_launch()
    manager._state = KernelState.ASLEEP  # as in a gateway in which the wake was interrupted
    monkeypatch.setattr(world.store, "get", get_before)
    await manager._suspend(uid, was_named=True)
    assert not spec(world)["suspend"]
    await until(lambda: manager.state is KernelState.RUNNING)
    await interrupt(gateway, kernel_id)
    await tab.until(lambda: cell.done)
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_cell_is_not_sent_again_as_soon_as_another_gateway_has_its_kernel_woken(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, kernel_id, tab = await woken_beside(world, monkeypatch, "print('on')")
    _, not_run_since = await comes_back(second, kernel_id, tab)
    assert not_run_since is None


@pytest.mark.parametrize("wish", ["interrupt", "release"])
async def test_a_new_kernel_in_which_another_gateway_runs_a_cell_is_not_given_up(
    world: Loopback, wish: str
) -> None:
    """Its status does not say yet that it runs."""
    world.store.hold = True
    first = await world.gateway(**NEVER)
    kernel_id = await FrontEnd(first).start()
    tab = await FrontEnd(first).open(kernel_id)
    cell = await tab.execute("import time\nprint('on')\ntime.sleep(600)")
    second = await world.gateway(**NEVER)
    manager = second.kernel_manager.kernels[kernel_id]
    tell_address(first, kernel_id, world.store.run(only_key(world), told=False))
    await tab.until(lambda: cell.text() == "on\n")
    other = await FrontEnd(second).open(kernel_id, session="other")
    waits = await other.execute("print('too')")
    await other.until(lambda: waits.waiting)
    if wish == "interrupt":
        assert (await interrupt(second, kernel_id)).code == 204
        await other.until(lambda: waits.done)
    else:
        await manager.ask(suspend=True)
        await manager._heed()
        assert manager._cells_wait, "it runs yet, as one that comes before a release does"
    assert manager.state is KernelState.STARTING
    assert "snapshot" not in spec(world)


async def test_a_kernel_that_fails_with_its_variables_says_that_they_are_gone(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    other = await FrontEnd(gateway).open(kernel_id, session="other")

    async def reach(_: ElasticConnection) -> None:
        raise OSError("no socket is left")

    monkeypatch.setattr(ElasticConnection, "reach", reach)
    world.store.hold = True
    cells = [await tab.execute("print(x)"), await other.execute("print(x)")]
    await until(lambda: spec(world).get("suspend") is False)
    go_on(world)
    await tab.until(lambda: cells[0].done)
    await other.until(lambda: cells[1].done)
    cell = await tab.run("print('x' in globals())")
    assert cell.text() == "False\n"
    assert "no socket is left" in cell.text("stderr")
    assert "woke with" not in cell.text("stderr")


async def test_a_cell_that_has_just_gone_to_its_kernel_for_a_tab_that_is_away_is_not_overtaken(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    await asks_in_vain(world, tab, "x += 1")
    await tab.close()
    await until(lambda: not manager.connections)
    saves: list[bool] = []

    def release() -> None:
        assert manager.facts is not None
        manager.facts = replace(manager.facts, suspend=True)
        saves.append(manager.verdict(now()).action is idle.Action.RECLAIM)

    monkeypatch.setattr(manager, "release_if_asked", release)
    go_on(world)
    await until(lambda: manager.state is KernelState.RUNNING)
    assert not saves[0]


async def test_a_tab_that_was_away_for_a_wake_and_the_next_sleep_reads_what_came_back(
    world: Loopback,
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    cell = await asks_in_vain(world, tab, "print(x)")
    await tab.close()
    await until(lambda: not manager.connections)
    go_on(world)
    await until(lambda: manager.state is KernelState.RUNNING)
    await until(lambda: any(parked.replies for parked in manager.parked._parked.values()))
    await suspend(world)
    await until(lambda: manager.state is KernelState.ASLEEP)
    again = await reopened(gateway, kernel_id, tab)
    await again.until(lambda: cell.done)
    assert "woke with x" in cell.text("stderr")
    assert cell.text() == "1\n"
    later = await again.run("print(x)")
    assert later.text("stderr").count("woke with x") == 1, "it slept again"


@pytest.mark.usefixtures("again_at_once")
async def test_a_tab_that_was_away_hears_of_no_failed_save_that_has_succeeded_since(
    world: Loopback,
) -> None:
    gateway, kernel_id, tab = await a_tab(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    world.snapshots.write_text("no folder can be here")
    patience = "__import__('elastic_jupyter_agent.transfer').transfer.PATIENCE = 0"
    cell = await tab.execute(f"{patience}; x = 1; print('ran')")
    await tab.close()
    await until(lambda: any(parked.replies for parked in manager.parked._parked.values()))
    await suspend(world)
    await until(lambda: activity(world).get("saveFailed"))
    world.snapshots.unlink()
    await asleep(world)
    await until(lambda: manager.state is KernelState.ASLEEP)
    again = await reopened(gateway, kernel_id, tab)
    await again.until(lambda: cell.done)
    assert cell.text() == "ran\n"
    assert "could not be saved" not in cell.text("stderr")


async def test_a_cell_that_comes_as_its_kernel_dies_with_all_saved_finds_the_variables(
    world: Loopback,
) -> None:
    gateway, kernel_id, tab = await a_tab(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    await tab.run("x = 1")
    world.store.naming.clear()
    await suspend(world)
    await until(lambda: world.store.to_name > 0)
    world.store.processes[next(iter(world.store.processes))].kill()
    world.store.report(only_key(world), phase="Failed", podIP=None)
    await until(lambda: manager.state is KernelState.FAILED)
    cell = await tab.execute("print(x)")
    await until(lambda: manager.state is KernelState.STARTING)
    world.store.naming.set()
    await tab.until(lambda: cell.done)
    assert cell.text() == "1\n"
    assert "woke with x" in cell.text("stderr")
    assert "gone" not in cell.text("stderr")


async def test_a_cell_that_is_never_heard_to_run_holds_up_a_release_for_a_moment_only(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager = gateway.kernel_manager.kernels[kernel_id]
    assert (await tab.run("print(x)")).text() == "1\n"
    manager._sent_at = now()
    await manager.ask(suspend=True)
    assert manager.verdict(now()).action is not idle.Action.RECLAIM
    monkeypatch.setattr(kernel, "ARRIVAL", timedelta(0))
    await asleep(world)


async def test_a_kernel_that_could_not_be_made_and_is_released_rests_at_once(
    world: Loopback,
) -> None:
    world.store.hold = True
    first = await world.gateway(**NEVER)
    kernel_id = await FrontEnd(first).start()
    await world.end(first)
    second = await world.gateway(**NEVER)
    manager = second.kernel_manager.kernels[kernel_id]
    assert manager.state is KernelState.STARTING
    await suspend(world)
    await until(lambda: manager.state is KernelState.ASLEEP)
    assert phase(world) == "Dormant"
    world.store.hold = False
    assert (await (await FrontEnd(second).open(kernel_id)).run("print(1)")).text() == "1\n"


async def test_a_kernel_that_fails_to_wake_twice_rests_again(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time it is not even asked for: what was made the first time would stay."""
    gateway, kernel_id, tab = await a_sleeper(world)
    manager, wish = gateway.kernel_manager.kernels[kernel_id], world.store.wish
    asked, told = asyncio.Event(), asyncio.Event()

    async def names_slowly(*_: Any) -> list[str]:
        asked.set()
        await told.wait()
        return []

    async def wish_in_vain(key: Key, **wishes: Any) -> JupyterKernel:
        raise Unavailable("no answer")

    monkeypatch.setattr(manager.hibernation, "names", names_slowly)
    shutil.rmtree(world.snapshots)
    first = await tab.execute("print(x)")
    await asked.wait()
    monkeypatch.setattr(world.store, "wish", wish_in_vain)
    second = await tab.execute("print(x)")
    await tab.until(lambda: second.done)
    told.set()
    await tab.until(lambda: first.done)
    monkeypatch.setattr(world.store, "wish", wish)
    await asleep(world)
    assert manager.state is KernelState.ASLEEP


@pytest.mark.parametrize("told", [True, False])
async def test_a_kernel_that_is_deleted_as_it_is_asked_for_gives_way_to_a_new_one(
    world: Loopback, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    gateway, kernel_id, tab = await a_sleeper(world)
    manager, key, wish = (
        gateway.kernel_manager.kernels[kernel_id],
        only_key(world),
        world.store.wish,
    )

    async def wish_late(key: Key, **wishes: Any) -> JupyterKernel:
        await world.store.delete(key, uid=wishes["uid"])
        if told:
            await until(lambda: wishes["uid"] in manager.retired)
        return await wish(key, **wishes)

    monkeypatch.setattr(world.store, "wish", wish_late)
    cell = await tab.run("print(x)")
    assert "its JupyterKernel was deleted" in (cell.reply or {})["content"]["evalue"]
    assert key not in world.store.objects
    cell = await tab.run("print('x' in globals())")
    assert cell.text() == "False\n"
    assert "variables are gone" in cell.text("stderr")


async def test_a_kernel_that_another_gateway_asked_for_first_is_not_given_up(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both remember it; what one creates the other finds, before it is told of it."""
    first = await world.gateway(interval=0.1)
    kernel_id = await FrontEnd(first).start()
    tab = await FrontEnd(first).open(kernel_id)
    await tab.run("x = 1")
    await suspend(world)
    await until(lambda: not world.store.objects)
    second = await world.gateway(interval=0.1)
    monkeypatch.setattr(second.kernels, "_take", lambda _: None)
    cell = await tab.execute("import time\nprint('on')\ntime.sleep(600)")
    await tab.until(lambda: cell.text() == "on\n")
    other = await FrontEnd(second).open(kernel_id, session="other")
    waits = await other.execute("1")
    await until(lambda: second.kernel_manager.kernels[kernel_id].has_kernel)
    assert (await interrupt(second, kernel_id)).code == 204
    await other.until(lambda: waits.done)
    await tab.until(lambda: cell.done)
    assert world.store.objects
