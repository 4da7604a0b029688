"""A notebook whose cells count in a variable, and the test's own account of what it must be."""

import uuid
from pathlib import Path

import requests

from tests.support.eventually import eventually
from tests.support.jupyter_tab import Cell, NotebookServer, Tab
from tests.support.machine import READY_WITHIN, Machine

GONE = "its variables are gone"

_COUNT = """
import os, time
count = globals().get("count", 0) + 1
{then}
print(os.environ["ELASTIC_JUPYTER_INCARNATION"], count)
"""


class CountingNotebook:
    """One tab, which is opened again whenever its notebook server is another one.

    ``life`` is the incarnation that answered last, None: none has, or the test has ended it.
    ``count`` is what its variable was then.
    """

    def __init__(self, machine: Machine, spec: str) -> None:
        self.spec = spec
        self.tab: Tab = machine.server.open(spec)
        self.life: str | None = None
        self.count = 0
        self.lives: list[str] = []
        #: In their order; None: the kernel was restarted.
        self._sent: list[Cell | None] = []
        #: Those whose end this websocket has to tell.
        self._owed: list[Cell] = []
        #: The place in the inbox of the last answer of ``life``.
        self._read = 0

    @property
    def name(self) -> str:
        """What is said of it where something is wrong."""
        return f"notebook {self.tab.session['path']} ({self.spec}, kernel {self.tab.kernel_id})"

    # -- cells

    def send(self, *, seconds: float = 0.0) -> Cell:
        """Send a cell that counts and then takes so long."""
        return self._send(f"time.sleep({seconds})")

    def hold(self, folder: Path) -> tuple[Cell, Path]:
        """Send a cell that counts and then runs until the file that is returned exists."""
        file = folder / uuid.uuid4().hex
        return self._send(f"while not os.path.exists({str(file)!r}): time.sleep(0.02)"), file

    def mark(self, folder: Path) -> Path:
        """Send a cell that counts and makes the file that is returned."""
        file = folder / uuid.uuid4().hex
        self._send(f"open({str(file)!r}, 'x').close()")
        return file

    def _send(self, then: str) -> Cell:
        cell = self.tab.start(_COUNT.format(then=then))
        self._sent.append(cell)
        self._owed.append(cell)
        return cell

    def restart(self) -> None:
        """The Restart button: the user knows that the variables go."""
        self.tab.restart()
        self._sent.append(None)

    def return_to(self, server: NotebookServer) -> None:
        """Open the websocket again, once the notebook server knows the kernel."""
        path = f"kernels/{self.tab.kernel_id}"
        seen = eventually(
            lambda: server.look(path),
            lambda seen: isinstance(seen, dict) or _is_not_found(seen),
            within=READY_WITHIN,
            what=f"{self.name} at the new notebook server",
        )
        assert isinstance(seen, dict), f"{self.name} is forgotten: {seen}"
        self.tab.reconnect()
        self._owed.clear()

    @property
    def answered(self) -> bool:
        """Whether all cells have ended that were sent since the notebook server is there."""
        return all(cell.ended for cell in self._owed)

    # -- the account

    def settle(self, last: Cell) -> None:
        """Compare what the cells said with what was sent; ``last`` has ended.

        A cell whose outcome nobody told may have counted or not; one that was told has, once.
        """
        unknown = 0
        for cell in self._sent:
            said = cell.stdout.split() if cell else []
            if cell is None:
                self.life = None
            elif len(said) == 2:
                self._compare(said[0], int(said[1]), unknown)
                self._read = self._place(cell)
                unknown = 0
            else:
                unknown += 1
        assert last.stdout, f"{self.name}: its cell did not run:\n{self.tab.transcript()}"
        self._sent.clear()
        self._owed.clear()

    def _compare(self, life: str, count: int, unknown: int) -> None:
        first = 1
        if life == self.life:
            first += self.count
        else:
            assert life not in self.lives, f"{self.name}: {life} is back after {self.lives}"
            told = self.life is None or GONE in self._read_since()
            assert told, (
                f"{self.name}: {self.life} had counted to {self.count}, {life} begins anew, and "
                f"nothing in the notebook says that {GONE}:\n{self.tab.transcript(40)}"
            )
            self.lives.append(life)
        assert first <= count <= first + unknown, (
            f"{self.name}: count is {count} in {life} and should be {first} to {first + unknown}; "
            f"before it was {self.count} in {self.life}:\n{self.tab.transcript(40)}"
        )
        self.life, self.count = life, count

    def _place(self, cell: Cell) -> int:
        return max(
            index
            for index, (_, _, message) in enumerate(self.tab.inbox)
            if message["header"]["msg_type"] == "stream"
            and message["parent_header"].get("msg_id") == cell.message_id
        )

    def _read_since(self) -> str:
        return " ".join(str(message["content"]) for _, _, message in self.tab.inbox[self._read :])


def _is_not_found(seen: object) -> bool:
    response = getattr(seen, "response", None)
    return isinstance(response, requests.Response) and response.status_code == 404
