"""``make run`` in a fresh checkout, by somebody who has done nothing before, or not to the end."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.machine import Machine
from tests.support.pages import ROOT

UV = Path(sys.executable).with_name("uv")


def checkout(folder: Path) -> Path:
    """Copy what is under version control, as it is now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():  # else it was removed a moment ago
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def test_make_run_sets_up_all_and_starts_jupyterlab(
    tmp_path: Path, new_machine: Callable[..., Machine]
) -> None:
    machine = new_machine()
    folder = checkout(tmp_path / "checkout")
    up = shlex.join(machine.command[2:])
    make = ["make", "-C", str(folder), "run", f"RUN={up}", f"PYTHON={sys.executable}"]
    # A home of its own has no downloads, and these are not what is tested.
    cache = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True)
    machine.up(command=make, env={"UV_CACHE_DIR": cache.stdout.strip()})
    tab = machine.server.open(machine.gpu)
    place = tab.run("import sys; sys.prefix", within=60)
    assert place.result == repr(str(folder / ".venv"))
    machine.runs(tab)
    assert machine.process is not None
    os.killpg(machine.process.pid, signal.SIGINT)  # as a terminal does
    machine.all_gone(within=20)


def test_an_environment_whose_making_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    folder = little_checkout(tmp_path)
    half = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", half], check=True)
    (half / "left").touch()
    first = make_venv(folder, python=sys.executable)
    assert first.returncode == 0, first.stderr
    assert not (half / "left").exists()
    subprocess.run([half / "bin" / "uv", "--version"], check=True, stdout=subprocess.DEVNULL)

    (half / "kept").touch()
    (folder / "pyproject.toml").touch()
    again = make_venv(folder, python=sys.executable)
    assert again.returncode == 0, again.stderr
    assert (half / "kept").exists(), "one that is whole is only brought up to date"


def test_a_python_without_venv_is_told_the_package_that_has_it(tmp_path: Path) -> None:
    folder = little_checkout(tmp_path)
    (tmp_path / "ensurepip.py").write_text("raise ImportError")
    bare = make_venv(folder, python=f"PYTHONPATH={tmp_path} {sys.executable}")
    assert bare.returncode == 2
    assert "apt-get install python3-venv" in bare.stderr
    assert not (folder / ".venv").exists()


def little_checkout(folder: Path) -> Path:
    """Return a checkout of a project that needs nothing but what makes its environment."""
    folder = folder / "checkout"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy2(ROOT / "Makefile", folder)
    pinned = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    uv = [line for line in pinned if line.startswith("uv==")]
    (folder / "requirements" / "dev.txt").write_text("\n".join(uv))
    for name, place in (("little", folder), ("little-agent", folder / "agent")):
        place.mkdir(exist_ok=True)
        (place / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1"\n')
        (place / f"{name.replace('-', '_')}.py").touch()
    return folder


def make_venv(folder: Path, *, python: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "-C", str(folder), "venv", f"PYTHON={python}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)
