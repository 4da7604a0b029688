"""A kernel that sleeps while it is idle: the next cell finds its variables."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.scenarios.gateway_gone import ends_with_its_reply_or_names_the_gap
from tests.scenarios.gpu_queue import Holder, phase, run
from tests.scenarios.world import Tab as AnyTab
from tests.scenarios.world import World
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Cell, OpenNotebook, Tab
from tests.support.jupyterlab import LabTab, jupyterlab

#: Seconds for a cell that wakes its kernel.
AWAKE_WITHIN = 60
#: The same where JupyterLab first looks for its server again, at longer and longer intervals.
BACK_WITHIN = 150


def asleep(world: World, tab: AnyTab, *, within: float | None = None) -> None:
    """Wait until a kernel sleeps and nothing runs of it."""
    within = within or world.idle + world.slack + 10
    eventually(
        lambda: phase(world, tab), lambda seen: seen == "Hibernated", within=within, what="sleep"
    )
    eventually(
        lambda: world.placed([tab]), lambda left: not left, within=15, what="no process or pod"
    )


def conditions(world: World, tab: AnyTab) -> list[dict[str, Any]]:
    """Return what the object's conditions say."""
    status = (world.kernel(tab) or {}).get("status", {})
    said: list[dict[str, Any]] = status.get("conditions", [])
    return said


def answered(tab: Tab) -> None:
    """Ask what a front end asks of an open notebook, and wait until it all is answered."""
    asked = {
        "kernel_info_reply": tab.client.kernel_info(force=True),
        "complete_reply": tab.client.complete("ke"),
        "inspect_reply": tab.client.inspect("kept"),
        "history_reply": tab.client.history(),
        "comm_info_reply": tab.client.comm_info(),
    }
    for msg_type, message_id in asked.items():
        tab.cell(message_id).until(
            lambda cell, msg_type=msg_type: cell.messages(msg_type) and cell.idle_at,
            within=20,
            what=msg_type,
        )


def gives_its_gpu_back(holder: Holder) -> None:
    """End a holder, whose reply may have come while there was no gateway."""
    holder.world.touch(holder.tab, holder.file)
    ends_with_its_reply_or_names_the_gap(holder.cell.wait(within=30))
    holder.tab.close()
    holder.tab.shutdown()


LOST = ["the gateway", "the gateway, in good order", "the connection"]


def runs_though_it_waits_and_meanwhile_is_lost(
    world: World, tab: OpenNotebook, code: str, lost: str
) -> Cell:
    """Run what gives 2 in a kernel that gets its GPU only when ``lost`` is there again."""
    holders = [Holder(world) for _ in range(world.gpus)]
    for holder in holders:
        holder.cell.until(lambda cell: cell.messages("execute_input"), within=60, what="its start")
    cell = tab.start(code)
    cell.until(lambda cell: cell.displayed, within=20, what="the waiting text")
    if lost == "the connection":
        tab.reconnect()
    elif lost == "the gateway":
        world.replace_gateway()
    else:
        world.restart_gateway()
    if lost != "the connection":
        what = "what the next gateway says of the wait"
        cell.until(lambda cell: len(cell.messages("display_data")) > 1, within=60, what=what)
        assert len(cell.outputs) == 1, f"it waits twice: {cell.outputs}"
    for holder in holders:
        gives_its_gpu_back(holder)
    assert cell.wait(within=AWAKE_WITHIN).result == "2", tab.transcript(12)
    return cell


Opener = Callable[..., AbstractContextManager[OpenNotebook]]


def in_a_client(world: World, kernel: str = "python3") -> AbstractContextManager[Tab]:
    """Open a notebook whose websocket is never opened anew."""
    return world.server.notebook(kernel)


def in_jupyterlab(world: World, kernel: str = "python3") -> AbstractContextManager[LabTab]:
    """Open a notebook as JupyterLab does."""
    return jupyterlab(lambda: world.server, kernel)


in_both = pytest.mark.parametrize(
    "notebook",
    [pytest.param(in_a_client, id="client"), pytest.param(in_jupyterlab, id="JupyterLab")],
)


class Hibernation:
    """On an engine whose kernels sleep after seconds."""

    @in_both
    def test_the_next_cell_finds_the_variables(self, sleepy: World, notebook: Opener) -> None:
        code = "import math\nnumbers = list(range(1000))\ndef area(r): return round(math.pi * r, 2)"
        with notebook(sleepy) as tab:
            assert tab.run(code, within=60).reply["status"] == "ok"
            asleep(sleepy, tab)
            first = tab.start("area(2), sum(numbers)")
            second = tab.start("numbers.append(7); len(numbers)")
            third = tab.start("len(numbers) + 1")
            assert first.wait(within=AWAKE_WITHIN).result == "(6.28, 499500)"
            assert second.wait(within=10).result == "1001"
            assert third.wait(within=10).result == "1002"
            assert "woke with" in first.text, first.text
            assert "numbers" in first.text, first.text
            assert "area" in first.text, first.text
            assert "woke" not in second.text
            # In whatever phase: it may sleep again before anybody says that it runs.
            assert [one["status"]["epoch"] for one in [sleepy.kernel(tab)] if one] == [2]
            assert [first.reply["execution_count"], third.reply["execution_count"]] == [2, 4]
            assert tab.open
            assert not {"restarting", "dead"} & set(tab.statuses())

    def test_it_sleeps_and_wakes_again_and_again(self, sleepy: World) -> None:
        with sleepy.server.notebook() as tab:
            tab.run("count = 0", within=60)
            for turn in range(1, 4):
                asleep(sleepy, tab)
                cell = tab.run("count += 1; count", within=AWAKE_WITHIN)
                assert cell.result == str(turn), (cell.result, tab.transcript(12))

    def test_what_needs_no_kernel_is_answered_while_it_sleeps(self, sleepy: World) -> None:
        with sleepy.server.notebook() as tab:
            tab.run("kept = 1", within=60)
            asleep(sleepy, tab)
            answered(tab)
            assert phase(sleepy, tab) == "Hibernated"
            assert tab.kernel_id in sleepy.server.kernel_ids()

    def test_what_cannot_be_saved_is_named(self, sleepy: World) -> None:
        code = "kept = 1\nrunning = (n for n in range(3))\nnext(running)"
        with sleepy.server.notebook() as tab:
            assert tab.run(code, within=60).result == "0"
            asleep(sleepy, tab)
            cell = tab.run("kept, 'running' in dir()", within=AWAKE_WITHIN)
            assert cell.result == "(1, False)"
            assert "Not restored" in cell.text, cell.text
            assert "running (generator" in cell.text, cell.text
            eventually(
                lambda: [one for one in conditions(sleepy, tab) if one["type"] == "Restored"],
                lambda said: said and "running (generator" in said[0]["message"],
                within=sleepy.slack + 10,
                what="the condition that names it",
            )

    def test_a_widget_says_that_its_kernel_sleeps_and_works_on_after_it(
        self, sleepy: World
    ) -> None:
        code = (
            "import ipywidgets as w\nmoves = []\nslider = w.IntSlider(1)\n"
            "slider.observe(lambda change: moves.append(change.new), 'value')\n"
            "print(slider.model_id, end='')"
        )
        with sleepy.server.notebook() as tab:
            slider = tab.run(code, within=60).stdout
            asleep(sleepy, tab)
            touch = tab.touch(slider, method="update", state={"value": 5})
            assert "The kernel of this widget sleeps" in touch.text
            assert phase(sleepy, tab) == "Hibernated"
            assert tab.run("slider.value, moves", within=AWAKE_WITHIN).result == "(5, [5])"
            tab.touch(slider, method="update", state={"value": 7})
            assert tab.run("slider.value, moves").result == "(7, [5, 7])"

    @in_both
    @pytest.mark.parametrize("gone", ["gateway restarts", "gateway dies", "notebook server"])
    def test_it_wakes_though_others_were_replaced_meanwhile(
        self, sleepy: World, notebook: Opener, gone: str
    ) -> None:
        with notebook(sleepy) as tab:
            tab.run("kept = [1]", within=60)
            asleep(sleepy, tab)
            if gone == "gateway restarts":
                sleepy.restart_gateway()
            elif gone == "gateway dies":
                sleepy.replace_gateway()
            else:
                sleepy.replace_notebook_server()
                if isinstance(tab, Tab):  # JupyterLab finds the next one itself
                    tab.close()
                    tab = sleepy.server.attach(tab.session, client_id=tab.client_id)
            assert tab.kernel_id in sleepy.server.kernel_ids()
            assert tab.run("kept", within=BACK_WITHIN).result == "[1]"

    def test_a_cell_that_comes_while_it_is_saved_runs(self, sleepy: World) -> None:
        """It cancels the save, or wakes the kernel after it: either way nothing is lost."""
        with sleepy.server.notebook() as tab:
            tab.run("import os\nlarge = os.urandom(300_000_000)", within=60)
            eventually(
                lambda: phase(sleepy, tab),
                lambda seen: seen in ("Hibernating", "Hibernated"),
                within=sleepy.idle + sleepy.slack + 10,
                what="the beginning of the save",
            )
            assert tab.run("len(large)", within=AWAKE_WITHIN).result == "300000000"
            asleep(sleepy, tab, within=120)
            assert tab.run("len(large)", within=AWAKE_WITHIN).result == "300000000"

    @in_both
    @pytest.mark.usefixtures("gpus")
    def test_an_interrupt_of_the_wake_keeps_the_variables(
        self, sleepy: World, notebook: Opener
    ) -> None:
        with notebook(sleepy, sleepy.gpu) as tab:
            tab.run("kept = 1", within=60)
            asleep(sleepy, tab)
            holders = [Holder(sleepy) for _ in range(sleepy.gpus)]
            run(sleepy, holders, within=60)
            cell = tab.start("kept")
            cell.until(lambda cell: cell.displayed, within=20, what="the waiting text")
            tab.interrupt()
            assert cell.wait(within=20).error == "KeyboardInterrupt"
            asleep(sleepy, tab)
            for holder in holders:
                holder.let_go()
            assert tab.run("kept", within=AWAKE_WITHIN).result == "1"

    @pytest.mark.usefixtures("gpus")
    @in_both
    @pytest.mark.parametrize("lost", LOST)
    def test_a_wake_goes_on_though_meanwhile_is_lost(
        self, sleepy: World, notebook: Opener, lost: str
    ) -> None:
        with notebook(sleepy, sleepy.gpu) as tab:
            tab.run("kept = 1", within=60)
            asleep(sleepy, tab)
            cell = runs_though_it_waits_and_meanwhile_is_lost(sleepy, tab, "kept + 1", lost)
            assert "woke with kept" in cell.text, tab.transcript()

    def test_a_restart_drops_the_variables_and_says_so(self, sleepy: World) -> None:
        with sleepy.server.notebook() as tab:
            tab.run("kept = 1", within=60)
            asleep(sleepy, tab)
            tab.restart()
            cell = tab.run("'kept' in dir()", within=AWAKE_WITHIN)
            assert cell.result == "False"
            assert "that were saved of it are gone" in cell.text, cell.text

    @in_both
    def test_two_tabs_of_one_kernel_both_see_it_wake(self, sleepy: World, notebook: Opener) -> None:
        with notebook(sleepy) as tab:
            tab.run("kept = 1", within=60)
            other = tab.beside()
            asleep(sleepy, tab)
            assert other.run("kept", within=AWAKE_WITHIN).result == "1"
            assert tab.run("kept + 1", within=10).result == "2"
            other.close()

    def test_a_page_that_is_loaded_anew_while_it_sleeps_wakes_it(self, sleepy: World) -> None:
        with in_jupyterlab(sleepy) as tab:
            tab.run("kept = 1", within=60)
            asleep(sleepy, tab)
            kernel_id = tab.kernel_id
            tab.reload()
            assert tab.session["kernel"]["id"] == kernel_id
            assert phase(sleepy, tab) == "Hibernated"
            assert tab.run("kept", within=AWAKE_WITHIN).result == "1"


class LazyStart:
    """On an engine whose kernels start with their first cell."""

    @pytest.mark.usefixtures("gpus")
    def test_a_kernel_that_is_opened_takes_nothing(self, lazy: World) -> None:
        with lazy.server.notebook(lazy.gpu) as tab:
            eventually(
                lambda: phase(lazy, tab), lambda seen: seen == "Dormant", within=20, what="sleep"
            )
            answered(tab)
            assert lazy.placed([tab]) == 0
            cell = tab.run("1 + 1", within=AWAKE_WITHIN)
            assert cell.result == "2"
            assert "elastic-jupyter]" not in cell.text, "nothing was lost"
            assert lazy.runs(tab)["status"]["epoch"] == 1

    @pytest.mark.usefixtures("gpus")
    @pytest.mark.parametrize("lost", LOST[:2])
    def test_its_first_cell_waits_on_though_meanwhile_is_lost(self, lazy: World, lost: str) -> None:
        with lazy.server.notebook(lazy.gpu) as tab:
            runs_though_it_waits_and_meanwhile_is_lost(lazy, tab, "1 + 1", lost)

    def test_jupyterlab_itself_starts_it(self, lazy: World) -> None:
        with in_jupyterlab(lazy) as tab:
            assert tab.run("6 * 7", within=AWAKE_WITHIN).result == "42"
