"""The memory limit of a kernel, kept by a control group where one can be made."""

import os
import signal
from pathlib import Path

import pytest

from elastic_jupyter.local import cgroup
from tests.support.objects import until
from tests.support.one_machine import OneMachine
from tests.unit.local.test_kernel import IN_ITS_GROUP, STAYS, condition, needs_groups

LIMIT = {"resources": {"limits": {"memory": "64Mi"}}}
EATS = "print('so far', flush=True)\nx = bytearray(2**28)\n"


@needs_groups
async def test_a_kernel_that_uses_more_than_its_limit_is_killed_and_told(
    machine: OneMachine,
) -> None:
    machine.start()
    key = await machine.run(IN_ITS_GROUP + EATS, container=LIMIT)
    failed = condition(await machine.until_phase(key, "Failed"), "Failed")
    assert (failed["reason"], failed["message"]) == (
        "OOMKilled",
        "the kernel used more memory than its limit of 64Mi and was killed: so far",
    )


@needs_groups
async def test_what_a_kernel_starts_counts_too(machine: OneMachine) -> None:
    machine.start()
    code = f"import subprocess, sys\nsys.exit(subprocess.call([sys.executable, '-c', {EATS!r}]))"
    key = await machine.run(IN_ITS_GROUP + code, container=LIMIT)
    failed = condition(await machine.until_phase(key, "Failed"), "Failed")
    # The kernel itself survived, and ended as a shell would.
    assert failed["message"].startswith("the kernel's process ended with exit code 247")


@needs_groups
async def test_within_its_limit_a_kernel_lives(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(f"x = bytearray(2**24)\n{STAYS}", container=LIMIT)
    running = condition(await machine.until_phase(key, "Running"))
    assert (running["reason"], running["message"]) == ("Started", "")


@needs_groups
async def test_the_group_of_a_kernel_goes_with_it(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(STAYS, container=LIMIT)
    await machine.until_phase(key, "Running")
    uid = (await machine.store.get(key)).metadata.uid
    groups = cgroup.find()
    assert groups is not None
    group = groups.group(f"{uid}.1")
    (main,) = machine.processes()
    assert group.pids() == {main.pid}
    await machine.delete(key)
    await until(lambda: not group.path.exists())


async def test_without_control_groups_a_kernel_runs_and_is_told_that_it_has_no_limit(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "find", lambda: None)
    machine.start()
    key = await machine.run(STAYS, container=LIMIT)
    running = condition(await machine.until_phase(key, "Running"))
    assert (running["reason"], running["message"]) == (
        "Started",
        "its memory limit of 64Mi is not kept: elastic-jupyter can make no control group here",
    )


@needs_groups
async def test_without_control_groups_the_machine_tells_that_its_memory_ran_out(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = cgroup.find()
    assert groups is not None
    monkeypatch.setattr(cgroup, "find", lambda: None)
    machine.start()
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    key = await machine.run(f"{wait}{EATS}")
    (main,) = await machine.until_processes(1)
    little = groups.group(f"test-{os.getpid()}")
    little.make(2**26)
    try:
        little.join(main.pid)
        (machine.notebooks / "go").touch()
        failed = condition(await machine.until_phase(key, "Failed"), "Failed")
    finally:
        little.remove()
    assert (failed["reason"], failed["message"]) == (
        "OOMKilled",
        "the kernel was killed (SIGKILL), probably because the memory of the machine ran out: "
        "so far",
    )


async def test_a_kernel_that_somebody_kills_has_not_run_out_of_memory(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(STAYS, container=LIMIT)
    await machine.until_phase(key, "Running")
    (main,) = machine.processes()
    os.kill(main.pid, signal.SIGKILL)
    failed = condition(await machine.until_phase(key, "Failed"), "Failed")
    assert failed["reason"] == "Error"


V1 = (
    "35 32 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n36 32 0:3 / /cg/cpu rw - cgroup c rw,cpu"
)
V2 = "41 31 0:38 / /cg/unified rw,relatime - cgroup2 cgroup2 rw"


@pytest.mark.parametrize(
    ("own", "mounts", "controller", "want"),
    [
        pytest.param(
            "4:memory:/a/b\n3:cpu:/c",
            V1,
            "memory",
            ["/cg/memory/a/b", "/cg/memory/a", "/cg/memory"],
            id="version 1: below our own, then above",
        ),
        pytest.param(
            "4:memory:/docker/x/y",
            V1.replace(" / /cg/memory", " /docker/x /cg/memory"),
            "memory",
            ["/cg/memory/y", "/cg/memory"],
            id="a container sees a part",
        ),
        pytest.param("0::/user.slice", V2, "", ["/cg/unified/user.slice", "/cg/unified"], id="v2"),
        pytest.param("0::/", V2, "memory", [], id="version 2 is no version 1"),
        pytest.param("0::/", V1, "", [], id="version 1 is no version 2"),
    ],
)
def test_where_our_group_may_be(own: str, mounts: str, controller: str, want: list[str]) -> None:
    folders = cgroup.own_folders(own, mounts, controller=controller)
    assert list(folders) == [Path(one) for one in want]
