"""What happens to kernels when the supervisor is killed, and when it is stopped."""

import asyncio
import json
import os
import signal
from dataclasses import replace
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from elastic_jupyter.api import names
from elastic_jupyter.local import cgroup, proc
from elastic_jupyter.local.folder import Folder, Note
from elastic_jupyter.local.proc import Incarnation
from tests.support.objects import until
from tests.support.one_machine import OneMachine
from tests.unit.local.test_kernel import STAYS, a_sleep, condition, needs_groups, running


async def test_a_kernel_outlives_its_supervisor_with_all_its_variables(
    machine: OneMachine,
) -> None:
    with machine.another_supervisor():
        key = await machine.create()
        await machine.until_phase(key, "Running")
        assert await _value(machine, "x = 41; x") == "41"
        (before,) = machine.pids()
    machine.start()
    assert await _value(machine, "x + 1") == "42"
    assert machine.pids() == [before]
    # It is watched again: its end is seen, and how it ended is not known.
    os.kill(before, signal.SIGKILL)
    failed = condition(await machine.until_phase(key, "Failed"), "Failed")
    assert failed["reason"] == "ProcessGone"
    assert failed["message"].startswith("the kernel's process ended, with which exit code is not")


async def test_a_kernel_that_was_taken_over_ends_with_its_object(machine: OneMachine) -> None:
    sleep = a_sleep()
    with machine.another_supervisor():
        key = await machine.run(
            f"import subprocess\nsubprocess.Popen({sleep}, start_new_session=True)\n{STAYS}"
        )
        await machine.until_phase(key, "Running")
        await until(lambda: running(sleep))
    machine.start()
    await machine.delete(key)
    await machine.until_processes(0)
    assert running(sleep) == []
    await until(lambda: not machine.folder(key).exists())


async def test_a_kernel_that_was_deleted_meanwhile_is_ended(machine: OneMachine) -> None:
    with machine.another_supervisor():
        key = await machine.run(STAYS)
        await machine.until_phase(key, "Running")
    await machine.delete(key)
    assert len(machine.pids()) == 1
    machine.start()
    await machine.until_processes(0)
    await until(lambda: not machine.folder(key).exists())


async def test_a_kernel_that_ended_meanwhile_is_told(machine: OneMachine) -> None:
    with machine.another_supervisor():
        key = await machine.run(STAYS)
        await machine.until_phase(key, "Running")
    (left,) = machine.pids()
    os.kill(left, signal.SIGKILL)
    await machine.until_processes(0)
    machine.start()
    failed = condition(await machine.until_phase(key, "Failed"), "Failed")
    assert (failed["reason"], failed["message"]) == (
        "ProcessGone",
        "the kernel's process is gone; elastic-jupyter was not running when it ended: here",
    )


@needs_groups
async def test_a_kernel_that_has_lost_its_environment_is_found_in_its_control_group(
    machine: OneMachine,
) -> None:
    sleep = a_sleep()
    with machine.another_supervisor():
        key = await machine.create(container={"command": ["env", "-i", *sleep]})
        await machine.until_phase(key, "Running")
        await until(lambda: running(sleep))
    machine.start()
    await until(lambda: machine.folder(key).exists())
    await machine.delete(key)
    await until(lambda: not running(sleep))


async def test_what_is_left_of_a_kernel_is_not_taken_for_it(machine: OneMachine) -> None:
    sleep = a_sleep()
    with machine.another_supervisor():
        key = await machine.run(
            f"import subprocess\nsubprocess.Popen({sleep}, start_new_session=True)\n{STAYS}"
        )
        await machine.until_phase(key, "Running")
        await until(lambda: running(sleep))
    main = json.loads((machine.folder(key) / "process.json").read_text())["pid"]
    os.kill(main, signal.SIGKILL)
    machine.start()
    await machine.until_phase(key, "Failed")
    await until(lambda: not running(sleep))


async def test_a_process_that_no_status_tells_of_yet_is_not_doubled(machine: OneMachine) -> None:
    """The supervisor was killed between making the process and writing it down."""
    with machine.another_supervisor():
        key = await machine.run(STAYS)
        await machine.until_phase(key, "Running")
        (before,) = machine.pids()
    await _forget_status(machine, key)
    machine.start()
    status = await machine.until_phase(key, "Running")
    assert machine.pids() == [before]
    assert status["podName"] == key.name
    assert status["podIP"] == Folder(machine.folder(key)).ip()


async def test_a_process_that_no_note_tells_of_yet_is_not_doubled(machine: OneMachine) -> None:
    with machine.another_supervisor():
        key = await machine.run(STAYS)
        await machine.until_phase(key, "Running")
        (before,) = machine.pids()
    await _forget_status(machine, key)
    folder = Folder(machine.folder(key))
    note = folder.note()
    assert note is not None
    folder.write_note(replace(note, pid=None))
    machine.start()
    await machine.until_phase(key, "Running")
    assert machine.pids() == [before]


async def test_a_kernel_whose_process_was_not_made_yet_is_started(machine: OneMachine) -> None:
    """The supervisor was killed between making the folder and the process."""
    key = await machine.run(STAYS)
    uid = (await machine.store.get(key)).metadata.uid or ""
    Folder(machine.folder(key)).make(Note(Incarnation(uid, 1)), {"ip": "127.64.0.1"})
    machine.start()
    await machine.until_phase(key, "Running")
    await machine.until_processes(1)


async def test_the_processes_of_another_state_directory_are_nobodys_business(
    machine: OneMachine, tmp_path_factory: Any
) -> None:
    other = OneMachine(tmp_path_factory.mktemp("other"))
    try:
        other.start()
        key = await other.run(STAYS)
        await other.until_phase(key, "Running")
        machine.start()
        mine = await machine.run(STAYS)
        await machine.until_phase(mine, "Running")
        assert len(other.processes()) == 1
    finally:
        await other.close()


async def test_a_supervisor_that_is_stopped_ends_all_kernels_and_says_so(
    machine: OneMachine,
) -> None:
    machine.start()
    one, two = await machine.run(STAYS, name="one"), await machine.run(STAYS, name="two")
    ended = await machine.run("pass", name="ended")
    await machine.until_phase(one, "Running")
    await machine.until_phase(two, "Running")
    before = await machine.until_phase(ended, "Succeeded")
    await machine.stop()
    assert machine.processes() == []
    for key in (one, two):
        failed = condition(await machine.until_phase(key, "Failed"), "Failed")
        assert (failed["reason"], failed["message"]) == (
            "Stopped",
            "elastic-jupyter was stopped on this machine, and its kernels with it",
        )
    assert await machine.until_phase(ended, "Succeeded") == before


async def test_a_supervisor_that_is_stopped_warns_of_no_kernel_that_was_just_deleted(
    machine: OneMachine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.start()
    key = await machine.run(STAYS)
    await machine.until_phase(key, "Running")
    await machine.delete(key)  # the watch tells it a moment later
    await machine.stop()
    assert machine.processes() == []
    assert caplog.messages == [], "whoever types Ctrl-C reads this"


async def test_however_often_the_supervisor_is_killed_each_kernel_has_one_process(
    machine: OneMachine,
) -> None:
    keys = [await machine.run(STAYS, name=f"kernel-{number}") for number in range(6)]
    for count in range(1, 6):  # each comes a process further, and is killed right then
        with machine.another_supervisor():
            await until(lambda count=count: len(machine.pids()) >= count)
    gone = keys.pop()
    await machine.delete(gone)
    machine.start()
    for key in keys:
        await machine.until_phase(key, "Running")
    found = await machine.until_processes(len(keys))
    uids = {(await machine.store.get(key)).metadata.uid for key in keys}
    assert {seen.incarnation.uid for seen in found if seen.incarnation} == uids


async def _value(machine: OneMachine, code: str) -> str:
    """Return what a cell's last line is worth in the only kernel that there is."""
    (folder,) = (machine.state / "kernels").iterdir()
    client = AsyncKernelClient()
    client.load_connection_info(json.loads((folder / "connection.json").read_text()))
    client.start_channels(hb=False)  # a machine that is busy is slow, and not dead
    try:
        await client.wait_for_ready(timeout=30)
        values = []
        await client.execute_interactive(
            code,
            timeout=30,
            output_hook=lambda message: values.append(message["content"]),
        )
        return next(one["data"]["text/plain"] for one in values if "data" in one)
    finally:
        client.stop_channels()


async def _forget_status(machine: OneMachine, key: Any) -> None:
    kernel = await machine.store.get(key)
    assert kernel.status is not None
    nothing = dict.fromkeys(kernel.status.to_dict())
    await machine.store.patch_status(key, nothing, version=kernel.metadata.resource_version or "")


COUNTS = """
import signal, time
def count(*_):
    with open({file!r}, "a") as file: file.write("x")
signal.signal(signal.SIGINT, count)
open({file!r}, "a").close()
while True: time.sleep(0.1)
"""


async def test_an_interrupt_by_signal_reaches_all_that_a_kernel_runs_and_is_never_sent_twice(
    machine: OneMachine,
) -> None:
    child, main = COUNTS.format(file="child"), COUNTS.format(file="main")
    files = [machine.notebooks / name for name in ("child", "main")]

    async def interrupt(at: str) -> None:
        uid = (await machine.store.get(key)).metadata.uid or ""
        await machine.store.annotate(key, {names.ANNOTATION_INTERRUPTED_AT: at}, uid=uid)

    with machine.another_supervisor():
        code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n"
        key = await machine.run(code + main)
        await until(lambda: all(file.exists() for file in files))
        await machine.until_phase(key, "Running")
        await interrupt("2026-01-01T00:00:01Z")
        await until(lambda: [file.read_text() for file in files] == ["x", "x"])
    machine.start()
    # Once a kernel that was asked for later runs, the one before was looked at.
    late = await machine.run(STAYS, name="late")
    await machine.until_phase(late, "Running")
    await interrupt("2026-01-01T00:00:02Z")
    await until(lambda: [file.read_text() for file in files] == ["xx", "xx"])


async def test_what_an_earlier_supervisor_left_ends_with_one_that_had_no_time_to_find_it(
    machine: OneMachine,
) -> None:
    with machine.another_supervisor():
        key = await machine.run(STAYS)
        await machine.until_phase(key, "Running")
    machine.start()
    await machine.stop()  # a Ctrl-C before the first look
    assert machine.pids() == []


async def test_a_kernel_that_wiped_its_environment_is_found_by_pid_and_start(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no control group tells whose it is."""
    monkeypatch.setattr(cgroup, "find", lambda: None)
    code = f"import os, sys\nos.execve(sys.executable, ['python', '-c', {STAYS!r}], {{}})"
    with machine.another_supervisor(groups=False):
        key = await machine.run(code)
        await machine.until_phase(key, "Running")
        folder = Folder(machine.folder(key))
        await until(lambda: "here" in folder.last_words())
    note = folder.note()
    assert note is not None
    assert machine.pids() == []
    machine.start()
    # Once a kernel that was asked for later runs, the one before was looked at.
    late = await machine.run(STAYS, name="late")
    await machine.until_phase(late, "Running")
    await machine.until_phase(key, "Running")
    await machine.delete(key)
    await until(lambda: note.pid not in {seen.pid for seen in proc.processes(machine.state)})


async def test_a_later_process_with_the_pid_of_a_kernel_is_left_alone(machine: OneMachine) -> None:
    """The pid came round while no supervisor ran, to somebody else."""
    with machine.another_supervisor():
        key = await machine.run(STAYS)
        await machine.until_phase(key, "Running")
    (pid,) = machine.pids()
    os.kill(pid, signal.SIGKILL)
    stranger = await asyncio.create_subprocess_exec(*a_sleep(), start_new_session=True)
    try:
        folder = Folder(machine.folder(key))
        note = folder.note()
        assert note is not None
        folder.write_note(replace(note, pid=stranger.pid, cgroup=None))
        machine.start()
        failed = condition(await machine.until_phase(key, "Failed"), "Failed")
        assert failed["reason"] == "ProcessGone"
        await machine.delete(key)
        await until(lambda: not folder.path.exists())
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
