"""The wheels of a checkout, each extra installed alone in an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.hibernation import AWAKE_WITHIN, asleep
from tests.support.machine import Machine
from tests.support.pages import ROOT
from tests.support.walkthrough import blocks

pytestmark = pytest.mark.long

UV = Path(sys.executable).with_name("uv")
#: What each extra is for. All modules of these packages must be importable.
EXTRAS = {
    "operator": ["operator"],
    "cli": ["cli"],
    "launcher": ["launcher"],
    "gateway": ["gateway"],
    "notebook": ["notebook"],
    "local": ["local", "cli", "demo", "gateway", "notebook"],
}
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    package = importlib.import_module(f"elastic_jupyter.{name}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both wheels, as ``make wheels`` makes them; the environment is there already."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(["make", "-o", "venv", "wheels", f"DIST={folder}"], cwd=ROOT, check=True)
    assert len(list(folder.glob("*.whl"))) == 2
    return folder


@pytest.fixture
def install(tmp_path: Path, wheels: Path) -> Callable[[str], Path]:
    """Install a requirement from the wheels in a fresh environment; its folder of commands."""

    def environment(requirement: str) -> Path:
        folder = tmp_path / "environment"
        python = folder / "bin" / "python"
        # Python's own venv and pip do the same in a minute: one test is enough for them.
        for command in (
            ["venv", "--quiet", "--python", sys.executable, folder],
            ["pip", "install", "--quiet", "--python", python, "--find-links", wheels, requirement],
        ):
            subprocess.run([UV, *command], check=True)
        return python.parent

    return environment


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_all_that_it_needs(extra: str, install: Callable[[str], Path]) -> None:
    commands = install(f"elastic-jupyter[{extra}]")
    subprocess.run([commands / "python", "-I", "-c", IMPORT_ALL, *EXTRAS[extra]], check=True)
    if "notebook" in EXTRAS[extra]:
        has_our_extension(commands)


def has_our_extension(commands: Path) -> None:
    """See that JupyterLab finds it by itself, as in the notebook's image."""
    listed = subprocess.run(
        [commands / "jupyter", "labextension", "list"], capture_output=True, text=True, check=True
    )
    told = listed.stdout + listed.stderr
    [line] = [line for line in told.splitlines() if "@elastic-jupyter/labextension" in line]
    for word in ("enabled", "OK", "(python, elastic-jupyter)"):
        assert word in line, told


def test_without_an_extra_a_command_says_which_it_needs(install: Callable[[str], Path]) -> None:
    command = install("elastic-jupyter") / "elastic-jupyter"
    for arguments, status, told in (
        (["--help"], 0, ""),
        (["up"], 2, "Error: Jupyter Server is not installed: pip install 'elastic-jupyter[local]'"),
        (["demo"], 2, "pip install 'elastic-jupyter[local]'"),
        (["status", "--context", "x"], 2, "pip install 'elastic-jupyter[cli]'"),
    ):
        done = subprocess.run([command, *arguments], capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == (1 if status else 0)


@pytest.fixture
def as_the_readme_says(tmp_path: Path, wheels: Path) -> Path:
    """Type what the README shows between ``make wheels`` and ``up``; the folder of commands."""
    block = next(one.text for one in blocks(ROOT / "README.md") if "make wheels" in one.text)
    first, *lines, last = block.splitlines()
    assert (first, last) == ("make wheels", "~/elastic/bin/elastic-jupyter up")
    (tmp_path / "dist").symlink_to(wheels)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # its python3 is known to be new
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    for line in lines:
        subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, check=True)
    return tmp_path / "elastic" / "bin"


def test_the_readmes_lines_alone_give_a_jupyterlab_with_elastic_kernels(
    as_the_readme_says: Path, new_machine: Callable[..., Machine]
) -> None:
    commands = as_the_readme_says
    status = [commands / "elastic-jupyter", "status", "--context", "x"]
    asked = subprocess.run(status, capture_output=True, text=True)
    assert asked.returncode == 2
    assert "pip install 'elastic-jupyter[cli]'" in asked.stderr
    machine = new_machine()
    command = [str(commands / "elastic-jupyter"), *machine.command[1:]]
    machine.up(command=command, env={"PYTHONPATH": ""})
    assert "kernels: python3, python3-gpu" in machine.said
    tab = machine.server.open(machine.gpu)
    place = "import sys; sys.prefix"
    assert tab.run(place, within=60).result == repr(str(commands.parent))
    assert machine.runs(tab)["status"]["podName"]
    foreign = "import importlib.util; importlib.util.find_spec('lightkube') is None"
    assert tab.run(foreign).result == "True"
    log = (machine.state / "notebook.log").read_text()
    assert log.count("elastic_jupyter.notebook | extension was successfully loaded") == 1


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An environment of a user's, in ``mine``, with ipykernel and nothing of ours; its commands."""
    folder = tmp_path / "mine"
    for command in (
        ["venv", "--quiet", "--seed", "--python", sys.executable, folder],
        ["pip", "install", "--quiet", "--python", folder / "bin" / "python", "ipykernel"],
    ):
        subprocess.run([UV, *command], check=True)
    return folder / "bin"


def test_a_kernel_of_another_environment_sleeps_with_the_agent_that_the_page_adds(
    tmp_path: Path, wheels: Path, mine: Path, new_machine: Callable[..., Machine]
) -> None:
    page = blocks(Path("docs", "how-to", "one-machine.md"))
    first, line = next(one.text for one in page if "make wheels" in one.text).splitlines()
    assert first == "make wheels"
    (tmp_path / "dist").symlink_to(wheels)
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, check=True)
    machine = new_machine(policy="hibernate", idle=3)
    machine.up(env={"PYTHONPATH": ""})
    command = [str(mine / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    machine.install_spec("mine", command)
    with machine.server.notebook("mine") as tab:
        assert tab.run("import sys; sys.prefix", within=60).result == repr(str(mine.parent))
        asleep(machine, tab)
        assert tab.run("sys.prefix", within=AWAKE_WITHIN).result == repr(str(mine.parent))


def test_the_lines_of_the_pages_containerfile_add_the_agent(
    tmp_path: Path, wheels: Path, mine: Path
) -> None:
    page = blocks(Path("docs", "how-to", "custom-kernels.md"))
    [text] = [block.text for block in page if block.language == "dockerfile"]
    lines = [line.partition(" ") for line in text.splitlines()]
    assert [line[0] for line in lines] == ["FROM", "COPY", "RUN"]
    copied = tmp_path / "copied"
    copied.mkdir()
    (tmp_path / "dist").symlink_to(wheels)
    environment = {**os.environ, "PATH": f"{mine}:{os.environ['PATH']}"}
    for command in (f"cp {lines[1][2]}", lines[2][2]):
        line = command.replace("/tmp/", f"{copied}/")
        subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, check=True)
    needed = "import elastic_jupyter_agent.attached, elastic_jupyter_agent.snapshot"
    subprocess.run([mine / "python", "-I", "-c", needed], check=True)
