"""A page about one machine, done from top to bottom as a reader does it.

As ``walkthrough.py``, with these differences:

- ``toml`` whose first line is ``# ~/<path>``: a file of that name in the reader's home
- ``elastic-jupyter up`` and ``make run`` are left running, until the next one and to the end; then
  Ctrl-C is pressed
- a cell names its notebook, too (``notebook=<path>``), and is waited for only as far as the block
  below it: that is what it shows soon
- what installs is left out: ``TESTED_ELSEWHERE``
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.jupyter_tab import Cell, Tab
from tests.support.machine import Machine
from tests.support.pages import ROOT
from tests.support.walkthrough import Block, ends_with, texts

TESTED_ELSEWHERE = {
    "make demo": "test_demo.py",
    "make wheels": "test_wheels.py",
    "python3 -m venv ~/elastic": "test_wheels.py",
    "~/elastic/bin/pip install --find-links dist 'elastic-jupyter[local]'": "test_wheels.py",
    "~/elastic/bin/elastic-jupyter up": "test_wheels.py",
    "~/mine/bin/pip install --find-links dist elastic-jupyter-agent": "test_wheels.py",
}
_LOCAL = "http://127.0.0.1:8888"
_UP = ("elastic-jupyter up", "make run")
#: Commands that only look, so that they may be typed again until they show what they should.
_LOOK = ("elastic-jupyter status", "elastic-jupyter why")
#: Seconds until a cell or a command shows what the page says.
SHOWN_WITHIN = 60
#: A make waits for its recipe, and then ends by the signal itself.
_ENDED = (0, -signal.SIGINT)


class LocalWalkthrough:
    """One reader. ``root`` is empty; the home is in it."""

    def __init__(self, root: Path) -> None:
        self._home = root / "home"
        state = self._home / ".local" / "state" / "elastic-jupyter"
        self._machine = Machine(root, leases=root / "leases", state=state)
        self._environment = self._machine.environment | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ELASTIC_JUPYTER_UP_PORT": str(self._machine.port),
            "ELASTIC_JUPYTER_UP_BROWSER": "false",
        }
        self._tabs: dict[str, Tab] = {}
        #: The last command, or the last cell.
        self._command = ""
        self._cell: Cell | None = None
        self._said = ""

    def walk(self, blocks: list[Block]) -> None:
        """Do what the blocks say; raises ``AssertionError`` with page and line."""
        try:
            for block in blocks:
                try:
                    self._do(block)
                except AssertionError as error:
                    raise AssertionError(f"{block.where}: {error}") from error
            self._press_ctrl_c()
        finally:
            self._machine.close()

    def _do(self, block: Block) -> None:
        if block.kernel:
            tab = self._tab(block.options["notebook"], block.kernel)
            self._cell = tab.start(block.text.rstrip("\n"))
        elif block.language == "":
            self._is_shown(block.text.replace(_LOCAL, self._machine.url))
        elif block.language == "sh":
            self._cell = None
            for line in block.text.splitlines():
                self._type(line)
        elif block.language == "toml":
            named = re.match(r"# ~/(\S+)\n", block.text)
            assert named, "the first line names no file in the home"
            file = self._home / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.language != "json":  # a kernel.json: shown, and not installed
            raise AssertionError(f"nobody knows what to do with {block.language}")

    def _is_shown(self, want: str) -> None:
        if self._command in TESTED_ELSEWHERE and self._cell is None:
            return
        eventually(
            self._look,
            lambda said: ends_with(want, said),
            within=SHOWN_WITHIN,
            what=f"what the page shows\n{want}",
        )

    def _look(self) -> str:
        if self._cell is not None:
            return "".join(texts(self._cell.outputs))
        if self._command.startswith(_UP):
            return self._machine.said
        return self._run(self._command) if self._command.startswith(_LOOK) else self._said

    def _type(self, line: str) -> None:
        self._command = line
        if line in TESTED_ELSEWHERE:
            return
        if line.startswith(_UP):
            self._press_ctrl_c()
            # The environment is there, and the machine's own would be made anew for nothing.
            command = line.replace("make run", f"make -s -C {ROOT} -o venv run")
            self._machine.up(command=["bash", "-c", f"exec {command}"], env=self._environment)
        else:
            self._said = self._run(line)

    def _run(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self._home,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SHOWN_WITHIN,
        )
        assert done.returncode == 0, f"exit {done.returncode} of {line}\n{done.stdout}"
        return done.stdout

    def _press_ctrl_c(self) -> None:
        process = self._machine.process
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        status = self._machine.wait()
        assert status in _ENDED, f"exit {status}: {self._machine.said}"
        self._machine.all_gone()
        assert "stopped" in self._machine.said.splitlines()
        self._tabs = {}

    def _tab(self, notebook: str, kernel: str) -> Tab:
        if notebook not in self._tabs:
            self._tabs[notebook] = self._machine.server.open(kernel, name=notebook)
        return self._tabs[notebook]
