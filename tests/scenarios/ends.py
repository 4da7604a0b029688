"""Kernels that end, or never begin: what the cell says, and what the next one finds."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.jupyter_tab import Cell, Tab

COUNT = "import time\nprint('on', flush=True)\ntime.sleep(600)"


@dataclass(frozen=True)
class End:
    """How a kernel ends: what the cell executes, and the reason and words that are told.

    ``memory`` is its limit, None: it needs none for that.
    """

    name: str
    reason: str
    words: tuple[str, ...]
    code: str = COUNT
    memory: str | None = None


#: What a cell does to its own kernel.
BY_ITSELF = (
    End(
        "exits",
        "Error",
        ("exit code 3", "the disk is on fire"),
        # Into the log: what a cell writes to stderr goes to the notebook, if there is time.
        code="import os, sys\nlog = getattr(sys.stderr, '_original_stdstream_copy', 2)\n"
        "os.write(log, b'the disk is on fire')\nos._exit(3)",
    ),
    End(
        "segfault",
        "Error",
        ("exit code 139 (SIGSEGV)",),
        code="import os, signal\nsignal.signal(11, signal.SIG_DFL)\nimport ctypes\n"
        "ctypes.string_at(0)",
    ),
    End("ends", "Completed", ("exit code 0",), code="import os\nos._exit(0)"),
    End(
        "oom-in-a-cell",
        "OOMKilled",
        ("more memory than its limit of 256Mi",),
        memory="256Mi",
        code="x = b'1' * (1 << 30)",
    ),
)


#: What runs in a kernel's place, and ends before it could be one.
CRASH = End(
    "crash",
    "Error",
    ("exit code 1", "reading", "no licence"),
    code="import sys\nprint('reading', flush=True)\nsys.exit('no licence')",
)


def said_why(cell: Cell, *words: str) -> None:
    """Check that a cell ended with an error whose text has all of the words."""
    told = cell.reply["evalue"]
    assert cell.reply["status"] == "error"
    assert [one for one in words if one not in told] == [], told
    [error] = [one for one in cell.outputs if one["output_type"] == "error"]
    assert error["evalue"] == told
    assert not {"dead", "restarting"} & set(cell.tab.statuses())


def cannot_start(tab: Tab, reason: str, *words: str) -> Cell:
    """Run a cell whose kernel cannot start; check what it says, and return it."""
    cell = tab.run("1", within=60)
    said_why(cell, reason, *words)
    return cell


def ends_its_cell(
    tab: Tab, end: End, *, deed: Callable[[], object] | None = None, within: float = 30
) -> Cell:
    """Run a cell until its kernel ends, by the cell itself or by ``deed``; return the cell."""
    tab.run("x = 1", within=60)
    cell = tab.start(end.code)
    if deed:
        cell.until(lambda cell: cell.stdout == "on\n", within=10, what="the cell's first line")
        deed()
    cell.wait(within=within)
    said_why(cell, end.reason, *end.words)
    return cell


def the_next_cell_starts_anew(tab: Tab, end: End) -> None:
    """Check that the next cell runs in a new kernel, and says why."""
    again = tab.run("'x' in globals()", within=60)
    assert again.result == "False"
    assert end.reason in again.text
    assert "variables are gone" in again.text
