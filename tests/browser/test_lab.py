"""JupyterLab on one machine, as its users see it."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.support.eventually import eventually
from tests.support.lab_page import LabPage
from tests.support.machine import Machine

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
    assert machine.kernel_processes(lab)
    eventually(
        lambda: machine.kernel_processes(lab),
        lambda left: not left,
        within=30,
        what="the end of the idle kernel",
    )
    lab.shot("reclaimed")
    hello = lab.run('print("hello")')
    expect(hello).to_contain_text("\nhello")
    expect(hello).to_contain_text("its variables are gone")
    lab.shot("after-reclaim")


@pytest.mark.machine(idle=3)
def test_a_cell_shows_its_place_in_the_queue_until_it_runs(lab: LabPage, tmp_path: Path) -> None:
    done = tmp_path / "done"
    holds_the_gpu(lab, done)
    cell = waits_for_the_gpu(lab, "print('my turn')")
    lab.shot("queued")
    done.touch()  # the first kernel is idle from now on, and reclaimed
    expect(cell).to_have_text("my turn")
    lab.shot("had-its-turn")


@pytest.mark.machine
def test_the_stop_button_ends_the_wait_for_a_gpu(lab: LabPage, tmp_path: Path) -> None:
    holds_the_gpu(lab, tmp_path / "never")
    cell = waits_for_the_gpu(lab, "print('my turn')")
    lab.stop()
    expect(cell).to_have_text("KeyboardInterrupt: The wait for the kernel was interrupted.")
    expect(lab.status).to_contain_text("Idle")
    lab.shot("wait-stopped")


@pytest.mark.machine
def test_a_reloaded_page_goes_on_with_the_kernel_and_its_cell(lab: LabPage, tmp_path: Path) -> None:
    """JupyterLab itself drops what a cell prints that an earlier page has started."""
    done = tmp_path / "done"
    lab.new_notebook(PYTHON)
    expect(lab.run(until(done, say="started"))).to_contain_text("started")
    lab.reload()
    lab.has_kernel(PYTHON)
    next_cell = lab.run("print('waited', waited)")
    expect(lab.status).to_contain_text("Busy")
    lab.shot("reloaded")
    done.touch()
    expect(next_cell).to_have_text("waited True")


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


def until(file: Path, *, say: str) -> str:
    """A cell that says something and runs until the file is there."""
    return (
        f"import os, time\nprint({say!r})\n"
        f"while not os.path.exists({str(file)!r}): time.sleep(0.05)\nwaited = True\n'held'"
    )


def holds_the_gpu(lab: LabPage, done: Path) -> Locator:
    """A notebook whose cell, which is returned, keeps the only GPU until the file is there."""
    lab.new_notebook(GPU)
    cell = lab.run(until(done, say="mine"))
    expect(cell).to_contain_text("mine")
    return cell


def waits_for_the_gpu(lab: LabPage, code: str) -> Locator:
    """Another notebook, and the output of its cell, which says for whom it waits, and only that."""
    lab.new_notebook(GPU)
    cell = lab.run(code)
    expect(cell).to_contain_text("1st of 1 in the queue")
    expect(cell).to_contain_text("by jovyan")
    expect(cell.locator(".jp-OutputArea-child")).to_have_count(1)
    return cell
