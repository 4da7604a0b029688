"""SIGKILL of each process in turn, at every moment of a life, while notebooks compute.

Five rounds among the other tests, in which each has its turn; fifty with ``make chaos``
(``CHAOS_ROUNDS``), chosen by the time. ``CHAOS_SEED`` has a run chosen again; the moments within a
round are as random as the machine.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elastic_jupyter.errors import NotFound
from elastic_jupyter.store.protocol import Key
from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
from tests.support.counting import CountingNotebook
from tests.support.eventually import eventually
from tests.support.invariants import damaged, kernel_processes, phases, unsettled, watched
from tests.support.jupyter_tab import Cell
from tests.support.machine import GATEWAY, NAMESPACE, NOTEBOOK_SERVER, READY_WITHIN, Machine

pytestmark = pytest.mark.long

ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or 5)
SEED = int(os.environ.get("CHAOS_SEED") or 1)
#: Seconds after which a kernel without use is reclaimed.
IDLE = 8
#: Seconds for the next cell of each notebook: one waits for a turn on a GPU.
CELL_WITHIN = 90.0
SETTLED_WITHIN = 30.0
#: The errors of cells whose kernel was killed.
KILLED = ("KernelDied", "KernelStartError")


class Chaos:
    """A machine with two stand-ins, three notebooks that want one, and one that does not."""

    def __init__(self, machine: Machine, chance: random.Random) -> None:
        self.machine, self.chance = machine, chance
        self.plain = CountingNotebook(machine, "python3")
        self.on_gpus = [CountingNotebook(machine, machine.gpu) for _ in range(machine.gpus + 1)]
        self.notebooks = [self.plain, *self.on_gpus]
        self.held: list[tuple[Cell, Path]] = []
        #: The incarnation of ``plain`` that computes all through the round and is known to, so
        #: that it must be there afterwards; None: no kernel was seen to.
        self.busy: str | None = None

    # -- moments: what is under way when the signal comes

    def a_kernel_starts(self) -> None:
        self._ask_for_a_kernel()
        self._pass(0.8)

    def a_cell_runs(self) -> None:
        cell = self.hold(self.plain)
        cell.until(
            lambda cell: cell.messages("execute_input"), within=CELL_WITHIN, what="its start"
        )
        # In every second round the signal may come before its object says that it computes.
        if self.chance.random() < 0.5:
            self.busy = eventually(
                self._computing, bool, within=CELL_WITHIN, what="an object that says a cell runs"
            )
        self._pass(2.5)

    def _computing(self) -> str | None:
        """Return the incarnation of ``plain``, if its object says that a cell runs in it."""
        kernel = self.machine.kernel(self.plain.tab) or {}
        if not kernel.get("status", {}).get("activity", {}).get("busy"):
            return None
        return f"{kernel['metadata']['uid']}.{kernel['status']['epoch']}"

    def a_kernel_waits_for_a_gpu(self) -> None:
        for notebook in self.on_gpus:
            self.hold(notebook)
        eventually(
            lambda: [self.phase(notebook) for notebook in self.on_gpus],
            lambda phases: "Queued" in phases,
            within=CELL_WITHIN,
            what="a kernel that waits for a GPU",
        )
        self._pass(0.5)

    def a_kernel_is_reclaimed(self) -> None:
        running = [one for one in self.notebooks if self.phase(one) == "Running"]
        if not running:
            self._ask_for_a_kernel()
            running = [self.plain]
        self.release(self.chance.choice(running))
        self._pass(0.6)

    def something_was_written(self) -> None:
        with a_listener(self.machine.state / "bells") as rings:
            if self.chance.random() < 0.5:
                self.a_kernel_is_reclaimed()
            self._ask_for_a_kernel()
            for _ in range(self.chance.randrange(1, 8)):
                rings.recv(1)

    def _ask_for_a_kernel(self) -> None:
        """Run a cell where no kernel is, or restart one."""
        asleep = [one for one in self.notebooks if self.phase(one) is None]
        if asleep:
            self.chance.choice(asleep).send()
        else:
            self.plain.restart()

    def _pass(self, most: float) -> None:
        """Let some time pass: the moment is random, so there is nothing to wait for."""
        time.sleep(self.chance.uniform(0, most))

    def hold(self, notebook: CountingNotebook) -> Cell:
        self.held.append(notebook.hold(self.machine.root))
        return self.held[-1][0]

    def let_go(self) -> None:
        for _, file in self.held:
            file.touch()
        self.held.clear()

    # -- victims

    def round(self, victims: tuple[str, ...], moment: Callable[["Chaos"], None]) -> None:
        """Kill the victims at that moment, and see that all goes on."""
        self.busy = None
        services = {name: pid for name in SERVICES if (pid := self.service(name))}
        assert services.keys() == SERVICES.keys(), f"not all of the machine runs: {services}"
        for notebook in self.chance.sample(self.notebooks, self.chance.randrange(4)):
            notebook.send(seconds=self.chance.uniform(0, 0.4))
        moment(self)
        for victim in victims:
            pid = services[victim] if victim in services else self._any_kernel()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._is_up_again({name: services[name] for name in victims if name in services})
        self.let_go()
        self._next_cells_run({"KernelReleased", *(KILLED if "kernel" in victims else ())})
        if self.busy and "kernel" not in victims:
            assert self.plain.life == self.busy, (
                f"{self.plain.name}: {self.busy} was computing and is replaced by {self.plain.life}"
            )
        eventually(
            lambda: unsettled(self.machine),
            lambda wrong: not wrong,
            within=SETTLED_WITHIN,
            what="a machine on which all is right",
        )
        assert damaged(self.machine) == []

    def service(self, name: str) -> int | None:
        process = self.machine.process
        assert process is not None
        return process.pid if name == "supervisor" else self.machine.service(SERVICES[name])

    def _any_kernel(self) -> int:
        kernels = eventually(
            lambda: kernel_processes(self.machine), bool, within=CELL_WITHIN, what="a kernel"
        )
        return self.chance.choice(kernels).pid

    def _is_up_again(self, killed: dict[str, int]) -> None:
        if "supervisor" in killed:
            process = self.machine.process
            assert process is not None
            process.wait(5)
            self.machine.up()  # at once, as a service manager does
        for name, pid in killed.items():
            eventually(
                lambda name=name: self.service(name),
                lambda found, pid=pid: found not in (None, pid),
                within=READY_WITHIN,
                what=f"another {name}",
            )
        self.machine.gateway_answers()
        if killed.keys() & {"supervisor", "notebook server"}:
            for notebook in self.notebooks:
                notebook.return_to(self.machine.server)
        assert all(notebook.tab.open for notebook in self.notebooks), "a websocket was closed"

    def _next_cells_run(self, excuses: set[str]) -> None:
        """See that a cell of each notebook runs, the next one after one that ends with an excuse.

        An excuse is the name of an error that tells what was done to the kernel.
        """
        last = {notebook: notebook.send() for notebook in self.notebooks}
        excused = set[CountingNotebook]()

        def unfinished() -> list[str]:
            for notebook, cell in last.items():
                if cell.ended and cell.error in excuses and notebook not in excused:
                    excused.add(notebook)
                    last[notebook] = notebook.send()
            left = [notebook for notebook in last if not notebook.answered]
            self._make_room(left)
            return [f"{one.name}:\n{one.tab.transcript(5)}" for one in left]

        eventually(
            unfinished,
            lambda left: not left,
            within=CELL_WITHIN,
            what="the end of all cells in each notebook",
        )
        for notebook, cell in last.items():
            notebook.settle(cell)

    def _make_room(self, left: list[CountingNotebook]) -> None:
        """Give a GPU back where one of these waits for it and another one is done."""
        seen = phases(self.machine)
        if "Queued" in [seen.get(one.tab.kernel_id) for one in left]:
            others = [one for one in self.on_gpus if one not in left]
            done = [one for one in others if seen.get(one.tab.kernel_id) == "Running"]
            if done:
                self.release(self.chance.choice(done))

    # -- what is known of a kernel

    def phase(self, notebook: CountingNotebook) -> str | None:
        return phases(self.machine).get(notebook.tab.kernel_id)

    def release(self, notebook: CountingNotebook) -> None:
        """What ``elastic-jupyter release`` does."""
        kernel = self.machine.kernel(notebook.tab)
        if kernel is not None:
            asyncio.run(self._release(kernel["metadata"]))

    async def _release(self, metadata: dict[str, str]) -> None:
        database = open_database(self.machine.state / "objects.db")
        try:
            with contextlib.suppress(NotFound):
                key = Key(NAMESPACE, metadata["name"])
                await SqliteKernelStore(database).wish(key, uid=metadata["uid"], suspend=True)
        finally:
            database.close()


SERVICES = {"supervisor": "", "gateway": GATEWAY, "notebook server": NOTEBOOK_SERVER}
VICTIMS = (
    ("supervisor",),
    ("gateway",),
    ("notebook server",),
    ("kernel",),
    ("supervisor", "gateway"),
)
MOMENTS = (
    Chaos.a_kernel_starts,
    Chaos.a_cell_runs,
    Chaos.a_kernel_waits_for_a_gpu,
    Chaos.a_kernel_is_reclaimed,
    Chaos.something_was_written,
)


def plan(chance: random.Random) -> Iterator[tuple[tuple[str, ...], Callable[[Chaos], None]]]:
    """Yield victims and moments; in five rounds each has its turn."""
    while True:
        yield from zip(
            chance.sample(VICTIMS, len(VICTIMS)), chance.sample(MOMENTS, len(MOMENTS)), strict=True
        )


@contextlib.contextmanager
def a_listener(bells: Path) -> Iterator[socket.socket]:
    """Hear of every write into the database, right after it."""
    name = uuid.uuid4().hex
    folder = os.open(bells, os.O_PATH)  # the path of a socket may have no more than 107 bytes
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(f"/proc/self/fd/{folder}/{name}")
            listener.settimeout(CELL_WITHIN)
            yield listener
        finally:
            os.close(folder)
            (bells / name).unlink(missing_ok=True)


def test_the_notebook_says_that_variables_are_gone_though_its_server_is_killed_as_it_is_told(
    new_machine: Callable[..., Machine],
) -> None:
    machine = new_machine().up()
    notebook = CountingNotebook(machine, "python3")
    notebook.settle(notebook.send().wait(within=CELL_WITHIN))
    [lost] = kernel_processes(machine)
    os.kill(lost.pid, signal.SIGKILL)
    eventually(
        lambda: phases(machine),
        lambda seen: seen == {notebook.tab.kernel_id: "Failed"},
        within=SETTLED_WITHIN,
        what="a kernel that is lost",
    )
    ran = notebook.mark(machine.root)
    eventually(ran.exists, bool, within=CELL_WITHIN, what="a cell in a new kernel")
    killed = machine.service(NOTEBOOK_SERVER)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(
        lambda: machine.service(NOTEBOOK_SERVER),
        lambda found: found not in (None, killed),
        within=READY_WITHIN,
        what="another notebook server",
    )
    notebook.return_to(machine.server)
    notebook.settle(notebook.send().wait(within=CELL_WITHIN))


@pytest.mark.timeout(120 + 120 * ROUNDS)
def test_whatever_is_killed_whenever_nothing_is_lost_doubled_or_left(
    new_machine: Callable[..., Machine],
) -> None:
    chance = random.Random(SEED)
    machine = new_machine(idle=IDLE, gpus=2).up()
    chaos = Chaos(machine, chance)
    with watched(machine) as found:
        for number, (victims, moment) in zip(range(1, ROUNDS + 1), plan(chance), strict=False):
            about = f"round {number} of CHAOS_SEED={SEED}: {' and '.join(victims)} killed when "
            about += moment.__name__.replace("_", " ")
            begun = time.monotonic()
            try:
                chaos.round(victims, moment)
            except Exception as error:
                raise AssertionError(f"{about}: {error}") from error
            assert not found, f"{about}: {found}"
            print(f"{about}: all is right after {time.monotonic() - begun:.1f} s", flush=True)
