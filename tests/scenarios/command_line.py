"""``elastic-jupyter`` beside open notebooks."""

import contextlib
import json
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import yaml

from tests.scenarios.gateway_gone import Printer
from tests.scenarios.world import Object, World
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.shell import COMMAND, Shell

_READ = {"json": json.loads, "yaml": yaml.safe_load}


@contextlib.contextmanager
def a_notebook(world: World, name: str, *, kernel: str = "python3") -> Iterator[Tab]:
    """A notebook of this name, with no kernel left at the end."""
    tab = world.server.open(kernel, name=name)
    try:
        yield tab
    finally:
        tab.close()
        tab.shutdown()


def shown(shell: Shell, tab: Tab, *, output: str = "json") -> Object:
    """What ``status`` tells of the kernel of a tab; empty: nothing."""
    everything = _READ[output](shell.reads("status", "--output", output))
    return next((one for one in everything if one["id"] == tab.kernel_id), {})


def in_phase(shell: Shell, tab: Tab, phase: str) -> Object:
    """Wait until ``status`` shows the kernel of a tab so, and return what it tells of it."""
    return eventually(
        lambda: shown(shell, tab),
        lambda one: one.get("phase") == phase,
        within=30,
        what=f"phase {phase} in the status",
    )


def tables(lines: Iterable[str]) -> Iterator[str]:
    """Yield each table of a watch, when the next one begins."""
    table = ""
    for line in lines:
        if line.startswith(("KERNEL ", "no kernels")):
            yield table
            table = ""
        table += line


class CommandLine:
    """``shell`` is that of a user of ``patient``, ``hasty_shell`` of one of ``hasty``."""

    def test_status_shows_what_is_known_of_a_kernel(self, patient: World, shell: Shell) -> None:
        with a_notebook(patient, "status.ipynb") as tab:
            tab.run("1", within=60)
            # Its activity is written now and then, also between two looks.
            one, _ = eventually(
                lambda: (shown(shell, tab), shown(shell, tab, output="yaml")),
                lambda seen: (
                    seen[0].get("phase") == "Running"
                    and seen[0]["lastActivity"]
                    and not seen[0]["busy"]
                    and seen[1] | {"idleSeconds": 0} == seen[0] | {"idleSeconds": 0}
                ),
                within=30,
                what="a kernel that runs and was used, twice",
            )
            want = {
                "name": f"{patient.user}-{tab.kernel_id}",
                "user": patient.user,
                "notebook": "status.ipynb",
                "kernelSpec": "python3",
                "gpus": {},
                "busy": False,
                "suspend": False,
            }
            assert want.items() <= one.items()
            lines = shell.reads("status").splitlines()
            [line] = [line for line in lines if line.startswith(f"{tab.kernel_id[:8]} ")]
            assert line.split()[1:4] == ["Running", patient.user, "status.ipynb"]

    def test_a_watch_tells_of_a_kernel_that_comes_and_goes(
        self, patient: World, shell: Shell
    ) -> None:
        command = [COMMAND, "status", "--watch"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=shell.environment, stdout=pipe, text=True) as watch:
            assert watch.stdout
            seen = tables(watch.stdout)
            try:
                with a_notebook(patient, "watched.ipynb") as tab:
                    tab.run("1", within=60)
                    assert any(re.search(r"Running .* watched\.ipynb", table) for table in seen)
                assert any("watched.ipynb" not in table for table in seen)
            finally:
                watch.send_signal(signal.SIGINT)
            assert watch.wait(30) == 130

    def test_the_next_cell_after_a_release_runs_in_a_new_kernel(
        self, patient: World, shell: Shell
    ) -> None:
        with a_notebook(patient, "released.ipynb") as tab:
            tab.run("x = 1", within=60)
            in_phase(shell, tab, "Running")
            shell.reads("release", tab.kernel_id[:12])
            patient.reclaimed(tab, within=20)
            in_phase(shell, tab, "Reclaimed")
            assert "it was released by request" in shell.reads("why", "released.ipynb")

            again = tab.run("'x' in globals()", within=60)
            assert again.result == "False"
            assert "released by request" in " ".join([again.text, *again.displayed])
            assert patient.runs(tab)["status"]["epoch"] == 2
            assert in_phase(shell, tab, "Running")["notebook"] == "released.ipynb"

    def test_extend_keeps_an_idle_kernel_past_its_deadline(
        self, hasty: World, hasty_shell: Shell
    ) -> None:
        with a_notebook(hasty, "extended.ipynb") as tab:
            printer = Printer(hasty, tab)
            in_phase(hasty_shell, tab, "Running")
            longer = f"{hasty.idle + 15:g}s"
            assert "is kept until" in hasty_shell.reads("extend", "extended.ipynb", longer)
            printer.stop()
            printer.cell.wait(within=10)
            kernel = hasty.kernel(tab) or {}
            kept = datetime.fromisoformat(kernel["spec"]["keepUntil"])
            left = (kept - datetime.now(UTC)).total_seconds()
            assert left > hasty.idle, "longer than it would be anyway"
            hasty.reclaimed(tab, within=left + hasty.slack + 30)
            assert datetime.now(UTC) > kept - timedelta(seconds=0.5)

    def test_extend_says_what_the_bound_of_an_extension_made_of_it(
        self, hasty: World, hasty_shell: Shell
    ) -> None:
        with a_notebook(hasty, "bounded.ipynb") as tab:
            printer = Printer(hasty, tab)
            in_phase(hasty_shell, tab, "Running")
            hasty_shell.reads("extend", "bounded.ipynb", "2m")
            printer.stop()
            printer.cell.wait(within=10)
            bounded = eventually(
                lambda: shown(hasty_shell, tab),
                lambda one: bool(one.get("keepLimit")),
                within=30,
                what="how long it can be kept",
            )
            told = hasty_shell.reads("extend", "bounded.ipynb", "99h")
            assert "reclaim.maxExtensionSeconds limits it" in told
            kept = eventually(
                lambda: shown(hasty_shell, tab),
                lambda one: one.get("reclaimAt") == bounded["keepLimit"],
                within=30,
                what="kept as long as may be",
            )
            assert kept["keepUntil"] > kept["reclaimAt"]
            assert "no longer: reclaim.maxExtensionSeconds" in hasty_shell.reads(
                "why", "bounded.ipynb"
            )

    def test_logs_prints_what_a_kernel_wrote_beside_its_cells(
        self, patient: World, shell: Shell
    ) -> None:
        with a_notebook(patient, "logs.ipynb") as tab:
            tab.run(
                "import os, sys\nlog = getattr(sys.stderr, '_original_stdstream_copy', 2)\n"
                "os.write(log, b'before\\nthe disk is warm\\n')",
                within=60,
            )
            in_phase(shell, tab, "Running")  # it ran the cell before its node said that it runs
            eventually(
                lambda: shell.reads("logs", "logs.ipynb", "--tail", "1"),
                lambda log: log == "the disk is warm\n",
                within=20,
                what="the line in the log",
            )
            assert "before\nthe disk is warm\n" in shell.reads("logs", "logs.ipynb")

    def test_stop_ends_a_kernel_in_the_middle_of_a_cell(self, patient: World, shell: Shell) -> None:
        with a_notebook(patient, "stopped.ipynb") as tab:
            cell = tab.start("import time\nprint('on', flush=True)\ntime.sleep(600)")
            cell.until(lambda cell: cell.stdout == "on\n", within=60, what="the cell's first line")
            in_phase(shell, tab, "Running")
            assert shell.reads("stop", "stopped.ipynb") == f"kernel {tab.kernel_id} is stopped\n"
            assert cell.wait(within=20).reply["status"] == "error"
            patient.reclaimed(tab, within=20)
