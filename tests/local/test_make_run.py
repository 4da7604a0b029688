"""``make run`` in a fresh checkout, by somebody who has done nothing before."""

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
