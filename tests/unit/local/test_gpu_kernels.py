"""Kernels of one machine that want GPUs: stand-ins for hardware, real leases and processes."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from elastic_jupyter.clock import SystemClock
from elastic_jupyter.local import gpus
from elastic_jupyter.local.leases import Leases
from elastic_jupyter.local.line import Applicant
from elastic_jupyter.local.shared_directory import SharedDirectory
from tests.support.clock import START
from tests.support.objects import until
from tests.support.one_machine import OneMachine, one_machine
from tests.unit.local.test_kernel import STAYS, condition

GPU = {"resources": {"limits": {"nvidia.com/gpu": 1}}}


def leases(everybodys: Path, total: int = 1) -> Leases:
    return Leases(SharedDirectory(everybodys / "leases"), gpus.inventory(total), SystemClock())


@pytest_asyncio.fixture
async def machine(tmp_path: Path, everybodys: Path) -> AsyncIterator[OneMachine]:
    async with one_machine(tmp_path, leases(everybodys)) as machine:
        yield machine


async def test_who_asked_later_waits_until_the_gpu_is_free(machine: OneMachine) -> None:
    machine.start()
    first = await machine.run(STAYS, name="first", container=GPU, user="ann")
    await machine.until_phase(first, "Running")
    second = await machine.run(STAYS, name="second", container=GPU, user="bob")
    status = await machine.until_phase(second, "Queued")
    assert (status["queue"]["position"], status["queue"]["length"]) == (1, 1)
    assert "ann" in status["queue"]["reason"]
    assert "podName" not in status
    third = await machine.run(STAYS, name="third", container=GPU, user="cy")
    status = await machine.until(third, lambda status: status.get("queue"))
    assert (status["queue"]["position"], status["queue"]["length"]) == (2, 2)
    plain = await machine.run(STAYS, name="plain")
    await machine.until_phase(plain, "Running")
    await machine.delete(first)
    status = await machine.until_phase(second, "Running")
    assert "queue" not in status
    status = await machine.until(third, lambda status: status["queue"]["position"] == 1)
    assert "bob" in status["queue"]["reason"]


async def test_a_kernel_that_ends_gives_its_gpu_back(machine: OneMachine) -> None:
    machine.start()
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    first = await machine.run(wait, name="first", container=GPU)
    await machine.until_phase(first, "Running")
    second = await machine.run(STAYS, name="second", container=GPU)
    await machine.until_phase(second, "Queued")
    (machine.notebooks / "go").touch()
    await machine.until_phase(first, "Succeeded")
    await machine.until_phase(second, "Running")


async def test_a_kernel_whose_wait_ends_leaves_the_line(machine: OneMachine) -> None:
    machine.start()
    first = await machine.run(STAYS, name="first", container=GPU)
    await machine.until_phase(first, "Running")
    second = await machine.run(STAYS, name="second", container=GPU)
    await machine.until_phase(second, "Queued")
    third = await machine.run(STAYS, name="third", container=GPU)
    await machine.until(third, lambda status: status.get("queue", {}).get("position") == 2)
    await machine.delete(second)
    await machine.until(third, lambda status: status["queue"]["position"] == 1)


async def test_a_command_that_cannot_be_executed_keeps_no_gpu(machine: OneMachine) -> None:
    machine.start()
    bad = await machine.create("bad", container={"command": ["no-such-command"], **GPU})
    await machine.until_phase(bad, "Failed")
    good = await machine.run(STAYS, name="good", container=GPU)
    await machine.until_phase(good, "Running")


async def test_a_gpu_stays_a_kernels_own_when_its_supervisor_is_killed(
    machine: OneMachine, everybodys: Path
) -> None:
    with machine.another_supervisor(gpus=1, leases=everybodys / "leases"):
        first = await machine.run(STAYS, name="first", container=GPU, user="ann")
        await machine.until_phase(first, "Running")
    machine.start()
    second = await machine.run(STAYS, name="second", container=GPU)
    status = await machine.until_phase(second, "Queued")
    assert "ann" in status["queue"]["reason"]
    await machine.delete(first)
    await machine.until_phase(second, "Running")


async def test_a_kernel_that_was_taken_over_keeps_its_gpu_though_it_closes_what_it_inherited(
    machine: OneMachine, everybodys: Path
) -> None:
    """As code that becomes a daemon does."""
    with machine.another_supervisor(gpus=1, leases=everybodys / "leases"):
        code = (
            "import os, pathlib, time\n"
            "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
            "os.closerange(3, 65536)\n"
            "pathlib.Path('closed').touch()\n"
        )
        first = await machine.run(code + STAYS, name="first", container=GPU, user="ann")
        await machine.until_phase(first, "Running")
    machine.start()
    second = await machine.run(STAYS, name="second", container=GPU)
    await machine.until_phase(second, "Queued")
    (machine.notebooks / "go").touch()
    await until((machine.notebooks / "closed").exists)
    assert [holder.user for holder in leases(everybodys).holders()] == ["ann"]
    await machine.delete(first)
    await machine.until_phase(second, "Running")


async def test_a_kernel_that_waited_when_its_supervisor_was_killed_waits_on(
    machine: OneMachine, everybodys: Path
) -> None:
    with machine.another_supervisor(gpus=1, leases=everybodys / "leases"):
        first = await machine.run(STAYS, name="first", container=GPU)
        await machine.until_phase(first, "Running")
        second = await machine.run(STAYS, name="second", container=GPU)
        await machine.until_phase(second, "Queued")
    machine.start()
    await machine.delete(first)
    await machine.until_phase(second, "Running")


async def test_what_leaves_the_session_does_not_keep_the_gpu(machine: OneMachine) -> None:
    machine.start()
    code = (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '600'], start_new_session=True, close_fds=False)\n"
    )
    first = await machine.run(code, name="first", container=GPU)
    await machine.until_phase(first, "Succeeded")
    second = await machine.run(STAYS, name="second", container=GPU)
    await machine.until_phase(second, "Running")


async def test_more_gpus_than_the_machine_has_are_refused(machine: OneMachine) -> None:
    machine.start()
    two = {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    failed = condition(
        await machine.until_phase(await machine.run(STAYS, container=two), "Failed"), "Failed"
    )
    assert (failed["reason"], failed["message"]) == (
        "TooFewGPUs",
        "nvidia.com/gpu: 2 is asked for, and this machine has 1",
    )


async def test_a_supervisor_that_is_stopped_ends_those_that_wait_too(machine: OneMachine) -> None:
    machine.start()
    first = await machine.run(STAYS, name="first", container=GPU)
    await machine.until_phase(first, "Running")
    second = await machine.run(STAYS, name="second", container=GPU)
    await machine.until_phase(second, "Queued")
    await machine.stop()
    status = await machine.until_phase(second, "Failed")
    assert condition(status, "Failed")["reason"] == "Stopped"
    assert "queue" not in status


async def test_an_earlier_wish_goes_first(machine: OneMachine, everybodys: Path) -> None:
    """The order is that of the wishes, also between supervisors."""
    other, theirs = leases(everybodys), Applicant("theirs", "them", START)
    other.enter(theirs, 1)
    lease = other.try_lease(theirs)
    assert lease is not None
    machine.start()
    stamp = "2026-11-24T18:00:{}Z"
    late = await machine.run(
        STAYS,
        name="late",
        container=GPU,
        annotations={"kubeflow.tkestack.io/asked-at": stamp.format("02")},
    )
    await machine.until_phase(late, "Queued")
    early = await machine.run(
        STAYS,
        name="early",
        container=GPU,
        annotations={"kubeflow.tkestack.io/asked-at": stamp.format("01")},
    )
    await machine.until_phase(early, "Queued")
    await machine.until(late, lambda status: status["queue"]["position"] == 2)
    lease.hand_over()
    await machine.until_phase(early, "Running")


@pytest.mark.parametrize("container", [{}, GPU], ids=["no GPU", "a stand-in"])
async def test_a_kernel_without_hardware_sees_none(
    machine: OneMachine, container: dict[str, Any]
) -> None:
    machine.start(environ={**os.environ, "CUDA_VISIBLE_DEVICES": "0,1"})
    code = "import json, os\njson.dump(os.environ['CUDA_VISIBLE_DEVICES'], open('seen', 'w'))"
    key = await machine.run(code, container=container)
    await machine.until_phase(key, "Succeeded")
    assert json.loads((machine.notebooks / "seen").read_text()) == ""
