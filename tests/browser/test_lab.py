"""JupyterLab on one machine, as its users see it."""

import pytest
from playwright.sync_api import expect

from tests.support.eventually import eventually
from tests.support.lab_page import LabPage
from tests.support.machine import Machine


@pytest.mark.machine(idle=8)
def test_a_reclaimed_kernel_comes_back_in_the_open_notebook(machine: Machine, lab: LabPage) -> None:
    """The page asks nothing; the next cell says that the variables are gone, and runs."""
    lab.shot("launcher")
    lab.new_notebook("Python 3 (ipykernel)")
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
