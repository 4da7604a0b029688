"""The commands on kernels beside an ``up``: what tests/scenarios/command_line.py has not."""

import contextlib
import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.machine import UP, Machine
from tests.support.pages import ROOT
from tests.support.typed import environment, refused, told, typed

COMMAND = UP[0]
#: The line of ``~/.bashrc`` in the reference.
[COMPLETION] = re.findall(
    r"```bash\n(.*)\n```", (ROOT / "docs" / "reference" / "command-line.md").read_text()
)


def seen(machine: Machine, tab: Tab, want: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until ``status`` shows a kernel so, and return what it shows."""

    def look() -> dict[str, Any]:
        by_id = {one["id"]: one for one in json.loads(told(machine, "status", "-o", "json"))}
        return by_id.get(tab.kernel_id, {})

    return eventually(look, lambda one: one and want(one), within=30, what="status")


def in_phase(phase: str) -> Callable[[dict[str, Any]], object]:
    return lambda one: one["phase"] == phase


def test_a_kernel_is_found_by_any_word_for_it_alone(patient: Machine) -> None:
    with (
        patient.server.notebook(folder="work") as tab,
        patient.server.notebook() as other,
    ):
        tab.run("1", within=60)
        other.run("1", within=60)
        seen(patient, tab, in_phase("Running"))
        path = tab.session["path"]
        for word in (path, Path(path).name, tab.kernel_id[:8], f"jovyan-{tab.kernel_id[:8]}"):
            assert f"kernel {tab.kernel_id} is Running." in told(patient, "why", word)
        several = refused(patient, "why", "jovyan-")
        assert "may be any of these kernels:" in several
        assert {tab.kernel_id, other.kernel_id} <= set(several.split())
        assert "there is no kernel 'nobody'; there are:" in refused(patient, "stop", "nobody")


def test_a_released_kernel_gives_its_gpu_to_who_waits(patient: Machine) -> None:
    with (
        patient.server.notebook(patient.gpu) as tab,
        patient.server.notebook(patient.gpu) as next_one,
    ):
        tab.run("x = 1", within=60)
        waiting = next_one.start("'my turn'")
        place = seen(patient, next_one, in_phase("Queued"))["queue"]
        assert place == {"position": 1, "length": 1}
        assert "Queued (1st of 1)" in told(patient, "status")
        assert "Waiting for a GPU: 1st of 1" in told(patient, "why", next_one.session["path"])

        assert "gives its resources back now" in told(patient, "release", tab.session["path"])
        assert waiting.wait(within=60).result == "'my turn'"
        seen(patient, tab, in_phase("Reclaimed"))
        why = told(patient, "why", tab.session["path"])
        assert "is Reclaimed. It ended at" in why
        assert "it was released by request. The next cell" in why
        assert "is Reclaimed, there is nothing to" in refused(patient, "stop", tab.kernel_id)

        next_one.shutdown()
        again = tab.run("'x' in dir()", within=60)
        assert again.result == "False"
        assert "The previous kernel ended: it was released by request." in again.text


def test_a_busy_kernel_is_released_when_its_cell_ends(patient: Machine, tmp_path: Path) -> None:
    with patient.server.notebook() as tab:
        tab.run("import os, time", within=60)
        gate = tmp_path / "gate"
        cell = tab.start(f"while not os.path.exists({str(gate)!r}): time.sleep(0.1)\n'whole'")
        seen(patient, tab, lambda one: one["busy"])
        path = tab.session["path"]
        assert "when its cell ends" in told(patient, "release", path)
        assert "It is to be released when its cell ends." in told(patient, "why", path)
        assert "busy      released" in told(patient, "status")
        gate.touch()
        assert cell.wait().result == "'whole'"
        patient.reclaimed(tab, within=30)


def test_a_stopped_kernel_ends_its_cell_and_its_notebook_goes_on(patient: Machine) -> None:
    with patient.server.notebook() as tab:
        tab.run("import time", within=60)
        cell = tab.start("time.sleep(600)")
        seen(patient, tab, lambda one: one["busy"])
        assert "is stopped" in told(patient, "stop", tab.session["path"])
        reply = cell.wait().reply
        assert reply["ename"] == "KernelDied"
        assert "it was stopped" in reply["evalue"]
        patient.reclaimed(tab, within=30)
        seen(patient, tab, in_phase("Stopped"))
        assert "is Stopped. It ended at" in told(patient, "why", tab.kernel_id)
        again = tab.run("'time' in dir()", within=60)
        assert again.result == "False"
        assert "The previous kernel ended: it was stopped" in again.text


def test_what_is_asked_while_no_up_runs_is_done_by_the_next(
    new_machine: Callable[..., Machine],
) -> None:
    machine = new_machine()
    nowhere = typed(machine, "status")
    assert nowhere.exit_code == 2
    assert "elastic-jupyter up makes one" in nowhere.stderr
    tab = machine.up().server.open()
    tab.run("1", within=60)
    machine.runs(tab)
    machine.kill()
    for arguments in (["status"], ["release", tab.session["path"]]):
        done = typed(machine, *arguments)
        assert done.exit_code == 0
        assert "elastic-jupyter up does not run with" in done.stderr
        assert tab.kernel_id[:8] in done.stdout
    machine.up()
    machine.reclaimed(tab, within=30)
    assert "released by request" in told(machine, "why", tab.kernel_id)


def test_bash_completes_the_name_of_a_kernel(patient: Machine) -> None:
    with patient.server.notebook() as tab:
        tab.run("1", within=60)
        mine, theirs = pty.openpty()
        shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env={**environment(patient), "TERM": "dumb", "COLUMNS": "200", "PS1": "> "},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(mine, False)
        said = bytearray()

        def read(word: str) -> None:
            eventually(lambda: _more(mine, said), lambda all: word in all, within=30, what=word)

        try:
            os.write(
                mine, f"PATH={Path(COMMAND).parent}:$PATH; {COMPLETION}; echo re''ady\n".encode()
            )
            read("ready")
            os.write(mine, f"elastic-jupyter why {tab.kernel_id[:6]}\t".encode())
            read(tab.kernel_id)
            os.write(mine, b"\n")
            read(f"kernel {tab.kernel_id} is Running.")
        finally:
            shell.kill()
            shell.wait()
            os.close(mine)


def _more(terminal: int, said: bytearray) -> str:
    """Return all that a terminal has shown."""
    with contextlib.suppress(BlockingIOError):
        said += os.read(terminal, 65536)
    return said.decode(errors="replace")
