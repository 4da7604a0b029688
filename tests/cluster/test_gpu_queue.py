"""Five kernels for two GPUs: who waits, what the notebook says meanwhile, who comes next."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Cell, Tab
from tests.support.team import Team

pytestmark = pytest.mark.usefixtures("gpus")

IDLE = 8
HOLD = "import os, time\nwhile not os.path.exists('/tmp/enough'): time.sleep(0.05)\n'held'"
ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


@pytest.fixture(scope="module")
def gpu_team(new_team: Callable[..., Team]) -> Team:
    """A team whose launcher offers ``gpu``: a kernel with one GPU."""
    return new_team(
        manifests.gpu_template("one-gpu"),
        manifests.kernel_spec("gpu", template="one-gpu", display_name="Python with a GPU"),
        cullIdleTimeout=IDLE,
        cullInterval=2,
    )


def places(team: Team, tabs: list[Tab]) -> list[int | None]:
    """The place of each kernel in the queue, None for one that does not wait."""
    kernels = [team.kernel(tab) or {} for tab in tabs]
    return [kernel.get("status", {}).get("queue", {}).get("position") for kernel in kernels]


def names_place(text: str, position: int, length: int) -> bool:
    """Whether a waiting text tells this place in a queue of this length."""
    return bool(re.search(rf"\b({ORDINALS[position]}|{position}) (of|/) {length}\b", text))


def test_kernels_beyond_the_gpus_wait_in_line_and_run_in_their_order(gpu_team: Team) -> None:
    team = gpu_team
    tabs: list[Tab] = []
    cells: list[Cell] = []

    # Two run.
    for _ in range(2):
        tabs.append(team.server.open("gpu"))
        cells.append(tabs[-1].start(HOLD))
    for tab in tabs:
        eventually(
            lambda tab=tab: (team.kernel(tab) or {}).get("status"),
            lambda status: (status or {}).get("phase") == "Running",
            within=30,
            what="a kernel with a free GPU runs",
        )

    # Three wait, each with its place and the reason.
    for _ in range(3):
        tabs.append(team.server.open("gpu"))
        cells.append(tabs[-1].start("import os; os.environ['HOSTNAME']"))
    waiting, waits = tabs[2:], cells[2:]
    eventually(
        lambda: places(team, tabs),
        lambda seen: seen == [None, None, 1, 2, 3],
        within=15,
        what="the places in the queue",
    )
    for place, (tab, cell) in enumerate(zip(waiting, waits, strict=True), start=1):
        status = the_status(team, tab)
        assert status["phase"] in ("Queued", "Pending")
        assert status["queue"]["length"] == 3
        assert "nvidia.com/gpu" in str(status["queue"]) + str(status["conditions"])
        cell.until(
            lambda cell, place=place: any(names_place(t, place, 3) for t in cell.displayed),
            within=10,
            what=f"the place {place} of 3 in the notebook",
        )
        assert re.search(r"GPU|nvidia\.com/gpu", cell.displayed[-1])
        assert not cell.ended
    assert len([p for p in team.cluster.list(team.namespace, "pods", name="jupyter-kernel")
                if p["spec"].get("nodeName")]) == 2  # fmt: skip

    # The first two end, idle away and are reclaimed, whatever tabs are open.
    for tab, cell in zip(tabs[:2], cells[:2], strict=True):
        team.cluster.exec(team.namespace, f"jovyan-{tab.kernel_id}", "touch", "/tmp/enough")
        assert cell.wait(within=10).result == "'held'"

    # The rest run in their order, two at a time.
    for tab, cell in zip(waiting, waits, strict=True):
        cell.wait(within=2 * (IDLE + 2 + 4) + 10)
        assert cell.result == f"'jovyan-{tab.kernel_id}'"
        assert [o["output_type"] for o in cell.outputs] == ["execute_result"], "no text stays"
    ended = [cell.idle_at or 0 for cell in waits]
    assert ended[2] - max(ended[:2]) > IDLE / 2, "the last one waits for the next reclaim"
    assert any(names_place(text, 1, 1) for text in waits[2].displayed)

    for tab in tabs:
        assert tab.open
        assert not {"restarting", "dead"} & set(tab.statuses())


def the_status(team: Team, tab: Tab) -> dict[str, Any]:
    kernel = team.kernel(tab)
    assert kernel is not None
    return kernel["status"]


def test_interrupting_a_waiting_cell_gives_up_its_place(gpu_team: Team) -> None:
    team = gpu_team
    holders = [team.server.open("gpu") for _ in range(2)]
    held = [tab.start(HOLD) for tab in holders]
    for tab in holders:
        eventually(
            lambda tab=tab: (team.kernel(tab) or {}).get("status"),
            lambda status: (status or {}).get("phase") == "Running",
            within=2 * (IDLE + 2 + 4) + 10,
            what="a kernel with a free GPU runs",
        )
    tab = team.server.open("gpu")
    cell = tab.start("1")
    cell.until(lambda cell: cell.displayed, within=15, what="the waiting text")

    tab.interrupt()
    assert cell.wait(within=10).reply["status"] == "error"
    for holder, hold in zip(holders, held, strict=True):
        team.cluster.exec(team.namespace, f"jovyan-{holder.kernel_id}", "touch", "/tmp/enough")
        assert hold.wait(within=10).reply["status"] == "ok"
    for each in (*holders, tab):
        each.close()
        each.shutdown()
        team.reclaimed(each, within=15)
