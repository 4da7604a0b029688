"""A kernel that sleeps while its notebook is open in a browser, and what happens till it wakes."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, expect

from tests.scenarios.gpu_queue import Holder
from tests.scenarios.hibernation import gives_its_gpu_back
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer
from tests.support.lab_page import LabPage
from tests.support.line import Line, a_line
from tests.support.machine import Machine

pytestmark = [pytest.mark.long, pytest.mark.machine(idle=4, policy="hibernate")]

GPU = "Python 3 (ipykernel) (GPU)"
NOTEBOOK = "Untitled.ipynb"


@pytest.fixture
def line(machine: Machine) -> Iterator[Line]:
    """The network between the browser and the machine."""
    with a_line(lambda: machine.url) as line:
        yield line


@pytest.fixture
def server(machine: Machine, line: Line) -> NotebookServer:
    """The machine at the end of the line."""
    return NotebookServer(line.url, token=machine.server.token)


def test_two_pages_wake_one_kernel_and_its_cells_run_in_their_order(
    machine: Machine, new_page: Callable[[], LabPage]
) -> None:
    first = new_page()
    first.new_notebook(GPU)
    runs(first, "kept = [0]")
    sleeps(machine, first)
    cells = [first.run(f"kept.append({number}); print(kept)") for number in (1, 2, 3)]
    expect(cells[0]).to_contain_text("The kernel woke with kept.")
    for cell, shown in zip(cells, ("[0, 1]", "[0, 1, 2]", "[0, 1, 2, 3]"), strict=True):
        expect(cell).to_contain_text(shown)
    first.save()
    second = new_page()
    second.open_notebook(NOTEBOOK)
    second.has_kernel(GPU)
    sleeps(machine, second)
    expect(first.kernel_state).to_have_text("asleep")
    # It runs on for a while, so that it is awake when the other page is looked at.
    wakes = "import time; kept.append(4); print(kept); time.sleep(5)"
    expect(second.run(wakes)).to_contain_text("[0, 1, 2, 3, 4]")
    expect(first.kernel_state).not_to_have_text("asleep")
    expect(first.run("print('there are', len(kept))")).to_contain_text("there are 5")
    second.shot("woken-by-another-page")


@pytest.mark.parametrize("lost", ["network", "gateway", "gateway before it waits"])
def test_a_cell_wakes_its_kernel_whatever_is_lost_meanwhile(
    machine: Machine, line: Line, lab: LabPage, lost: str
) -> None:
    lab.new_notebook(GPU)
    runs(lab, "kept = 41")
    sleeps(machine, lab)
    if lost == "gateway before it waits":
        machine.replace_gateway()
    holder, cell = waits(machine, lab, "print('it is', kept + 1)")
    if lost == "network":
        lab.may_lose_server()
        line.cut()
        lab.has_status("disconnected", "connecting", "unknown")
        lab.shot("network-cut")
        line.mend()
    elif lost == "gateway":
        machine.replace_gateway()
    gives_its_gpu_back(holder)
    expect(cell).to_contain_text("The kernel woke with kept.")
    expect(cell).to_contain_text("it is 42")
    expect(cell).not_to_contain_text("in the queue")


def test_the_stop_button_ends_a_wake_and_keeps_the_variables(
    machine: Machine, lab: LabPage
) -> None:
    lab.new_notebook(GPU)
    runs(lab, "kept = 41")
    sleeps(machine, lab)
    holder, cell = waits(machine, lab, "print('it is', kept + 1)")
    lab.stop()
    expect(cell).to_contain_text("KeyboardInterrupt")
    sleeps(machine, lab)
    lab.shot("wake-stopped")
    gives_its_gpu_back(holder)
    expect(lab.run("print('it is', kept + 1)")).to_contain_text("it is 42")


def runs(lab: LabPage, code: str) -> None:
    """Run code that says nothing, to its end."""
    expect(lab.run(f"{code}; print('done')")).to_contain_text("done")


def sleeps(machine: Machine, lab: LabPage) -> None:
    """Wait until the page says that the kernel of its notebook sleeps, and nothing runs of it."""
    lab.is_asleep()
    eventually(
        lambda: machine.placed([lab]),
        lambda left: not left,
        within=15,
        what="no process of a kernel that sleeps",
    )


def waits(machine: Machine, lab: LabPage, code: str) -> tuple[Holder, Locator]:
    """Return who has the only GPU, and a cell of the page that waits for it."""
    holder = Holder(machine)
    holder.cell.until(lambda cell: cell.messages("execute_input"), within=60, what="its start")
    cell = lab.run(code)
    expect(cell).to_contain_text("1st of 1 in the queue")
    expect(lab.kernel_state).to_have_text("waiting 1st of 1")
    return holder, cell
