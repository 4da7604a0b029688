"""More kernels than GPUs: who waits, what the notebook says meanwhile, who comes next."""

import contextlib
import re
import uuid
from collections.abc import Iterator

from tests.scenarios.world import Object, World
from tests.scenarios.world import Tab as AnyTab
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Cell, Tab

ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


class Holder:
    """A notebook whose cell keeps a GPU busy until it is told that this is enough."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.file = f"/tmp/{uuid.uuid4().hex}"
        self.tab: Tab = world.server.open(world.gpu)
        self.cell: Cell = self.tab.start(
            f"import os, time\nwhile not os.path.exists('{self.file}'): time.sleep(0.05)\n'held'"
        )

    def let_go(self) -> None:
        self.world.touch(self.tab, self.file)
        assert self.cell.wait(within=10).result == "'held'"


def phase(world: World, tab: AnyTab) -> str | None:
    """Return the phase of a tab's kernel."""
    kernel = world.kernel(tab) or {}
    return kernel.get("status", {}).get("phase")


def run(world: World, holders: list[Holder], *, within: float) -> None:
    """Wait until all of these have their GPU."""
    eventually(
        lambda: [phase(world, holder.tab) for holder in holders],
        lambda phases: phases == ["Running"] * len(holders),
        within=within,
        what="kernels with a free GPU run",
    )


def queues(world: World, tabs: list[Tab]) -> list[Object]:
    """What each kernel tells of the queue it is in, nothing of one that does not wait."""
    return [(world.kernel(tab) or {}).get("status", {}).get("queue", {}) for tab in tabs]


def names_place(text: str, position: int, length: int) -> bool:
    """Whether a waiting text tells this place in a queue of this length."""
    return bool(re.search(rf"\b({ORDINALS[position]}|{position}) (of|/) {length}\b", text))


class GpuQueue:
    """On a world with kernels for ``gpus`` GPUs, which reclaims after seconds."""

    def test_kernels_beyond_the_gpus_wait_in_line_and_run_in_their_order(
        self, hasty: World
    ) -> None:
        with contextlib.ExitStack() as stack:
            holders = [stack.enter_context(a_holder(hasty)) for _ in range(hasty.gpus)]
            run(hasty, holders, within=30)

            # Three wait, each with its place and the reason.
            waiting: list[Tab] = []
            waits: list[Cell] = []
            for _ in range(3):
                waiting.append(stack.enter_context(hasty.server.notebook(hasty.gpu)))
                waits.append(waiting[-1].start("import os; os.environ['KERNEL_ID']"))
            eventually(
                lambda: queues(hasty, waiting),
                lambda seen: (
                    [(one.get("position"), one.get("length")) for one in seen]
                    == [(1, 3), (2, 3), (3, 3)]
                    and all(hasty.what_is_missing in one["reason"] for one in seen)
                ),
                within=15,
                what="the places in the queue",
            )
            assert queues(hasty, [holder.tab for holder in holders]) == [{}] * hasty.gpus
            for place, (tab, cell) in enumerate(zip(waiting, waits, strict=True), start=1):
                assert phase(hasty, tab) == "Queued"
                cell.until(
                    lambda cell, place=place: any(
                        names_place(text, place, 3) and hasty.what_is_missing in text
                        for text in cell.displayed
                    ),
                    within=10,
                    what=f"the place {place} of 3 in the notebook, and what is missing",
                )
                assert not cell.ended
            assert hasty.placed([*(one.tab for one in holders), *waiting]) == hasty.gpus

            # The first ones end, idle away and are reclaimed, whatever tabs are open.
            for holder in holders:
                holder.let_go()

            # The rest run in their order, as many at a time as there are GPUs.
            for tab, cell in zip(waiting, waits, strict=True):
                cell.wait(within=2 * (hasty.idle + hasty.slack) + 10)
                assert cell.result == f"'{tab.kernel_id}'"
                outputs = [output["output_type"] for output in cell.outputs]
                assert outputs == ["execute_result"], "no text stays"
            ended = [cell.idle_at or 0 for cell in waits]
            assert ended[2] - min(ended[:2]) > hasty.idle - 1, "the last waits for the next reclaim"
            assert any(names_place(text, 1, 1) for text in waits[2].displayed)

            for tab in [*(holder.tab for holder in holders), *waiting]:
                assert tab.open
                assert not {"restarting", "dead"} & set(tab.statuses())

    def test_interrupting_a_waiting_cell_gives_up_its_place(self, hasty: World) -> None:
        with contextlib.ExitStack() as stack:
            holders = [stack.enter_context(a_holder(hasty)) for _ in range(hasty.gpus)]
            run(hasty, holders, within=2 * (hasty.idle + hasty.slack) + 10)
            tab = stack.enter_context(hasty.server.notebook(hasty.gpu))
            cell = tab.start("1")
            cell.until(lambda cell: cell.displayed, within=15, what="the waiting text")

            tab.interrupt()
            assert cell.wait(within=10).reply["status"] == "error"
            eventually(
                lambda: queues(hasty, [tab]),
                lambda seen: seen == [{}],
                within=10,
                what="nobody in the queue",
            )
            for holder in holders:
                holder.let_go()
        for each in (*(holder.tab for holder in holders), tab):
            hasty.reclaimed(each, within=15)


@contextlib.contextmanager
def a_holder(world: World) -> Iterator[Holder]:
    """A kernel with a GPU, shut down with the block."""
    holder = Holder(world)
    try:
        yield holder
    finally:
        holder.tab.close()
        holder.tab.shutdown()
