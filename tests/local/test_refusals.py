"""What ``elastic-jupyter up`` refuses: one sentence, exit code 2, and nothing is left of it."""

import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from elastic_jupyter.local.state import State
from tests.support.machine import UP, Machine
from tests.support.pages import ROOT

#: Seconds; it takes one where nothing else runs.
WITHIN = 60
#: Before what is said of a flag or a setting.
USAGE = """\
Usage: elastic-jupyter up [OPTIONS] [DIRECTORY]
Try 'elastic-jupyter up --help' for help.

"""
NewMachine = Callable[..., Machine]
Make = Callable[[Machine], list[str]]


@dataclass(frozen=True)
class Refusal:
    """What ``up`` is given, with how it is made, and what it says; ``{}`` in ``says``: the root."""

    name: str
    says: str
    make: Make

    def __str__(self) -> str:
        return self.name


def flags(*options: str) -> Make:
    return lambda machine: list(options)


def settings(text: str) -> Make:
    def write(machine: Machine) -> list[str]:
        file = machine.root / "settings.toml"
        file.write_text(text)
        return ["--config", str(file)]

    return write


def in_the_state(name: str, content: bytes) -> Make:
    def write(machine: Machine) -> list[str]:
        machine.state.mkdir()
        for file in ("lock", name):
            (machine.state / file).write_bytes(content if file == name else b"")
        return []

    return write


def below_a_file(machine: Machine) -> list[str]:
    (machine.root / "file").touch()
    return ["--state", str(machine.root / "file" / "state")]


def leases_in_a_file(machine: Machine) -> list[str]:
    machine.leases.touch()
    return []


def of_somebody_else(machine: Machine) -> list[str]:
    machine.state.mkdir(mode=0o755)
    (machine.state / "thesis.tex").touch()
    return []


REFUSALS = [
    Refusal(
        "a bad number of GPUs",
        "Invalid value for '--gpus': 'many' is neither auto nor a number of GPUs",
        flags("--gpus", "many"),
    ),
    Refusal(
        "a bad time",
        "Invalid value for '--idle': 'soon' is no length of time; say for example 90s, 10m or "
        "1h30m",
        flags("--idle", "soon"),
    ),
    Refusal(
        "a directory that is not there",
        "Invalid value for '[DIRECTORY]': Directory 'nowhere' does not exist.",
        lambda machine: ["nowhere"],
    ),
    Refusal(
        "a bad value in the file",
        "Invalid value for idle in {}/settings.toml: 'soon' is no length of time; say for example "
        "90s, 10m or 1h30m",
        settings('idle = "soon"'),
    ),
    Refusal(
        "a value of another type in the file",
        "Invalid value for directory in {}/settings.toml: Directory '5' does not exist.",
        settings("directory = 5"),
    ),
    Refusal(
        "a table in the file",
        "Invalid value for '--config': {}/settings.toml: state is neither text nor a number",
        settings('[state]\ndirectory = "x"'),
    ),
    Refusal(
        "a setting that there is not",
        "Invalid value for '--config': {}/settings.toml has the unknown setting idel; known are "
        "browser, directory, fallback, gpus, idle, log_level, max_extension, policy, port, start, "
        "state, user",
        settings('idel = "5m"'),
    ),
    Refusal(
        "a file that is not TOML",
        "Invalid value for '--config': {}/settings.toml cannot be read: Invalid value (at end of "
        "document)",
        settings("idle = "),
    ),
    Refusal(
        "a file that is not there",
        "Invalid value for '--config': gone.toml does not exist",
        flags("--config", "gone.toml"),
    ),
    Refusal(
        "a state directory that cannot be made",
        "the state directory {}/file/state cannot be written (Not a directory): put that right, "
        "or name another directory with --state",
        below_a_file,
    ),
    Refusal(
        "a directory with other files as state directory",
        "the state directory {}/state holds other files: name one that is empty, or does not "
        "exist, with --state",
        of_somebody_else,
    ),
    Refusal(
        "a master key that is cut off",
        "the state directory {}/state cannot be used (the master key has 0 bytes, it needs 16 at "
        "least): put that right, or name another directory with --state",
        in_the_state("master-key", b""),
    ),
    Refusal(
        "objects that are no database",
        "{}/state/objects.db: it is no database: move it away and start again (file is not a "
        "database)",
        in_the_state("objects.db", b"no database " * 1000),
    ),
    Refusal(
        "leases that can be nowhere",
        "{}/leases: it is no directory (a symbolic link is not followed); the leases of GPUs are "
        "there, so all users of this machine need it (mode 1777), or ELASTIC_JUPYTER_LEASES names "
        "another one for all of them",
        leases_in_a_file,
    ),
]


@pytest.fixture
def machine(new_machine: NewMachine, tmp_path: Path) -> Machine:
    return new_machine(leases=tmp_path / "one" / "leases")


def refused(machine: Machine, command: Sequence[str], **environment: str) -> str:
    """Run ``up`` and return the one sentence that it says; check that nothing is left of it."""
    done = subprocess.run(
        command,
        env={**machine.environment, **environment},
        cwd=machine.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert not machine.processes()
    assert machine.locked() == []
    [sentence] = done.stderr.removeprefix(USAGE).splitlines()
    assert sentence.startswith("Error: ")
    return sentence.removeprefix("Error: ")


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_it_is_refused_in_one_sentence(refusal: Refusal, machine: Machine) -> None:
    options = refusal.make(machine)
    command = [*machine.command[:-1], *options]
    assert refused(machine, command) == refusal.says.replace("{}", str(machine.root))


def test_the_directory_of_somebody_else_is_not_closed_to_others(machine: Machine) -> None:
    of_somebody_else(machine)
    refused(machine, machine.command)
    assert machine.state.stat().st_mode & 0o777 == 0o755
    assert os.listdir(machine.state) == ["thesis.tex"]


def test_a_variable_with_a_bad_value_is_named(machine: Machine) -> None:
    said = refused(machine, [*UP], ELASTIC_JUPYTER_UP_PORT="http")
    assert said == (
        "Invalid value for ELASTIC_JUPYTER_UP_PORT: 'http' is not a valid integer range."
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_another_has_is_refused(machine: Machine, address: str) -> None:
    with socket.create_server((address, machine.port)):
        said = refused(machine, machine.command)
    assert said == (
        f"port {machine.port} cannot be used (Address already in use): choose another with --port"
    )


def test_a_state_directory_that_another_up_uses_is_refused_and_left_alone(
    patient: Machine, machine: Machine
) -> None:
    command = [*machine.command[:-1], "--state", str(patient.state)]
    said = refused(machine, command)
    assert said == (
        f"elastic-jupyter is running already with the state directory {patient.state} "
        f"({patient.url}/lab?token={patient.server.token}): use that one, or name another "
        "directory with --state"
    )
    assert patient.server.request("GET", "status")["started"]


def test_a_state_directory_that_has_become_read_only_is_refused(
    machine: Machine, small_disk: Callable[..., Path]
) -> None:
    disk = small_disk()
    with State(disk / "state"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    said = refused(machine, [*machine.command[:-1], "--state", str(disk / "state")])
    assert said == (
        f"the state directory {disk}/state cannot be written (Read-only file system): put that "
        "right, or name another directory with --state"
    )


# -- what is not installed


@pytest.fixture
def without(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The environment of a Python that has what this one has, but for one project."""
    installed = Path(sysconfig.get_path("purelib"))
    folder = tmp_path / "installed"

    def environment(project: str) -> dict[str, str]:
        folder.mkdir()
        for entry in installed.iterdir():
            if not entry.name.startswith(project):
                (folder / entry.name).symlink_to(entry)
        return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'src'}"}

    return environment


#: Without site, the packages are those of PYTHONPATH alone. What the machine has for all its users
#: (/usr/share/jupyter) is of no interest here.
ALONE = (
    "import sys, jupyter_core.paths as paths; paths.SYSTEM_JUPYTER_PATH[:] = []; "
    "paths.ENV_JUPYTER_PATH[:] = []; sys.argv[0] = 'elastic-jupyter'; "
    "from elastic_jupyter.cli.main import command; command()"
)


@pytest.mark.parametrize(
    ("project", "says"),
    [
        (
            "jupyterlab",
            "JupyterLab is not installed: pip install 'elastic-jupyter[local]'",
        ),
        (
            "ipykernel",
            "no kernel spec is installed on this machine: `python -m ipykernel install --user` "
            "installs that of this Python",
        ),
    ],
)
def test_what_is_not_installed_is_named(
    project: str, says: str, machine: Machine, without: Callable[[str], dict[str, str]]
) -> None:
    command = [sys.executable, "-S", "-c", ALONE, *machine.command[1:]]
    assert refused(machine, command, **without(project)) == says
