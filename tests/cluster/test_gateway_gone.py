"""A gateway that goes while a cell prints: in good order, and killed."""

import re
import uuid

import pytest
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Cell, Tab
from tests.support.team import GATEWAY, Team, kernel_name, kill

pytestmark = pytest.mark.alone

BACK_WITHIN = 5.0


class Printer:
    """A cell that prints numbered lines until it is told to stop."""

    def __init__(self, team: Team, tab: Tab, *, stop_if: str = "False") -> None:
        self.team = team
        self.tab = tab
        self.file = f"/tmp/{uuid.uuid4().hex}"
        self.cell: Cell = tab.start(
            "import os, socket, time\n"
            "def gateway_is_gone():\n"
            "    try:\n"
            f"        socket.create_connection(('{GATEWAY}.{team.namespace}', 8888), 1).close()\n"
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
        self.team.cluster.exec(
            self.team.namespace, kernel_name(self.tab), "touch", self.file, within=30
        )


@pytest.mark.parametrize("how", ["rolled out", "deleted"])
def test_no_line_is_lost_or_doubled_when_the_gateway_goes_in_good_order(
    team: Team, how: str
) -> None:
    old = team.gateway_pod()["metadata"]["name"]
    with team.server.notebook() as tab:
        tab.run("1", within=60)
        printer = Printer(team, tab)
        if how == "rolled out":
            team.cluster.kubectl("rollout", "restart", "-n", team.namespace, f"deploy/{GATEWAY}")
        else:
            team.cluster.delete(team.namespace, "pods", old)
        eventually(
            lambda: team.cluster.names(
                team.namespace, "pods", name="jupyter-gateway", instance=GATEWAY
            ),
            lambda names: len(names) == 1 and old not in names,
            within=90,
            what="a new gateway pod and the end of the old one",
        )
        team.gateway_pod()
        assert not printer.cell.ended, tab.transcript()
        printer.more(20)
        printer.stop()
        printer.cell.wait(within=10)

        assert printer.cell.reply["status"] == "ok"
        assert printer.seen == [f"line {n}" for n in range(int(printer.cell.result or 0))]
        assert tab.open
        assert not {"restarting", "dead"} & set(tab.statuses())


def kill_the_gateway(team: Team, how: str) -> None:
    """End the gateway without notice and wait until a new one is Ready."""
    pod = team.gateway_pod()
    if how == "SIGKILL":
        kill(team.cluster, pod, helper_namespace=team.namespace)
    else:
        team.cluster.kubectl(
            "delete", "pod", "-n", team.namespace, pod["metadata"]["name"],
            "--force", "--grace-period=0",
        )  # fmt: skip
    before = pod["status"]["containerStatuses"][0]["containerID"]
    eventually(
        team.gateway_pod,
        lambda new: new["status"]["containerStatuses"][0]["containerID"] != before,
        within=60,
        what="a new gateway container",
    )


def ends_with_its_reply_or_names_the_gap(cell: Cell) -> None:
    if cell.reply["status"] == "error":
        told = f"{cell.reply} {cell.text} {cell.displayed}"
        assert re.search(r"gateway", told, re.I), told


@pytest.mark.parametrize("how", ["SIGKILL", "force-deleted"])
def test_a_killed_gateway_leaves_kernel_and_variables_and_the_cell_ends(
    team: Team, how: str
) -> None:
    with team.server.notebook() as tab:
        tab.run("kept = 'kept'", within=60)
        pod = team.pod(tab)
        printer = Printer(team, tab)
        kill_the_gateway(team, how)
        printer.stop()
        printer.cell.wait(within=BACK_WITHIN)

        ends_with_its_reply_or_names_the_gap(printer.cell)
        assert len(set(printer.seen)) == len(printer.seen), "no line comes twice"
        assert tab.run("kept", within=10).result == "'kept'"
        assert pod is not None
        assert (team.pod(tab) or pod)["metadata"]["uid"] == pod["metadata"]["uid"]
        assert tab.open
        assert not {"restarting", "dead"} & set(tab.statuses())


def test_a_cell_that_ends_while_no_gateway_is_there_is_not_left_hanging(team: Team) -> None:
    with team.server.notebook() as tab:
        tab.run("kept = 'kept'", within=60)
        printer = Printer(team, tab, stop_if="gateway_is_gone()")
        kill_the_gateway(team, "SIGKILL")
        printer.cell.wait(within=BACK_WITHIN)

        ends_with_its_reply_or_names_the_gap(printer.cell)
        assert tab.run("kept", within=10).result == "'kept'"
        assert tab.run("lines > 0", within=10).result == "True"


def test_a_cell_sent_while_no_gateway_is_there_runs_once(team: Team) -> None:
    """The stock gateway client loses such a request silently."""
    with team.server.notebook() as tab:
        tab.run("runs = 0", within=60)
        kill(team.cluster, team.gateway_pod(), helper_namespace=team.namespace)
        cell = tab.start("runs += 1\nruns")
        assert cell.wait(within=60).result == "1"
        assert tab.run("runs", within=10).result == "1"
