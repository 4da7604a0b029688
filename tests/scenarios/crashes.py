"""What must be true of a kernel after a crash at any step of its sleep or of its wake."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import pytest

from tests.support import cases
from tests.support.jupyter_tab import Cell, Tab

#: Seconds for a cell, and for a kernel to fall asleep, whatever happened.
WITHIN = 60.0


@dataclass(frozen=True)
class Crash:
    """Who dies at which step; ``fill`` is a disk that is full. ``loses``: it may cost variables."""

    victim: str
    point: str
    when: str = "before"
    do: str = "kill"
    loses: bool = False

    def __str__(self) -> str:
        what = "the disk is full" if self.do == "fill" else f"the {self.victim} dies"
        return f"{what} {self.when} {self.point}"


#: The kernel, when all its variables are in the store and their snapshot is not named.
DIES_SAVED = Crash("kernel", "Gateway.put_manifest", "after")


def both(victim: str, point: str, *, loses: bool = False) -> list[Crash]:
    """Return the crashes before and after a step."""
    return [Crash(victim, point, when, loses=loses) for when in ("before", "after")]


def some(crashes: list[Crash]) -> list[object]:
    """Return every fifth as parameters of a test; all with ``ALL_CASES``."""
    return [pytest.param(crash, id=str(crash)) for crash in cases.some(crashes, every=5)]


class Patient(ABC):
    """A kernel that sleeps when it is asked to, and a notebook with a counter."""

    tab: Tab
    #: What the notebook counts, from another hundred in each test: what was saved before is not
    #: written again.
    count = 0

    @abstractmethod
    def goes_to_sleep(self) -> None:
        """Ask the kernel to give its resources back."""

    def is_released(self) -> None:
        """Have the gateway ask for the same, as the button "Release GPU now" does."""
        release = self.tab.client.session.msg("elastic_jupyter_release_request", {})
        self.tab.client.control_channel.send(release)

    def is_to_sleep(self, crash: Crash) -> None:
        """Have it go to sleep by a way on which the crash is."""
        (self.is_released if crash.point.endswith(".wish") else self.goes_to_sleep)()

    @abstractmethod
    def sleeps(self) -> None:
        """Wait until the kernel sleeps and nothing runs of it."""

    def counts_anew(self) -> None:
        """Forget the count, which is wrong after a test that failed."""
        self.count = self.count // 100 * 100 + 100
        self.counts()

    def counts(self) -> None:
        """Run a cell that counts; whoever knows an older count, or a later one, differs."""
        self.count += 1
        code = (
            "assert noted == (count, noise[:9]), 'of two snapshots'\ncount += 1\n"
            if self.count % 100 > 1
            else f"count = {self.count}\n"
        )
        # Too large for the manifest.
        code += "import os\nnoise = os.urandom(100_000)\nnoted = count, noise[:9]\ncount"
        assert self.tab.run(code, within=WITHIN).result == str(self.count), self.tab.transcript()

    def knows_the_count(self, crash: Crash, cell: Cell | None = None) -> None:
        """See that the variables are what they were, or that their loss is told in words."""
        if cell is None:
            cell = self.tab.start("count")
        cell.wait(within=WITHIN)
        if cell.result is None and not crash.loses:  # it was told why, and may be run again
            assert cell.reply["evalue"], cell.outputs
            cell = self.tab.run("count", within=WITHIN)
        if cell.error in ("KernelDied", "KernelStartError"):
            cell = self.tab.run("count", within=WITHIN)
        if crash.loses and cell.error == "NameError":
            assert "its variables are gone" in cell.text, cell.text
            self.counts_anew()
        else:
            assert cell.result == str(self.count), (cell.outputs, self.tab.transcript())

    def goes_on(self) -> None:
        """See that the kernel counts, sleeps and wakes as if nothing had been."""
        self.counts()
        self.goes_to_sleep()
        self.sleeps()
        self.counts()
