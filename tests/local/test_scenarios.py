"""What users see on every engine, seen on one machine."""

import pytest

from elastic_jupyter.local import log_files
from elastic_jupyter.store.state_directory import database
from elastic_jupyter.store.stores import sqlite_url
from tests.scenarios.command_line import CommandLine
from tests.scenarios.ends import (
    BY_ITSELF,
    CRASH,
    End,
    cannot_start,
    ends_its_cell,
    the_next_cell_starts_anew,
)
from tests.scenarios.gateway_gone import GatewayGone
from tests.scenarios.gpu_queue import GpuQueue
from tests.scenarios.hibernation import Hibernation, LazyStart
from tests.scenarios.idle_or_not import IdleOrNot
from tests.scenarios.notebook_server_gone import NotebookServerGone
from tests.scenarios.reclaim import Reclaim
from tests.scenarios.running import Running, opens_a_file_beside_its_notebook
from tests.support.eventually import eventually
from tests.support.machine import Machine
from tests.support.shell import Shell

pytestmark = pytest.mark.long

#: ipykernel without its answer to the message that interrupts.
DEAF = """
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

class Deaf(IPythonKernel):
    async def interrupt_request(self, socket, identity, parent):
        pass

IPKernelApp.launch_instance(kernel_class=Deaf)
"""


class TestRunning(Running):
    """On a machine that reclaims nothing."""

    def test_a_kernel_opens_a_file_beside_its_notebook(self, patient: Machine) -> None:
        opens_a_file_beside_its_notebook(patient.server, patient.home)

    def test_a_kernel_that_knows_only_signals_is_interrupted_by_one(self, patient: Machine) -> None:
        """As R's: while a cell runs it reads nothing."""
        patient.install("deaf", DEAF)
        with patient.server.notebook("deaf") as tab:
            tab.run("x = 1; 1 / 0", within=60)  # for the first traceback IPython loads much
            cell = tab.start("print('go')\nwhile True: pass")
            cell.until(lambda cell: cell.stdout == "go\n", within=10, what="the first line")
            tab.interrupt()
            assert cell.wait(within=30).reply["ename"] == "KeyboardInterrupt"
            assert tab.run("x").result == "1"
            assert "did not answer" not in cell.text


@pytest.mark.alone
class TestGatewayGone(GatewayGone):
    """On a machine that reclaims nothing."""


class TestNotebookServerGone(NotebookServerGone):
    """On a machine that reclaims nothing."""


@pytest.mark.alone
class TestReclaim(Reclaim):
    """On a machine that reclaims after seconds."""


class TestHibernation(Hibernation):
    """On a machine whose kernels sleep."""


class TestIdleOrNot(IdleOrNot):
    """On a machine whose kernels sleep."""


class TestLazyStart(LazyStart):
    """On a machine whose kernels start with their first cell."""


class TestGpuQueue(GpuQueue):
    """On a machine with two stand-ins."""


@pytest.mark.parametrize("end", BY_ITSELF, ids=lambda end: end.name)
def test_the_end_of_a_running_kernel_ends_its_cell(patient: Machine, end: End) -> None:
    if end.memory:
        patient.offer(end.name, limits={"memory": end.memory})
    with patient.server.notebook(end.name if end.memory else "python3") as tab:
        ends_its_cell(tab, end)
        the_next_cell_starts_anew(tab, end)


def test_a_kernel_that_cannot_start_ends_the_cell_and_leaves_nothing(patient: Machine) -> None:
    patient.install(CRASH.name, CRASH.code)
    with patient.server.notebook(CRASH.name) as tab:
        cannot_start(tab, CRASH.reason, *CRASH.words)
        # The next cell tries again.
        cannot_start(tab, CRASH.reason, *CRASH.words)
    patient.reclaimed(tab, within=15)


def test_a_kernel_that_is_killed_says_so_in_its_cell(patient: Machine) -> None:
    end = End("killed", "Error", ("exit code 137 (SIGKILL)",))
    with patient.server.notebook() as tab:
        ends_its_cell(tab, end, deed=lambda: patient.kill_kernel(tab))
        the_next_cell_starts_anew(tab, end)


@pytest.fixture
def shell(patient: Machine) -> Shell:
    return a_shell(patient)


@pytest.fixture
def hasty_shell(hasty: Machine) -> Shell:
    return a_shell(hasty)


def a_shell(machine: Machine) -> Shell:
    store = {"ELASTIC_JUPYTER_STORE": sqlite_url(database(machine.state))}
    return Shell(machine.environment | store)


class TestCommandLine(CommandLine):
    """Typed by the user of the machine."""


def test_a_kernel_that_writes_much_keeps_the_end_of_its_log(patient: Machine) -> None:
    setup = "import os, sys\nlog = getattr(sys.stderr, '_original_stdstream_copy', 2)"
    with patient.server.notebook() as tab:
        tab.run(f"{setup}\nfor _ in range(20): os.write(log, b'much\\n' * (1 << 18))", within=60)
        [log] = (patient.state / "kernels").glob(f"*{tab.kernel_id}*/kernel.log")
        # It may be cut while it is written: then the rest of what is written follows.
        eventually(
            lambda: (log.stat().st_size, b"what was here was removed" in log.read_bytes()),
            lambda seen: seen[0] <= log_files.LONGEST and seen[1],
            within=20,
            what="a log that is cut",
        )
        tab.run("_ = os.write(log, b'the end\\n')")
        kept = log.read_bytes()
        assert log_files.KEPT < len(kept) <= log_files.LONGEST
        assert kept.endswith(b"much\nthe end\n")
