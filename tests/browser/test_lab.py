"""JupyterLab on one machine, as its users see it."""

import pytest
from playwright.sync_api import expect

from tests.support.lab_page import LabPage
from tests.support.machine import Machine


@pytest.mark.machine(idle=5)
def test_a_reclaimed_kernel_comes_back_in_the_open_notebook(machine: Machine, lab: LabPage) -> None:
    """The page asks nothing; the next cell says that the variables are gone, and runs."""
    lab.shot("launcher")
    lab.new_notebook("Python 3 (ipykernel)")
    lab.run("x = 41")
    expect(lab.run("x + 1")).to_contain_text("42")
    lab.shot("first-result")
    machine.reclaimed(lab, within=30)
    lab.shot("reclaimed")
    hello = lab.run('print("hello")')
    expect(hello).to_contain_text("\nhello")
    expect(hello).to_contain_text("its variables are gone")
    lab.shot("after-reclaim")
