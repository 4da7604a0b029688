"""When an idle kernel is reclaimed, and what the next cell finds."""

import re
import time

import pytest

from tests.scenarios.world import World
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.jupyterlab import jupyterlab


def look_busy(tab: Tab) -> None:
    """What a front end sends unasked; none of it counts as use."""
    tab.client.complete("pri")
    tab.client.kernel_info()


class Reclaim:
    """A kernel that nobody uses, and one that only looks so."""

    def test_a_cell_longer_than_the_timeout_is_not_touched(self, hasty: World) -> None:
        long = hasty.idle + hasty.slack + 1
        with hasty.server.notebook() as tab:
            cell = tab.run(f"import time; time.sleep({long}); 'whole'", within=long + 30)
            assert cell.result == "'whole'"
            assert hasty.left_of(tab), "its idle time starts at its end"
            assert [k["status"]["epoch"] for k in [hasty.kernel(tab)] if k] == [1]

    def test_what_a_front_end_sends_unasked_is_no_use(self, hasty: World) -> None:
        with hasty.server.notebook() as tab:
            cell = tab.run("1", within=60)
            assert cell.idle_at is not None
            deadline = cell.idle_at + hasty.idle
            _, _, gone_at = eventually(
                lambda: (look_busy(tab), hasty.left_of(tab), time.monotonic()),
                lambda seen: not seen[1],
                within=deadline + hasty.slack - time.monotonic(),
                what="nothing left of the kernel",
            )
            assert gone_at > deadline - 0.5, "reclaimed too early"
            assert tab.open

    @pytest.mark.parametrize("gateway_restarts", [False, True], ids=["", "after a gateway restart"])
    def test_the_next_cell_after_a_reclaim_runs_and_says_what_is_lost(
        self, hasty: World, *, gateway_restarts: bool
    ) -> None:
        with hasty.server.notebook() as tab:
            assert tab.run("kept = 1", within=60).reply["status"] == "ok"
            hasty.reclaimed(tab, within=hasty.idle + hasty.slack)
            if gateway_restarts:
                hasty.restart_gateway()
            assert tab.kernel_id in hasty.server.kernel_ids(), "JupyterLab still shows the kernel"
            assert tab.session["id"] in hasty.server.session_ids()

            first = tab.start("'kept' in dir()")
            second = tab.start("1 + 1")
            assert first.wait(within=40).result == "False"
            assert second.wait(within=10).result == "2"

            shown = " ".join([first.text, *first.displayed])
            assert re.search(r"given back|reclaimed", shown), shown
            assert "its variables are gone" in shown, shown
            assert hasty.runs(tab)["status"]["epoch"] == 2, "the same kernel id"
            assert tab.open
            assert not {"restarting", "dead"} & set(tab.statuses())

    def test_jupyterlab_itself_sees_nothing_but_the_notice(self, hasty: World) -> None:
        with jupyterlab(lambda: hasty.server) as tab:
            tab.run("kept = 1", within=60)
            hasty.reclaimed(tab, within=hasty.idle + hasty.slack)
            cell = tab.run("'kept' in dir()", within=40)
            assert cell.result == "False"
            assert "its variables are gone" in cell.text, cell.text
            assert tab.connections == ["connected"]
            assert not {"restarting", "autorestarting", "terminating", "dead"} & set(tab.statuses())
