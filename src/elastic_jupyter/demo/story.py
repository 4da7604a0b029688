"""The demonstration: each step is done, seen, and told; one that goes otherwise ends it."""

import asyncio
import contextlib
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from elastic_jupyter.demo.front_end import Cell, Notebook, Server
from elastic_jupyter.demo.user import User
from elastic_jupyter.errors import ElasticJupyterError, StepDiffered

#: Seconds without an execution after which a kernel is reclaimed.
IDLE = 3
#: Seconds that a step may take. A machine with little else to do takes a few.
PATIENCE = 60.0
_WIDTH = 100

_COMPUTE = """
import time
for step in range(1, 5):
    print(f"step {step} of 4", flush=True)
    time.sleep(1)
total = 42
"""
_GREET = "print('hello from bob')"
_ASK = "print('total is', globals().get('total', 'not defined'))"


class Story:
    """Two users and one stand-in for a GPU. ``folder`` is theirs, and empty.

    ``tell`` gets a line for each thing that happened, ``whisper`` one for each message and for what
    the processes say.
    """

    def __init__(
        self, folder: Path, *, tell: Callable[[str], None], whisper: Callable[[str], None]
    ) -> None:
        self._print = tell
        self._whisper = whisper
        self._begun = time.monotonic()
        self._ann, self._bob = (self._make_user(name, folder) for name in ("ann", "bob"))

    def _make_user(self, name: str, folder: Path) -> User:
        home = folder / name
        home.mkdir()
        return User(name, home, leases=folder / "leases", idle=IDLE, say=self._aside(name))

    async def run(self) -> None:
        """Tell it from start to end. Raises ``StepDiffered``: which step, and what was seen.

        However it ends, all processes that it started have ended.
        """
        ann, bob = self._ann, self._bob
        self._tell("ann", f"runs {ann.command}")
        self._tell("bob", f"runs {bob.command}")
        try:
            async with self._step("each has a JupyterLab"):
                servers = await asyncio.gather(ann.start(), bob.start())
            self._tell("both", "have a JupyterLab, and share one GPU")
            async with self._tab(ann, servers[0]) as hers, self._tab(bob, servers[1]) as his:
                await self._bob_waits_for_ann(hers, his)
                await self._ann_waits_for_bob(hers, his)
        finally:
            await asyncio.gather(ann.stop(), bob.stop())
        async with self._step("everything has ended"):
            left = ann.kernels() + bob.kernels()
            _expect(left == 0, f"{left} processes of kernels run on")
        self._tell("both", "have pressed Ctrl-C; nothing of it runs any more")

    def hurry(self) -> None:
        """End at once what is ending in order."""
        self._ann.hurry()
        self._bob.hurry()

    async def _bob_waits_for_ann(self, hers: Notebook, his: Notebook) -> None:
        anns = await self._runs("ann", hers, _COMPUTE)
        async with self._step("ann computes", anns):
            self._tell("ann", f"has the GPU and computes: {await anns.shows('step 1 of 4')}")
        bobs = await self._runs("bob", his, _GREET)
        async with self._step("bob waits, and sees his place and for whom he waits", bobs):
            waiting = await bobs.shows("1st of 1 in the queue", "by ann")
            self._tell("bob", f"runs a cell, too: {waiting}")
        async with self._step("ann's cell ends while bob waits", anns, bobs):
            await _succeeds(anns)
            _expect(bobs.status is None, "bob's cell has run beside hers")
            self._tell("ann", "her cell has ended, and she leaves the tab open")
        await self._is_reclaimed(self._ann, hers)
        async with self._step("bob runs", bobs):
            await _succeeds(bobs)
            self._tell("bob", f"has the GPU, and his cell runs: {await bobs.shows('hello')}")

    async def _ann_waits_for_bob(self, hers: Notebook, his: Notebook) -> None:
        again = await self._runs("ann", hers, _ASK)
        async with self._step("ann waits, and sees her place and for whom she waits", again):
            waiting = await again.shows("1st of 1 in the queue", "by bob")
            self._tell("ann", f"runs a cell in the same tab: {waiting}")
        await self._is_reclaimed(self._bob, his)
        async with self._step("ann's kernel wakes, and she reads with what", again):
            await _succeeds(again)
            self._tell("ann", f"has the GPU again: {await again.shows('The kernel woke with')}")
            self._tell("ann", f"her cell runs: {await again.shows('total is 42')}")
            _expect(hers.is_open, "her websocket was closed meanwhile")

    async def _runs(self, who: str, tab: Notebook, code: str) -> Cell:
        async with self._step(f"{who} runs a cell"):
            return await tab.run(code)

    async def _is_reclaimed(self, user: User, tab: Notebook) -> None:
        """Wait for the end of the process; it must not come too early, nor close the tab."""
        ended_at = time.monotonic()
        async with self._step(f"{user.name} is idle, and the kernel is reclaimed"):
            await user.has_no_kernel()
            idle = time.monotonic() - ended_at
            _expect(idle > IDLE - 1, f"it was reclaimed after {idle:.1f} s of {IDLE}")
            _expect(tab.is_open, "the websocket was closed with it")
            self._tell(user.name, "was idle, and sleeps: variables saved, GPU free, tab open")

    # -- how it is told

    @contextlib.asynccontextmanager
    async def _step(self, name: str, *cells: Cell) -> AsyncIterator[None]:
        """A step that must be done in time. ``cells``: what to look at when it is not."""
        try:
            async with asyncio.timeout(PATIENCE):
                yield
        except TimeoutError:
            seen = f"not within {PATIENCE:.0f} s"
        except ElasticJupyterError as error:
            seen = str(error)
        else:
            return
        shown = "".join(f"; the cell shows {cell.texts}" for cell in cells)
        raise StepDiffered(f"a step went otherwise: {name}: {seen}{shown}")

    @contextlib.asynccontextmanager
    async def _tab(self, user: User, server: Server) -> AsyncIterator[Notebook]:
        async with self._step(f"{user.name} opens a notebook"):
            notebook = await server.open(
                f"{user.name}.ipynb", "python3-gpu", self._aside(user.name)
            )
        async with notebook:
            yield notebook

    def _tell(self, who: str, text: str) -> None:
        line = self._line(who, text)
        self._print(textwrap.fill(line, _WIDTH, subsequent_indent=" " * len(self._line("", ""))))

    def _aside(self, who: str) -> Callable[[str], None]:
        return lambda text: self._whisper(self._line(who, f"| {text}"))

    def _line(self, who: str, text: str) -> str:
        return f"{time.monotonic() - self._begun:5.1f} s  {who:<4}  {text}"


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise StepDiffered(otherwise)


async def _succeeds(cell: Cell) -> None:
    status = await cell.ends()
    _expect(status == "ok", f"the cell ended with the status {status}")
