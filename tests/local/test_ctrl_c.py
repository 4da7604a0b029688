"""How ``elastic-jupyter up`` is ended: by Ctrl-C, a signal, or with its terminal."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
from collections.abc import Callable, Mapping

import pytest

from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.machine import GATEWAY, NOTEBOOK_SERVER, READY_WITHIN, Machine, is_running

NewMachine = Callable[..., Machine]
#: A cell, and a process that has left its kernel's session.
COMPUTES = """
import subprocess
subprocess.Popen(["sleep", "600"], start_new_session=True)
print("on", flush=True)
import time
time.sleep(600)
"""
#: A kernel that ignores SIGTERM, with a child whose environment says nothing.
STUBBORN = """
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "600"], env={}).pid)
"""


def nothing_is_left(machine: Machine) -> None:
    """Check that no process, lock, socket or note of a process is left."""
    machine.all_gone()
    assert machine.locked() == []
    runtime = machine.root / "home" / ".local" / "share" / "jupyter" / "runtime"
    folders = (machine.state / "bells", machine.state / "runtime", runtime)
    left = [path for folder in folders for path in folder.rglob("*") if not path.is_dir()]
    assert [path for path in left if path.name != "jupyter_cookie_secret"] == []
    assert sorted(machine.state.glob("objects.db*")) == [machine.state / "objects.db"]


def main_process(machine: Machine, tab: Tab) -> int:
    """Return the pid of a kernel's own process: it leads a session of its own, and came first."""
    return min(pid for pid in machine.kernel_processes(tab) if os.getsid(pid) == pid)


def order_of_ends(processes: Mapping[str, int], *, of: Callable[[], object]) -> list[str]:
    """Return the names of processes in the order in which they end; ``of`` has them end."""
    files = {os.pidfd_open(pid): name for name, pid in processes.items()}
    ended: list[str] = []
    with contextlib.ExitStack() as stack, select.epoll() as poll:
        for file in files:
            stack.callback(os.close, file)
            poll.register(file, select.EPOLLIN)
        of()
        while len(ended) < len(files):
            events = poll.poll(timeout=20, maxevents=1)  # which are in the order of waking
            assert events, f"only {ended} have ended of {processes}"
            poll.unregister(events[0][0])
            ended.append(files[events[0][0]])
    return ended


def in_a_terminal(machine: Machine) -> int:
    """Start the ``up`` in a terminal of its own; return our end of it once JupyterLab answers."""
    ours, theirs = pty.openpty()
    machine.process = subprocess.Popen(
        machine.command,
        env=machine.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    said = ""
    while "JupyterLab: " not in said:
        assert select.select([ours], [], [], READY_WITHIN)[0], said
        said += os.read(ours, 4096).decode()
    return ours


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_it_ends_in_order_and_leaves_nothing(how: str, new_machine: NewMachine) -> None:
    machine = new_machine()
    terminal = in_a_terminal(machine) if how == "Ctrl-C" else None
    if terminal is None:
        machine.up()
    computing, waiting = (machine.server.open(machine.gpu) for _ in range(2))
    cell = computing.start(COMPUTES)
    cell.until(lambda cell: cell.stdout == "on\n", within=60, what="a cell that computes")
    assert len(machine.kernel_processes(computing)) == 2
    waiting.start("1").until(lambda cell: cell.displayed, within=20, what="its place in the line")
    held = ["lease", "lock", "ticket"]
    assert sorted(name.partition(",")[0] for name in machine.locked()) == held
    services = {name: machine.service(name) for name in (NOTEBOOK_SERVER, GATEWAY)}
    processes = {"kernel": main_process(machine, computing)}
    processes |= {name: pid for name, pid in services.items() if pid is not None}

    def end() -> None:
        if terminal is None:
            machine.signal(signal.SIGTERM)
        else:
            os.write(terminal, b"\x03")  # to all in the foreground

    assert order_of_ends(processes, of=end) == [NOTEBOOK_SERVER, "kernel", GATEWAY]
    assert machine.wait() == 0
    nothing_is_left(machine)
    if terminal is not None:
        os.close(terminal)


def test_ctrl_c_before_jupyterlab_answers_leaves_nothing(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.spawn()
    eventually(
        lambda: machine.service(NOTEBOOK_SERVER),
        bool,
        within=READY_WITHIN,
        what="a notebook server that starts",
    )
    machine.signal()
    assert machine.wait() == 0
    assert "JupyterLab: " not in machine.said
    nothing_is_left(machine)


@pytest.mark.alone
def test_a_second_ctrl_c_ends_at_once_a_kernel_that_does_not_want_to_end(
    new_machine: NewMachine,
) -> None:
    machine = new_machine().up()
    tab = machine.server.open(machine.gpu)
    said_nothing = int(tab.run(STUBBORN, within=60).stdout)
    kernel, notebook_server = main_process(machine, tab), machine.service(NOTEBOOK_SERVER)
    assert notebook_server is not None
    machine.signal()
    eventually(
        lambda: is_running(notebook_server), lambda runs: not runs, within=10, what="the first end"
    )
    assert is_running(kernel)
    machine.signal()
    assert machine.wait() == 130
    machine.all_gone(within=5)
    assert not is_running(said_nothing)
    assert machine.locked() == []
    # What was not tidied up is in nobody's way.
    machine.up()
    assert tab.server.request("GET", f"kernels/{tab.kernel_id}")["execution_state"] != "dead"
    again = machine.server.attach(tab.session)
    assert again.run("1 + 1", within=60).result == "2"
    machine.signal()
    assert machine.wait() == 0
    nothing_is_left(machine)


def test_a_terminal_that_is_closed_ends_it_in_order(new_machine: NewMachine) -> None:
    machine = new_machine()
    terminal = in_a_terminal(machine)
    tab = machine.server.open(machine.gpu)
    tab.run("1", within=60)
    os.close(terminal)
    machine.wait()
    nothing_is_left(machine)
    kernel = machine.kernel(tab)
    assert kernel is not None
    assert "elastic-jupyter was stopped" in str(kernel["status"]["conditions"])


def test_under_nohup_it_outlives_its_terminal(new_machine: NewMachine) -> None:
    machine = new_machine()
    machine.up(command=["nohup", *machine.command])
    machine.signal(signal.SIGHUP)
    with machine.server.notebook() as tab:
        assert tab.run("1 + 1", within=60).result == "2"
    machine.signal()
    assert machine.wait() == 0
    assert machine.said.count("stopping") == 1
    assert machine.said.endswith("stopping; Ctrl-C again ends everything at once\nstopped\n")
