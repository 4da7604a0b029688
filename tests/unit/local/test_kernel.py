"""The life of kernels on one machine, with real processes."""

import contextlib
import itertools
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.local import cgroup, process
from elastic_jupyter.policy.keys import connection_key
from tests.support.kernels import KERNEL_ID
from tests.support.objects import until
from tests.support.one_machine import MASTER, OneMachine

STAYS = "import time\nprint('here', flush=True)\ntime.sleep(600)"


def condition(status: dict, kind: str = "Running") -> dict:
    return next(one for one in status["conditions"] if one["type"] == kind)


async def test_a_kernel_runs_and_has_an_address(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(STAYS)
    status = await machine.until_phase(key, "Running")
    assert status["podIP"].startswith("127.")
    assert status["podName"] == "jovyan-1"
    assert status["epoch"] == 1
    assert condition(status)["reason"] == "Started"
    await machine.until_processes(1)


@pytest.mark.parametrize(
    ("code", "phase", "reason", "message"),
    [
        pytest.param(
            "raise SystemExit(0)",
            "Succeeded",
            "Completed",
            "the kernel's process ended with exit code 0",
            id="ends by itself",
        ),
        pytest.param(
            "print('no more'); raise SystemExit(3)",
            "Failed",
            "Error",
            "the kernel's process ended with exit code 3: no more",
            id="ends with an exit code",
        ),
        pytest.param(
            "import os\nprint('last words'); os.kill(os.getpid(), 11)",
            "Failed",
            "Error",
            "the kernel's process ended with exit code 139 (SIGSEGV): last words",
            id="crashes",
        ),
        pytest.param(
            "import os\nos.kill(os.getpid(), 9)",
            "Failed",
            "Error",
            "the kernel's process ended with exit code 137 (SIGKILL)",
            id="is killed",
        ),
    ],
)
async def test_its_user_reads_how_a_kernel_ended(
    machine: OneMachine, code: str, phase: str, reason: str, message: str
) -> None:
    machine.start()
    key = await machine.run(code)
    status = await machine.until_phase(key, phase)
    assert (condition(status, phase)["reason"], condition(status, phase)["message"]) == (
        reason,
        message,
    )


async def test_what_a_kernel_finds_around_it(machine: OneMachine) -> None:
    environ = {**os.environ, "JPY_PARENT_PID": "77", "FROM_THE_MACHINE": "1", "OVERRULED": "0"}
    machine.start(environ=environ)
    code = (
        "import json, os, sys\n"
        "json.dump([dict(os.environ), os.getcwd(), os.getsid(0) == os.getpid(),\n"
        "           os.fstat(0).st_rdev == os.stat('/dev/null').st_rdev], open('seen', 'w'))\n"
    )
    project = machine.state / "project"
    project.mkdir()
    env = [
        {"name": "KERNEL_WORKING_DIR", "value": str(project)},
        {"name": "OVERRULED", "value": "1"},
        {"name": "PRICE", "value": "5$$"},
    ]
    key = await machine.run(code, container={"env": env}, user="ann")
    await machine.until_phase(key, "Succeeded")
    seen, folder, leads_session, no_input = json.loads((project / "seen").read_text())
    uid = (await machine.store.get(key)).metadata.uid
    want = {
        "FROM_THE_MACHINE": "1",
        "OVERRULED": "1",
        "PRICE": "5$",
        "KERNEL_ID": KERNEL_ID,
        "KERNEL_USERNAME": "ann",
        "KERNEL_NAMESPACE": "team",
        "JPY_PARENT_PID": "1",
        "ELASTIC_JUPYTER_INCARNATION": f"{uid}.1",
        "ELASTIC_JUPYTER_STATE": str(machine.state),
        "CUDA_VISIBLE_DEVICES": "",
    }
    assert {name: seen.get(name) for name in want} == want
    assert (folder, leads_session, no_input) == (str(project), True, True)


async def test_only_its_user_may_read_the_connection_file(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(STAYS)
    status = await machine.until_phase(key, "Running")
    folder = machine.folder(key)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {
        folder.name: 0o700,
        "connection.json": 0o600,
        "kernel.log": 0o600,
        "process.json": 0o600,
    }
    uid = (await machine.store.get(key)).metadata.uid or ""
    assert json.loads((folder / "connection.json").read_text()) == {
        "ip": status["podIP"],
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "key": connection_key(MASTER, uid),
        "kernel_name": "",
        **names.PORTS,
    }


@pytest.mark.parametrize(
    ("container", "reason", "says"),
    [
        pytest.param(
            {"command": ["no-such-command"]},
            "StartError",
            "no-such-command is not found in PATH",
            id="no such command",
        ),
        pytest.param(
            {"command": ["/etc/passwd"]},
            "StartError",
            "/etc/passwd: Permission denied",
            id="not executable",
        ),
        pytest.param(
            {"workingDir": "/no/such/folder"},
            "StartError",
            "workingDir: there is no folder /no/such/folder",
            id="no such folder",
        ),
        pytest.param(
            {"envFrom": [{"configMapRef": {"name": "x"}}]},
            "Invalid",
            "spec.template.spec.containers[0].envFrom",
            id="an object of a cluster",
        ),
        pytest.param(
            {"resources": {"limits": {"nvidia.com/gpu": 1}}},
            "TooFewGPUs",
            "nvidia.com/gpu: 1 is asked for, and this machine has 0",
            id="more GPUs than there are",
        ),
    ],
)
async def test_what_cannot_be_started_fails_and_says_why(
    machine: OneMachine, container: dict[str, Any], reason: str, says: str
) -> None:
    machine.start()
    key = await machine.create(container=container)
    status = await machine.until_phase(key, "Failed")
    failed = condition(status, "Failed")
    assert failed["reason"] == reason
    assert failed["message"].startswith(says)
    assert "podName" not in status
    assert not machine.folder(key).exists()


async def test_a_kernel_that_is_deleted_leaves_nothing(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(STAYS)
    await machine.until_phase(key, "Running")
    folder = machine.folder(key)
    await machine.delete(key)
    await machine.until_processes(0)
    await until(lambda: not folder.exists())


async def test_an_object_made_anew_under_the_same_name_gets_a_process_of_its_own(
    machine: OneMachine,
) -> None:
    machine.start()
    key = await machine.run(STAYS)
    await machine.until_phase(key, "Running")
    (before,) = machine.processes()
    await machine.delete(key)
    await machine.run(STAYS)
    await machine.until_phase(key, "Running")
    (after,) = machine.processes()
    assert after.incarnation != before.incarnation
    assert machine.folder(key).exists()


async def test_a_folder_that_cannot_be_made_is_told_and_tried_again(machine: OneMachine) -> None:
    machine.start()
    first = await machine.run(STAYS, name="first")
    await machine.until_phase(first, "Running")
    await machine.delete(first)
    in_the_way = machine.state / "kernels"
    await until(lambda: not machine.folder(first).exists())
    in_the_way.rmdir()
    in_the_way.touch()
    key = await machine.run(STAYS)
    status = await machine.until_phase(key, "Pending")
    assert condition(status)["reason"] == "Unavailable"
    assert condition(status)["message"].startswith(str(in_the_way))
    in_the_way.unlink()
    await machine.until_phase(key, "Running")


async def test_a_kernel_may_end_in_order_before_it_is_ended(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway tells a kernel to shut down and deletes the object in the same breath."""
    monkeypatch.setattr(process, "GRACE", 20)
    machine.start()
    code = (
        "import time, pathlib\n"
        "print('here', flush=True)\n"
        "while pathlib.Path('told').exists() is False: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "pathlib.Path('in-order').touch()\n"
    )
    key = await machine.run(code)
    await machine.until_phase(key, "Running")
    (machine.notebooks / "told").touch()
    await machine.delete(key)
    await machine.until_processes(0)
    assert (machine.notebooks / "in-order").exists()


GROUPS = cgroup.find()
needs_groups = pytest.mark.skipif(GROUPS is None, reason="no control group can be made here")


#: Of a program that is faster than the supervisor, as no kernel is: what it starts before it is in
#: its group is found by its environment or session alone.
IN_ITS_GROUP = (
    "import time\n"
    "while 'elastic-jupyter-' not in open('/proc/self/cgroup').read(): time.sleep(0.01)\n"
)


@pytest.mark.parametrize(
    "child",
    [
        pytest.param("subprocess.Popen(sleep)", id="a child"),
        pytest.param("subprocess.Popen(sleep, start_new_session=True)", id="left the session"),
        pytest.param("subprocess.Popen(sleep, env={})", id="wiped its environment"),
        pytest.param(
            "subprocess.Popen(sleep, env={}, start_new_session=True)", id="left and wiped"
        ),
        pytest.param("subprocess.Popen(['setsid', '-f', *sleep])", id="a daemon"),
        pytest.param("subprocess.Popen(['nohup', *sleep])", id="ignores the end of its terminal"),
        pytest.param(
            "subprocess.Popen(['env', '-i', 'setsid', '-f', *sleep])",
            id="a daemon that wiped its environment",
            marks=needs_groups,
        ),
    ],
)
async def test_what_a_kernel_has_started_ends_with_its_object(
    machine: OneMachine, child: str
) -> None:
    machine.start()
    sleep = a_sleep()
    first = IN_ITS_GROUP if GROUPS else ""
    key = await machine.run(f"{first}import subprocess\nsleep = {sleep}\n{child}\n{STAYS}")
    await until(lambda: running(sleep))
    await machine.until_phase(key, "Running")
    await machine.delete(key)
    await until(lambda: not running(sleep))


async def test_what_a_kernel_has_started_ends_with_its_process(machine: OneMachine) -> None:
    machine.start()
    sleep = a_sleep()
    key = await machine.run(
        "import subprocess, sys\n"
        f"subprocess.Popen({sleep}, start_new_session=True)\n"
        f"subprocess.Popen({sleep}, env={{}})\n"
        "sys.stdin.read()\n"
    )
    await machine.until_phase(key, "Succeeded")
    await until(lambda: not running(sleep))


async def test_processes_that_breed_while_they_are_killed_end_all_the_same(
    machine: OneMachine,
) -> None:
    machine.start()
    breed = "for _ in range(7):\n    os.fork() or os.setsid()\n    time.sleep(0.05)"
    key = await machine.run(f"import os, time\n{breed}\n{STAYS}")
    await machine.until_processes(128)
    await machine.delete(key)
    await machine.until_processes(0)


_NUMBERS = itertools.count()


def a_sleep() -> list[str]:
    """Return a command that no other test runs."""
    return ["sleep", f"600.{os.getpid()}{next(_NUMBERS)}"]


def running(command: list[str]) -> list[str]:
    """Return the processes with this command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().rstrip(b"\0").split(b"\0") == [w.encode() for w in command]:
                found.append(path.parent.name)
    return found
