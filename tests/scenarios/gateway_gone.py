"""A gateway that is killed while a cell prints."""

import re
import uuid
from collections.abc import Callable

from tests.scenarios.world import World
from tests.support.jupyter_tab import Cell, Tab

BACK_WITHIN = 5.0


class Printer:
    """A cell that prints numbered lines until it is told to stop; its result is how many."""

    def __init__(self, world: World, tab: Tab, *, stop_if: str = "False") -> None:
        self.world = world
        self.tab = tab
        self.file = f"/tmp/{uuid.uuid4().hex}"
        self.cell: Cell = tab.start(
            "import os, socket, time\n"
            "def gateway_is_gone():\n"
            "    try:\n"
            f"        socket.create_connection({world.gateway_address!r}, 1).close()\n"
            "    except OSError:\n"
            "        return True\n"
            "lines = 0\n"
            f"while not os.path.exists('{self.file}') and not {stop_if}:\n"
            "    print(f'line {lines}', flush=True)\n"
            "    lines += 1\n"
            "    time.sleep(0.05)\n"
            "lines"
        )
        self.more(10)

    @property
    def seen(self) -> list[str]:
        """The lines that arrived."""
        return self.cell.stdout.splitlines()

    def more(self, lines: int) -> None:
        """Wait for this many more lines."""
        have = len(self.seen)
        self.cell.until(
            lambda _: self.cell.ended or len(self.seen) >= have + lines,
            within=30,
            what=f"{lines} more lines after {have}",
        )

    def stop(self) -> None:
        """Let the cell end by itself."""
        self.world.touch(self.tab, self.file)


def ends_with_its_reply_or_names_the_gap(cell: Cell) -> None:
    if cell.reply["status"] == "error":
        told = f"{cell.reply} {cell.text} {cell.displayed}"
        assert re.search(r"gateway", told, re.I), told


def a_killed_gateway_leaves_kernel_and_variables_and_the_cell_ends(
    world: World, replace: Callable[[], None]
) -> None:
    """``replace`` ends the gateway without notice and waits until another one is ready."""
    with world.server.notebook() as tab:
        tab.run("kept = 'kept'", within=60)
        before = world.runs(tab)
        printer = Printer(world, tab)
        replace()
        printer.stop()
        printer.cell.wait(within=BACK_WITHIN)

        ends_with_its_reply_or_names_the_gap(printer.cell)
        assert len(set(printer.seen)) == len(printer.seen), "no line comes twice"
        assert tab.run("kept", within=10).result == "'kept'"
        after = world.runs(tab)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["status"]["epoch"] == before["status"]["epoch"]
        assert tab.open
        assert not {"restarting", "dead"} & set(tab.statuses())


class GatewayGone:
    """On a world that reclaims nothing."""

    def test_a_killed_gateway_leaves_kernel_and_variables_and_the_cell_ends(
        self, patient: World
    ) -> None:
        a_killed_gateway_leaves_kernel_and_variables_and_the_cell_ends(
            patient, patient.replace_gateway
        )

    def test_a_cell_that_ends_while_no_gateway_is_there_is_not_left_hanging(
        self, patient: World
    ) -> None:
        with patient.server.notebook() as tab:
            tab.run("kept = 'kept'", within=60)
            printer = Printer(patient, tab, stop_if="gateway_is_gone()")
            patient.replace_gateway()
            printer.cell.wait(within=BACK_WITHIN)

            ends_with_its_reply_or_names_the_gap(printer.cell)
            assert tab.run("kept", within=10).result == "'kept'"
            assert tab.run("lines > 0", within=10).result == "True"

    def test_a_cell_sent_while_no_gateway_is_there_runs_once(self, patient: World) -> None:
        """The stock gateway client loses such a request silently."""
        with patient.server.notebook() as tab:
            tab.run("runs = 0", within=60)
            patient.kill_gateway()
            cell = tab.start("runs += 1\nruns")
            assert cell.wait(within=60).result == "1"
            assert tab.run("runs", within=10).result == "1"
