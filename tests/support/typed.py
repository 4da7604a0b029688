"""``elastic-jupyter`` typed for the kernels of one machine, in this process."""

from click.testing import CliRunner, Result

from elastic_jupyter.cli.main import command
from elastic_jupyter.store.state_directory import database
from elastic_jupyter.store.stores import sqlite_url
from tests.support.machine import Machine


def environment(machine: Machine) -> dict[str, str]:
    """Return what a person has who means the kernels of this machine."""
    return {**machine.environment, "ELASTIC_JUPYTER_STORE": sqlite_url(database(machine.state))}


def typed(machine: Machine, *arguments: str) -> Result:
    """Run ``elastic-jupyter`` for the machine; a process each would import for most of its time."""
    store = {"ELASTIC_JUPYTER_STORE": environment(machine)["ELASTIC_JUPYTER_STORE"]}
    return CliRunner().invoke(command, arguments, env=store)


def told(machine: Machine, *arguments: str) -> str:
    """Return what a command prints that does what it should."""
    done = typed(machine, *arguments)
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done.stdout


def refused(machine: Machine, *arguments: str) -> str:
    """Return the sentence with which a command fails."""
    done = typed(machine, *arguments)
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    return done.stderr
