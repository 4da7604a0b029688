"""A gateway with real ipykernel processes and real websockets, on loopback."""

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.errors import Forbidden
from elastic_jupyter.gateway import notice
from elastic_jupyter.gateway.kernels import TOMBSTONE_AGE
from elastic_jupyter.gateway.probe import Probe
from elastic_jupyter.policy import idle
from elastic_jupyter.policy.notices import INTERRUPT_UNHEARD
from elastic_jupyter.store.protocol import Key
from tests.support.front_end import FrontEnd
from tests.support.kernels import a_kernel_spec
from tests.support.loopback import Loopback, now, only_key
from tests.support.objects import until

GONE = "variables are gone"


async def test_state_persists_between_cells_and_a_restart_empties_it(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 41")
    assert (await tab.run("print(x + 1)")).text() == "42\n"

    assert (await front_end.rest("POST", f"/api/kernels/{kernel_id}/restart")).code == 200
    assert (await tab.run("print('x' in globals())")).text() == "False\n"
    assert [kernel["id"] for kernel in await front_end.kernels()] == [kernel_id]


async def test_an_interrupt_ends_the_running_cell(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute("print('on', flush=True)\nimport time\ntime.sleep(600)")
    await tab.until(lambda: cell.text() == "on\n")
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert cell.reply["content"]["ename"] == "KeyboardInterrupt"


async def test_a_cell_says_that_its_kernel_does_not_hear_the_interrupt(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    # Without a flush: the text comes while the kernel sleeps, where nothing swallows an interrupt.
    # In short naps: of a process that was stopped any thread may get the signal, which then does
    # not wake the one that sleeps.
    cell = await tab.execute("import time\nprint('on')\nwhile True:\n    time.sleep(0.05)")
    await tab.until(lambda: cell.text() == "on\n")
    (process,) = world.store.processes.values()
    process.send_signal(signal.SIGSTOP)
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    await tab.until(lambda: cell.text("stderr") == INTERRUPT_UNHEARD + "\n")
    assert not cell.done
    process.send_signal(signal.SIGCONT)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert cell.reply["content"]["ename"] == "KeyboardInterrupt", "it was late, but it was sent"


async def test_an_idle_kernel_goes_with_its_tab_open_and_the_next_cell_works(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.5))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    await until(lambda: not world.store.objects)
    assert [kernel["execution_state"] for kernel in await front_end.kernels()] == ["idle"]

    cell = await tab.run("print('again')")
    assert cell.text() == "again\n"
    assert GONE in cell.text("stderr")
    assert cell.messages[-1]["parent_header"]["msg_id"] == cell.msg_id
    assert (await tab.run("1")).text("stderr") == "", "the notice is shown once"


async def test_a_kernel_runs_on_while_its_tombstone_cannot_be_written(world: Loopback) -> None:
    world.tombstones.failing_puts = 1_000_000
    front_end = FrontEnd(await world.gateway(idle=0.5))
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    await until(lambda: world.tombstones.failing_puts < 1_000_000)
    assert (await tab.run("print(x)")).text() == "1\n"

    world.tombstones.failing_puts = 0
    await until(lambda: not world.store.objects)
    assert world.tombstones


async def test_a_delete_that_fails_is_made_up_for(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.5))
    tab = await front_end.open(await front_end.start())
    world.store.failing_deletes = 2
    await tab.run("x = 1")
    await until(lambda: not world.store.objects)
    assert (await tab.run("print('again')")).text() == "again\n"


async def test_a_cell_longer_than_the_timeout_is_not_touched(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.5))
    tab = await front_end.open(await front_end.start())
    cell = await tab.run("import time\nfor n in range(4):\n    time.sleep(0.5)\nprint('done')")
    assert cell.text() == "done\n"
    assert GONE not in cell.text("stderr")


async def test_a_reclaimed_kernel_wakes_after_a_gateway_restart(world: Loopback) -> None:
    first = await world.gateway(idle=0.5)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    await until(lambda: not world.store.objects)
    await world.end(first)

    front_end = FrontEnd(await world.gateway())
    assert [kernel["id"] for kernel in await front_end.kernels()] == [kernel_id]
    cell = await (await front_end.open(kernel_id)).run("print('again')")
    assert cell.text() == "again\n"
    assert GONE in cell.text("stderr")
    (body,) = world.store.objects.values()
    assert body["status"]["epoch"] == 2


async def test_a_cell_that_ended_while_no_gateway_was_there_is_not_taken_for_long_idle(
    world: Loopback, tmp_path: Path
) -> None:
    first = await world.gateway()
    kernel_id = await FrontEnd(first).start()
    tab = await FrontEnd(first).open(kernel_id)
    await tab.execute(
        "import os, time\n"
        f"while not os.path.exists('{tmp_path}/end'): time.sleep(0.01)\n"
        f"os.rename('{tmp_path}/end', '{tmp_path}/ended')"
    )
    key = only_key(world)
    await until(lambda: world.store.objects[key]["status"].get("activity", {}).get("busy"))
    await world.end(first)
    (tmp_path / "end").touch()
    await until(lambda: (tmp_path / "ended").exists())

    begun = now()
    second = await world.gateway()
    await until(lambda: second.kernels.kernels[kernel_id].last_execution > begun)


async def test_the_object_does_not_say_for_long_that_a_cell_runs_which_has_ended(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway(interval=3600)
    tab = await FrontEnd(gateway).open(await FrontEnd(gateway).start())
    gate = tmp_path / "gate"
    cell = await tab.execute(
        "import os, time\nprint('on', flush=True)\n"
        f"while not os.path.exists('{gate}'): time.sleep(0.01)"
    )
    await tab.until(lambda: cell.text() == "on\n")
    await gateway.kernels.cull_kernels()  # type: ignore[no-untyped-call]
    key = only_key(world)
    assert world.store.objects[key]["status"]["activity"]["busy"]
    gate.touch()
    await until(lambda: not world.store.objects[key]["status"]["activity"]["busy"])


async def test_a_woken_kernel_says_so_though_its_gateway_was_killed_as_it_started(
    world: Loopback,
) -> None:
    first = await world.gateway(idle=0.5)
    kernel_id = await FrontEnd(first).start()
    tab = await FrontEnd(first).open(kernel_id)
    await tab.run("x = 1")
    await until(lambda: not world.store.objects)
    world.store.hold = True
    await tab.execute("x")
    await until(lambda: world.store.objects)
    await world.end(first)

    second = await world.gateway()
    world.store.run(only_key(world))
    cell = await (await FrontEnd(second).open(kernel_id)).run("print('again')")
    assert cell.text() == "again\n"
    assert GONE in cell.text("stderr")
    await until(lambda: not world.tombstones)


async def test_a_notice_is_told_again_where_gateway_or_client_ended_right_after_it(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook server that was killed with its gateway, or alone, has passed nothing on."""
    # For ever on its way: only that its client leaves has it told again.
    monkeypatch.setattr(notice, "TRAVELS", 3600)
    first = await world.gateway()
    kernel_id = await FrontEnd(first).start()
    tab = await FrontEnd(first).open(kernel_id)
    await tab.run("x = 1")
    world.store.report(only_key(world), phase="Failed")
    await until(lambda: first.kernels.kernels[kernel_id].asleep)
    assert GONE in (await tab.run("1")).text("stderr")
    await world.end(first)

    gateway = await world.gateway()
    second = FrontEnd(gateway)
    tab = await second.open(kernel_id)
    assert GONE in (await tab.run("1")).text("stderr")
    assert (await tab.run("1")).text("stderr") == "", "it is told once"
    await tab.close()
    await until(lambda: not gateway.kernels.kernels[kernel_id].connections)

    monkeypatch.setattr(notice, "TRAVELS", 0.2)
    tab = await second.open(kernel_id)
    assert GONE in (await tab.run("1")).text("stderr"), "told again with the very next cell"
    await until(lambda: not world.tombstones)
    await tab.close()
    await until(lambda: not gateway.kernels.kernels[kernel_id].connections)
    tab = await second.open(kernel_id)
    assert (await tab.run("1")).text("stderr") == "", "it has arrived"


async def test_a_kernel_is_told_of_nothing_where_its_gateway_was_killed_before_the_reclaim(
    world: Loopback,
) -> None:
    """The tombstone was written, and the object not deleted yet."""
    first = await world.gateway(idle=0.5)
    kernel_id = await FrontEnd(first).start()
    tab = await FrontEnd(first).open(kernel_id)
    world.store.failing_deletes = 1_000_000
    await tab.run("x = 1")
    await until(lambda: world.tombstones)
    await world.end(first)
    world.store.failing_deletes = 0

    # It may have been asked to end.
    [process] = world.store.processes.values()
    process.kill()
    await until(lambda: process.poll() is not None)
    world.store.run(only_key(world))
    cell = await (await FrontEnd(await world.gateway()).open(kernel_id)).run("print('on')")
    assert (cell.text(), cell.text("stderr")) == ("on\n", "")
    await until(lambda: not world.tombstones)


@pytest.mark.parametrize("again", ["cell", "restart"])
async def test_a_kernel_is_known_to_the_next_gateway_while_its_object_is_replaced(
    world: Loopback, again: str
) -> None:
    first = await world.gateway()
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    world.store.answering.clear()
    if again == "cell":
        world.store.report(only_key(world), phase="Failed")
        await until(lambda: first.kernels.kernels[kernel_id].asleep)
        await tab.execute("x")
    else:
        restart = asyncio.create_task(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: not world.store.objects)
    await world.end(first)
    if again == "restart":
        restart.cancel()

    second = await world.gateway()
    assert list(second.kernels.kernels) == [kernel_id]
    world.store.answering.set()
    cell = await (await FrontEnd(second).open(kernel_id)).run("print('again')")
    assert cell.text() == "again\n"
    assert GONE in cell.text("stderr")


async def test_a_reclaimed_kernel_has_its_environment_after_a_gateway_restart(
    world: Loopback,
) -> None:
    env = {"KERNEL_A": "$(HOME) costs $5", "KERNEL_B": "x" * 30_000}
    first = await world.gateway(idle=0.3)
    kernel_id = await FrontEnd(first).start(env=env)
    await until(lambda: not world.store.objects)
    await world.end(first)
    assert json.dumps(world.tombstones[kernel_id]).count(env["KERNEL_B"]) == 1

    gateway = await world.gateway()
    assert gateway.kernels.kernels[kernel_id].wish.env == env
    await (await FrontEnd(gateway).open(kernel_id)).run("1")
    [body] = world.store.objects.values()
    said = {
        one["name"]: one["value"]
        for one in body["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert said["KERNEL_A"] == "$$(HOME) costs $$5"


async def test_a_kernel_whose_template_is_too_large_to_remember_gives_its_gpu_back(
    world: Loopback,
) -> None:
    edit(world, "large", env=[{"name": "LARGE", "value": "x" * 800_000}])
    first = await world.gateway(idle=0.3)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start("large", env={"KERNEL_A": "kept"})
    await (await front_end.open(kernel_id)).run("1")
    await until(lambda: not world.store.objects)
    cell = await (await front_end.open(kernel_id)).run("print('again')")
    assert cell.text() == "again\n"
    assert "kernel spec large" not in cell.text("stderr"), "this gateway knows everything yet"
    await until(lambda: not world.store.objects)
    await world.end(first)

    edit(world, "large", env=[{"name": "LARGE", "value": "less"}])
    gateway = await world.gateway()
    cell = await (await FrontEnd(gateway).open(kernel_id)).run("print('again')")
    assert cell.text() == "again\n"
    told = "Its pod template could not be remembered and came from kernel spec large again."
    assert told in cell.text("stderr")
    [body] = world.store.objects.values()
    env = body["spec"]["template"]["spec"]["containers"][0]["env"]
    said = {one["name"]: one["value"] for one in env}
    assert (said["LARGE"], said["KERNEL_A"]) == ("less", "kept")


async def test_a_kernel_whose_template_is_nowhere_any_more_says_so(world: Loopback) -> None:
    edit(world, "large", env=[{"name": "LARGE", "value": "x" * 800_000}])
    first = await world.gateway(idle=0.3)
    kernel_id = await FrontEnd(first).start("large")
    await until(lambda: not world.store.objects)
    await world.end(first)
    del world.catalog.specs["large"]
    cell = await (await FrontEnd(await world.gateway()).open(kernel_id)).run("1")
    assert cell.reply is not None
    assert "kernel spec large is gone" in cell.reply["content"]["evalue"]


async def test_a_kernel_that_cannot_be_remembered_at_all_gives_its_gpu_back(
    world: Loopback,
) -> None:
    world.tombstones.max_bytes = 0
    front_end = FrontEnd(await world.gateway(idle=0.3))
    tab = await front_end.open(await front_end.start())
    await tab.run("1")
    await until(lambda: not world.store.objects)
    assert (await tab.run("print('again')")).text() == "again\n"


async def test_a_kernel_spec_has_the_last_word_on_when_its_kernels_are_reclaimed(
    world: Loopback,
) -> None:
    edit(world, "patient", cullIdleTimeout=3600)
    front_end = FrontEnd(await world.gateway(idle=0.5))
    patient = await front_end.start("patient")
    other = await front_end.start()
    for kernel_id in (patient, other):
        await (await front_end.open(kernel_id)).run("1")
    await until(lambda: [key.name for key in world.store.objects] == [f"ann-{patient}"])
    reclaim_at = reclaim_at_of(world)
    assert reclaim_at is not None
    assert reclaim_at > now() + timedelta(minutes=50)

    edit(world, "patient", cullIdleTimeout=0)
    await until(lambda: reclaim_at_of(world) is None)
    edit(world, "patient", cullIdleTimeout=1)
    await until(lambda: not world.store.objects)


def reclaim_at_of(world: Loopback) -> datetime | None:
    """Return when the only kernel is to be reclaimed, as its object says."""
    said = world.store.objects[only_key(world)]["status"]["activity"].get("reclaimAt")
    return datetime.fromisoformat(said) if said else None


def edit(world: Loopback, name: str, **spec: Any) -> None:
    """Have somebody apply a JupyterKernelSpec."""
    world.catalog.specs[name] = JupyterKernelSpec.model_validate(a_kernel_spec(name, **spec))


async def test_variables_survive_a_killed_gateway(world: Loopback) -> None:
    first = await world.gateway()
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 41")
    await world.end(first)

    front_end = FrontEnd(await world.gateway())
    tab = await front_end.open(kernel_id)
    assert (await tab.run("print(x + 1)")).text() == "42\n"


async def test_a_recovered_busy_kernel_is_not_idle(world: Loopback, tmp_path: Path) -> None:
    first = await world.gateway()
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    go_on = tmp_path / "go on"
    cell = await tab.execute(
        "print('on', flush=True)\nimport os, time\n"
        f"while not os.path.exists({str(go_on)!r}):\n    time.sleep(0.05)\nx = 1"
    )
    await tab.until(lambda: cell.text() == "on\n")
    key = only_key(world)
    world.store.report(
        key,
        activity={"lastActivity": (datetime.now(UTC) - timedelta(hours=1)).isoformat()},
    )
    await world.end(first)

    second = await world.gateway(idle=10)
    verdict = second.kernel_manager.kernels[kernel_id].verdict(datetime.now(UTC))
    assert (verdict.action, verdict.reason) == (idle.Action.KEEP, "Busy")
    go_on.touch()
    tab = await FrontEnd(second).open(kernel_id)
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_an_orderly_end_loses_no_line(world: Loopback) -> None:
    first = await world.gateway()
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    lines = 60
    cell = await tab.execute(
        f"import time\nfor n in range({lines}):\n    print(n, flush=True)\n    time.sleep(0.05)"
    )
    await tab.until(lambda: "5\n" in cell.text())
    second = await world.gateway()
    await second.kernel_manager.recovered.wait()
    first.stop = lambda *_: None
    await first._hand_over()
    with pytest.raises(AssertionError, match="closed"):
        await tab.until(lambda: False)
    assert tab.ws.close_code == 1012

    query = f"&last_msg_id={tab.last_iopub}&close_code={tab.ws.close_code}"
    again = await FrontEnd(second).open(kernel_id, query=query)
    assert again.resumed == "covered"
    again.adopt(cell)
    await again.until(lambda: cell.idle)
    assert cell.text() == "".join(f"{n}\n" for n in range(lines))


@pytest.mark.parametrize(
    "remembers",
    [
        pytest.param(True, id="and remembers the last message"),
        pytest.param(False, id="and is a new process, as a notebook server after a restart"),
    ],
)
async def test_a_front_end_that_was_away_gets_what_it_missed(
    world: Loopback, remembers: bool
) -> None:
    gateway = await world.gateway(interval=3600)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute(
        "import time\nfor n in range(20):\n    print(n, flush=True)\n    time.sleep(0.05)"
    )
    await tab.until(lambda: "3\n" in cell.text())
    # As the culler does every few seconds while everybody is there.
    gateway.kernels.kernels[kernel_id].returning.trim(now())
    if remembers:
        tab.ws.close()
    else:
        await tab.close_and_read(cell)
    query = f"&last_msg_id={tab.last_iopub}" if remembers else ""
    again = await front_end.open(kernel_id, query=query)
    assert again.resumed == ("covered" if remembers else None)
    again.adopt(cell)
    await again.until(lambda: cell.done)
    assert cell.text() == "".join(f"{n}\n" for n in range(20))


async def test_a_page_is_told_that_its_kernel_starts_and_when_it_is_there(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    world.store.hold = True
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.until(lambda: tab.states == ["starting"])
    world.store.run(only_key(world))
    await tab.until(lambda: tab.states[:2] == ["starting", "idle"])
    late = await front_end.open(kernel_id, session="tab-2")
    await late.run("1")
    assert "starting" not in late.states


async def test_waiting_shows_the_place_and_an_interrupt_cancels_it(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    world.store.hold = True
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute("1")
    await tab.until(lambda: len(cell.waiting) == 1)
    queue = {"position": 2, "length": 3, "reason": "1 Insufficient nvidia.com/gpu."}
    world.store.report(only_key(world), phase="Queued", queue=queue)
    await tab.until(lambda: "2nd of 3" in cell.waiting[-1])

    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert cell.reply["content"]["ename"] == "KeyboardInterrupt"
    await until(lambda: not world.store.objects)

    world.store.hold = False
    assert (await tab.run("print('later')")).text() == "later\n"


async def test_cells_sent_while_waiting_run_in_order(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    world.store.hold = True
    tab = await front_end.open(await front_end.start())
    cells = [await tab.execute(f"seen = [*globals().get('seen', []), {n}]") for n in range(3)]
    world.store.run(only_key(world))
    await tab.until(lambda: all(cell.done for cell in cells))
    assert (await tab.run("print(seen)")).text() == "[0, 1, 2]\n"


async def test_a_lost_pod_ends_the_cell_with_the_reason(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    tab = await front_end.open(await front_end.start())
    cell = await tab.execute("print('on', flush=True)\nimport time\ntime.sleep(600)")
    await tab.until(lambda: cell.text() == "on\n")
    world.store.report(
        only_key(world),
        phase="Failed",
        conditions=[
            {"type": "Failed", "status": "True", "reason": "OOMKilled", "message": "1Gi is used up"}
        ],
    )
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert "OOMKilled: 1Gi is used up" in cell.reply["content"]["evalue"]
    again = await tab.run("print('again')")
    assert again.text() == "again\n"
    assert "OOMKilled" in again.text("stderr")


async def test_a_failed_kernel_whose_object_is_deleted_is_known_to_the_next_gateway(
    world: Loopback,
) -> None:
    first = await world.gateway()
    kernel_id = await FrontEnd(first).start()
    await (await FrontEnd(first).open(kernel_id)).run("1")
    key = only_key(world)
    world.store.report(key, phase="Failed")
    await until(lambda: first.kernels.kernels[kernel_id].asleep)
    await world.store.delete(key, uid=world.store.objects[key]["metadata"]["uid"])
    await until(lambda: kernel_id in world.tombstones)
    await world.end(first)
    tab = await FrontEnd(await world.gateway()).open(kernel_id)
    assert (await tab.run("print('again')")).text() == "again\n"


async def test_the_end_of_one_kernel_is_not_the_end_of_another(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    leaving = await front_end.start()
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    key = next(key for key in world.store.objects if key.name.endswith(leaving))
    await world.store.delete(key, uid=world.store.objects[key]["metadata"]["uid"])
    assert (await tab.run("print(x)")).text() == "1\n"


async def test_a_start_that_takes_too_long_ends_the_cell_and_leaves_nothing(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway(launch_timeout=1))
    world.store.hold = True
    tab = await front_end.open(await front_end.start())
    cell = await tab.execute("1")
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert "within 1 s" in cell.reply["content"]["evalue"]
    await until(lambda: not world.store.objects)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/kernels"),
        ("POST", "/api/kernels"),
        ("GET", "/api/kernels/x"),
        ("GET", "/api/kernels/x/channels"),
    ],
)
async def test_a_gateway_that_reads_its_kernels_says_when_to_ask_again(
    world: Loopback, method: str, path: str
) -> None:
    gateway = await world.gateway()
    gateway.kernel_manager.recovered.clear()
    kernel_id = "0" * 8 + "-0000-4000-8000-" + "0" * 12
    answer = await FrontEnd(gateway).rest(method, path.replace("x", kernel_id))
    assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
    assert json.loads(answer.body)["message"] == "the gateway is reading its kernels"
    gateway.kernel_manager.recovered.set()
    assert world.store.objects == {}


async def test_a_place_in_the_queue_does_not_run_out(world: Loopback) -> None:
    limit = 5.0  # seconds, which the connection has to keep
    front_end = FrontEnd(await world.gateway(launch_timeout=limit))
    world.store.hold = True
    tab = await front_end.open(await front_end.start())
    address = world.store.run(only_key(world), told=False)  # ready by then, on a busy machine, too
    cell = await tab.execute("print('at last')")
    queue = {"position": 1, "length": 3, "reason": "1 Insufficient nvidia.com/gpu."}
    world.store.report(only_key(world), phase="Queued", queue=queue)
    await tab.until(lambda: any("1st of 3" in text for text in cell.waiting))
    waited = now() + timedelta(seconds=limit + 0.5)
    await until(lambda: now() > waited)
    assert not cell.done

    world.store.report(only_key(world), phase="Running", podIP=address)
    await tab.until(lambda: cell.done)
    assert cell.text() == "at last\n", cell.messages


async def test_a_place_in_the_queue_runs_out_where_there_is_a_limit(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(queue_timeout=1))
    world.store.hold = True
    tab = await front_end.open(await front_end.start())
    cell = await tab.execute("1")
    queue = {"position": 1, "length": 3, "reason": "1 Insufficient nvidia.com/gpu."}
    world.store.report(only_key(world), phase="Queued", queue=queue)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    for words in ("within 1 s (queueTimeoutSeconds", "1st of 3", "Insufficient nvidia.com/gpu"):
        assert words in cell.reply["content"]["evalue"]
    await until(lambda: not world.store.objects)


async def test_a_start_is_limited_also_after_a_gateway_restart(world: Loopback) -> None:
    first = await world.gateway()
    world.store.hold = True
    kernel_id = await FrontEnd(first).start()
    await world.end(first)
    front_end = FrontEnd(await world.gateway(launch_timeout=3))
    cell = await (await front_end.open(kernel_id)).run("1")
    assert cell.reply is not None
    assert "within 3 s (launchTimeoutSeconds" in cell.reply["content"]["evalue"]
    await until(lambda: not world.store.objects)


async def test_what_threatens_a_kernel_is_told_in_the_cells_that_run(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    tab = await front_end.open(await front_end.start())
    cell = await tab.execute("print('on', flush=True)\nimport time\ntime.sleep(600)")
    await tab.until(lambda: cell.text() == "on\n")
    lost = {"type": "Running", "status": "True", "reason": "NodeLost", "message": "n is away"}
    world.store.report(only_key(world), conditions=[lost])
    await tab.until(lambda: "NodeLost: n is away" in cell.text("stderr"))
    assert not cell.done
    waiting = await tab.execute("1")
    await tab.until(lambda: "NodeLost: n is away" in waiting.text("stderr"))


@pytest.mark.parametrize("template", [{"spec": "no pod"}, {"spec": {"containers": ["no pod"]}}])
async def test_a_kernel_that_is_no_pod_does_not_end_the_gateway(
    world: Loopback, template: dict[str, Any]
) -> None:
    first = await world.gateway()
    await FrontEnd(first).start()
    key = only_key(world)
    metadata = {**world.store.objects[key]["metadata"], "name": "by-hand", "uid": "uid-by-hand"}
    broken = {"metadata": metadata, "spec": {"kernelID": "bad", "template": template}}
    world.store.objects[Key("team", "by-hand")] = broken
    await world.end(first)

    assert len(await FrontEnd(await world.gateway()).kernels()) == 1


async def test_a_spec_whose_template_is_missing_is_refused_with_its_name(world: Loopback) -> None:
    world.catalog.specs["gpu"] = JupyterKernelSpec.model_validate(
        {"metadata": {"name": "gpu", "namespace": "team"}, "spec": {"template": {"name": "gone"}}}
    )
    response = await FrontEnd(await world.gateway()).rest("POST", "/api/kernels", {"name": "gpu"})
    assert response.code == 400
    assert "no JupyterKernelTemplate gone" in json.loads(response.body)["message"]
    assert not world.tombstones


async def test_shutdown_removes_the_object_and_the_tombstone(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("1")
    assert (await front_end.rest("DELETE", f"/api/kernels/{kernel_id}")).code == 204
    assert not world.store.objects
    assert not world.tombstones
    assert (await front_end.rest("GET", f"/api/kernels/{kernel_id}")).code == 404


async def test_a_refused_kernel_is_told_with_the_clusters_words(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    world.store.refusal = Forbidden("exceeded quota: pods=10")
    response = await front_end.rest("POST", "/api/kernels", {"name": "python3"})
    assert response.code == 403
    assert "exceeded quota" in json.loads(response.body)["message"]
    assert not world.tombstones
    assert await front_end.kernels() == []


async def test_an_unknown_kernel_spec_is_refused_with_the_names_there_are(
    world: Loopback,
) -> None:
    response = await FrontEnd(await world.gateway()).rest("POST", "/api/kernels", {"name": "nope"})
    assert response.code == 400
    assert "this gateway has python3" in json.loads(response.body)["message"]


async def test_a_kernel_that_sleeps_too_long_is_forgotten_without_a_restart(
    world: Loopback,
) -> None:
    first = await world.gateway(idle=0.5)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    await (await front_end.open(kernel_id)).run("x = 1")
    await until(lambda: world.tombstones and not world.store.objects)
    await world.end(first)
    soon = now() - TOMBSTONE_AGE + timedelta(seconds=3)
    world.tombstones[kernel_id]["at"] = soon.isoformat()

    gateway = await world.gateway()
    assert kernel_id in gateway.kernels.kernels
    await until(lambda: not gateway.kernels.kernels)
    assert not world.tombstones


async def test_a_kernel_that_answers_on_its_shell_channel_alone_is_taken_over(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R's reads of its control channel only that it is to end."""
    first = await world.gateway()
    kernel_id = await FrontEnd(first).start()
    await (await FrontEnd(first).open(kernel_id)).run("x = 1")
    await world.end(first)
    ask = Probe._ask_for_info

    async def ask_in_vain(probe: Probe, channel: str) -> dict[str, Any]:
        return await ask(probe, channel) if channel == "shell" else await asyncio.Event().wait()

    monkeypatch.setattr(Probe, "_ask_for_info", ask_in_vain)
    tab = await FrontEnd(await world.gateway()).open(kernel_id)
    assert (await tab.run("print(x)")).text() == "1\n"
