"""Kernels whose variables cannot be saved: of another language, and without the agent."""

import shutil
import subprocess
from pathlib import Path

import pytest

from elastic_jupyter.store.state_directory import database
from elastic_jupyter.store.stores import sqlite_url
from tests.scenarios.idle_or_not import goes, stays
from tests.support.jupyter_tab import Cell
from tests.support.machine import Machine
from tests.support.one_at_a_time import one_at_a_time
from tests.support.shell import Shell

FOLDER = Path(__file__).parent / "deno"
DELETE = {"elastic_jupyter": {"reclaim": {"fallback": "Delete"}}}
#: ipykernel in an environment without our agent.
NO_AGENT = """
import sys
sys.modules["elastic_jupyter_agent"] = None
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


@pytest.fixture(scope="session")
def deno() -> list[str]:
    """The command of a kernel of JavaScript: of Deno, from npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no kernel that is not Python: npm is not installed")
    with one_at_a_time(FOLDER):
        if not (FOLDER / "node_modules").is_dir():
            subprocess.run([npm, "ci", "--silent"], cwd=FOLDER, check=True, timeout=300)
    [binary] = FOLDER.glob("node_modules/@deno/*/deno")
    return [str(binary), "jupyter", "--kernel", "--conn", "{connection_file}"]


def why(machine: Machine, kernel_id: str) -> str:
    store = {"ELASTIC_JUPYTER_STORE": sqlite_url(database(machine.state))}
    return Shell(machine.environment | store).reads("why", kernel_id)


def prints(cell: Cell, want: str) -> None:
    """Wait for a cell's output, which Deno may send after it said that the cell has ended."""
    cell.until(lambda cell: cell.stdout == want, within=60, what=want)


def test_a_kernel_of_another_language_is_kept(sleepy: Machine, deno: list[str]) -> None:
    sleepy.install_spec("deno", deno, language="typescript")
    with sleepy.server.notebook("deno") as tab:
        assert tab.run("let x = 6 * 7", within=60).reply["status"] == "ok"
        stays(sleepy, tab, reason="variables of typescript kernels cannot be saved")
        told = why(sleepy, tab.kernel_id)
        assert "variables of typescript kernels cannot be saved" in told
        assert "not reclaimed, however long it is idle" in told
        prints(tab.start("console.log(x)"), "42\n")


def test_a_kernel_of_another_language_is_deleted_where_its_spec_says_so(
    sleepy: Machine, deno: list[str]
) -> None:
    sleepy.install_spec("deno-deleted", deno, language="typescript", metadata=DELETE)
    with sleepy.server.notebook("deno-deleted") as tab:
        tab.run("let x = 6 * 7", within=60)
        goes(sleepy, tab, reason="variables of typescript kernels cannot be saved")
        cell = tab.start("console.log(typeof x)")
        prints(cell, "undefined\n")
        assert "its variables could not be saved" in cell.text


@pytest.mark.parametrize("fallback", ["keep", "delete"])
def test_a_python_kernel_without_the_agent(sleepy: Machine, fallback: str) -> None:
    name = f"no-agent-{fallback}"
    command = ["python", "-c", NO_AGENT, "-f", "{connection_file}"]
    sleepy.install_spec(name, command, metadata=DELETE if fallback == "delete" else None)
    reason = "elastic-jupyter-agent is not installed in its environment"
    with sleepy.server.notebook(name) as tab:
        tab.run("x = 1", within=60)
        if fallback == "keep":
            stays(sleepy, tab, reason=reason)
            assert tab.run("x").result == "1"
            return
        goes(sleepy, tab, reason=reason)
        cell = tab.run("'x' in dir()", within=60)
        assert cell.result == "False"
        assert reason in cell.text
