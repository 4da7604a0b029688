"""JupyterLab on one machine, as its users see it."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.support.eventually import eventually
from tests.support.lab_page import LabPage
from tests.support.machine import Machine

pytestmark = pytest.mark.long

PYTHON = "Python 3 (ipykernel)"
GPU = "Python 3 (ipykernel) (GPU)"


@pytest.mark.machine(idle=8)
def test_a_reclaimed_kernel_comes_back_in_the_open_notebook(machine: Machine, lab: LabPage) -> None:
    """The page asks nothing; the next cell says that the variables are gone, and runs."""
    lab.shot("launcher")
    lab.new_notebook(PYTHON)
    lab.run("x = 41")
    expect(lab.run("x + 1")).to_contain_text("42")
    lab.shot("first-result")
    is_reclaimed(machine, lab)
    lab.shot("reclaimed")
    says_that_the_variables_are_gone(lab)
    lab.shot("after-reclaim")


@pytest.mark.machine(idle=3)
def test_a_page_that_is_reloaded_while_its_kernel_sleeps_wakes_it(
    machine: Machine, lab: LabPage
) -> None:
    lab.new_notebook(PYTHON)
    expect(lab.run("x = 41; print('set')")).to_contain_text("set")
    is_reclaimed(machine, lab)
    lab.reload()
    lab.has_kernel(PYTHON)
    lab.shot("reloaded")
    says_that_the_variables_are_gone(lab)
    lab.shot("after-reload")


@pytest.mark.machine(idle=3)
def test_a_cell_shows_its_place_in_the_queue_until_it_runs(lab: LabPage, tmp_path: Path) -> None:
    done = tmp_path / "done"
    holds_the_gpu(lab, done)
    cell = waits_for_the_gpu(lab, "print('my turn')", place="1st of 1")
    lab.shot("queued")
    done.touch()  # the first kernel is idle from now on, and reclaimed
    expect(cell).to_have_text("my turn")
    lab.shot("had-its-turn")


@pytest.mark.machine
def test_the_stop_button_ends_the_wait_and_moves_up_who_is_behind(
    lab: LabPage, tmp_path: Path
) -> None:
    holds_the_gpu(lab, tmp_path / "never")
    stopped = waits_for_the_gpu(lab, "print('my turn')", place="1st of 1")
    behind = waits_for_the_gpu(lab, "print('and mine')", place="2nd of 2")
    lab.shot("second-in-the-queue")
    lab.show("Untitled1.ipynb")
    lab.stop()
    expect(stopped).to_have_text("KeyboardInterrupt: The wait for the kernel was interrupted.")
    lab.has_status("idle")
    lab.shot("wait-stopped")
    lab.show("Untitled2.ipynb")
    expect(behind).to_contain_text("1st of 1 in the queue")
    expect(behind).not_to_contain_text("2nd of 2")
    lab.shot("moved-up")


@pytest.mark.machine
def test_a_page_goes_on_when_up_was_killed_and_started_again(
    machine: Machine, lab: LabPage
) -> None:
    lab.new_notebook(PYTHON)
    expect(lab.run("x = 41; print('set')")).to_contain_text("set")
    lab.may_lose_server()
    machine.kill()
    machine.up()
    cell = lab.run("x + 1")
    expect(cell).to_contain_text("42")
    expect(cell).not_to_contain_text("gone")
    lab.shot("after-kill")


def is_reclaimed(machine: Machine, lab: LabPage) -> None:
    """Wait until the idle kernel of the notebook that is seen has ended."""
    eventually(
        lambda: machine.kernel_processes(lab),
        lambda left: not left,
        within=30,
        what="the end of the idle kernel",
    )


def says_that_the_variables_are_gone(lab: LabPage) -> None:
    """Run a cell, whose output this is after the notice."""
    hello = lab.run('print("hello")')
    expect(hello).to_contain_text("\nhello")
    expect(hello).to_contain_text("its variables are gone")


def until(file: Path, *, say: str) -> str:
    """A cell that says something and runs until the file is there."""
    return (
        f"import os, time\nprint({say!r})\n"
        f"while not os.path.exists({str(file)!r}): time.sleep(0.05)"
    )


def holds_the_gpu(lab: LabPage, done: Path) -> Locator:
    """A notebook whose cell, which is returned, keeps the only GPU until the file is there."""
    lab.new_notebook(GPU)
    cell = lab.run(until(done, say="mine"))
    expect(cell).to_contain_text("mine")
    return cell


def waits_for_the_gpu(lab: LabPage, code: str, *, place: str) -> Locator:
    """Another notebook, and the output of its cell, which says for whom it waits, and only that."""
    lab.new_notebook(GPU)
    cell = lab.run(code)
    expect(cell).to_contain_text(f"{place} in the queue")
    expect(cell).to_contain_text("by jovyan")
    expect(cell.locator(".jp-OutputArea-child")).to_have_count(1)
    return cell
