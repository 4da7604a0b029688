"""A page of docs/how-to, done from top to bottom as a reader does it.

What each fenced block stands for:

- ``yaml`` whose first line is ``# <name>.yaml``: a file of that name
- ``sh``: typed into a shell; ``kubectl port-forward`` is left running until the next one
- any language with ``kernel=<name>`` behind it: a cell of a notebook with that kernel, of the one
  that ``notebook=<path>`` names, else of one notebook a kernel
- no language: the last lines that the block above shows, soon if all that it does is to look
  (``_LOOK``); ``...`` stands for anything, as in doctest
- ``dockerfile`` and ``json``: shown, and not done (``_TESTED_ELSEWHERE``)

A page names no namespace: the walk has one of its own as the default of its kubeconfig. Images
below ``registry.example.com/jupyter`` are those of ``tests/images``, and local port 8888 is a free
one.
"""

import base64
import contextlib
import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import pages
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.rollout import server_pod
from tests.support.team import foreign_image, is_offered

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
_IMAGE = re.compile(r"registry\.example\.com/jupyter/([\w-]+):[\w.-]+")
_FORWARD = re.compile(r"kubectl port-forward deploy/(\S+) 8888:8888")
#: Commands that may be typed again until they show what they should.
_LOOK = ("kubectl get ", "elastic-jupyter status", "elastic-jupyter why ")
_TESTED_ELSEWHERE = {
    "dockerfile": "tests/local/test_wheels.py",
    "json": "tests/unit/test_bucket_page.py",
}
_LOCAL = "http://127.0.0.1:8888"
_SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: Where the command ``elastic-jupyter`` is.
BIN = Path(sys.executable).parent
#: Seconds for a block of commands; each page waits for pods with ``kubectl wait --timeout``.
COMMANDS_WITHIN = 180
#: Seconds until a table shows what has just come about.
SHOWN_WITHIN = 20
#: Seconds for a cell, a kernel's start included.
CELL_WITHIN = 90


@dataclass(frozen=True)
class Block:
    """One fenced block; ``where`` is its page and line, ``section`` the heading above it."""

    where: str
    section: str
    language: str
    options: Mapping[str, str]
    text: str

    @property
    def kernel(self) -> str | None:
        """The kernel of a cell; None: it is none."""
        return self.options.get("kernel")


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = pages.text_of(page)
    found = []
    for match in _BLOCK.finditer(text):
        language, _, options = match[1].partition(" ")
        named = dict(option.split("=", 1) for option in options.split())
        assert named.keys() <= {"kernel", "notebook"}, f"{page}: unknown options {options!r}"
        line = text.count("\n", 0, match.start()) + 1
        section = re.findall(r"^##? (.*)$", text[: match.start()], re.M)[-1]
        found.append(Block(f"{page}:{line}", section, language, named, match[2]))
    return found


class Walkthrough:
    """One reader, in a folder and a namespace of his own. ``folder`` is empty at first."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._folder = folder
        self._forward = contextlib.ExitStack()
        self._url = _LOCAL
        self._server: NotebookServer | None = None
        self._tabs: dict[str, Tab] = {}
        self._said = ""
        self._look = ""
        (folder / "examples").symlink_to(pages.ROOT / "examples")
        self._environment = os.environ | {
            "KUBECONFIG": str(self._kubeconfig()),
            "PATH": f"{Path(cluster.kubectl_path).parent}:{BIN}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(folder / ".state"),
            "no_proxy": "127.0.0.1",
        }

    def _kubeconfig(self) -> Path:
        path = self._folder / ".kubeconfig"
        path.write_text(self._cluster.kubectl("config", "view", "--raw", "--minify", "--flatten"))
        self._cluster.kubectl(
            "--kubeconfig", path, "config", "set-context", "--current", "--namespace",
            self._namespace,
        )  # fmt: skip
        return path

    def walk(self, page: Path) -> None:
        """Do all that the page says; raises ``AssertionError`` with page and line.

        What is below the heading ``Take it back`` is done after a failure, too.
        """
        todo = blocks(page)
        with self._forward:
            while todo:
                block = todo.pop(0)
                try:
                    self._do(block)
                except AssertionError as error:
                    self._take_back(todo)
                    raise AssertionError(f"{block.where}: {error}") from error

    def _take_back(self, todo: list[Block]) -> None:
        for block in todo:
            if block.section == "Take it back":
                with contextlib.suppress(AssertionError):
                    self._do(block)

    def _do(self, block: Block) -> None:
        if block.kernel:
            notebook = block.options.get("notebook", "")
            self._said = self._run_cell(block.kernel, block.text, notebook=notebook)
        elif block.language == "sh":
            self._said = self._type(block.text)
            commands = block.text.splitlines()
            is_look = all(command.startswith(_LOOK) for command in commands)
            self._look = block.text if is_look else ""
        elif block.language == "yaml":
            self._save(block.text)
        elif block.language == "":
            if self._look and not ends_with(block.text, self._said):
                self._said = eventually(
                    lambda: self._type(self._look),
                    lambda said: ends_with(block.text, said),
                    within=SHOWN_WITHIN,
                    what=f"what the page shows\n{block.text}",
                )
            same = ends_with(block.text, self._said)
            assert same, f"the page shows\n{block.text}\nbut there was\n{self._said}"
        elif block.language not in _TESTED_ELSEWHERE:
            raise AssertionError(f"nobody knows what to do with {block.language}")

    def _save(self, text: str) -> None:
        named = re.match(r"# (\S+\.yaml)\n", text)
        assert named, "the first line names no file"
        (self._folder / named[1]).write_text(
            _IMAGE.sub(lambda image: foreign_image(self._cluster, image[1]), text)
        )

    def _type(self, text: str) -> str:
        if forwarded := _FORWARD.fullmatch(text.strip()):
            self._open_forward(forwarded[1])
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text.replace(_LOCAL, self._url)],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMANDS_WITHIN,
        )
        assert done.returncode == 0, f"exit {done.returncode} of\n{text}\n{done.stdout}"
        return done.stdout

    def _open_forward(self, notebook: str) -> None:
        self._forward.close()
        self._tabs = {}
        pod = server_pod(self._cluster, self._namespace, "jupyternotebooks", notebook)
        self._url = self._forward.enter_context(
            self._cluster.forward(self._namespace, f"pod/{pod['metadata']['name']}", 8888)
        ).url
        self._server = NotebookServer(self._url, token=self._token(notebook))
        self._forward.callback(self._server.close)

    def _token(self, notebook: str) -> str | None:
        """Return the login token, as the page on logging in says; None: there is none."""
        secret = self._cluster.get(self._namespace, "secrets", f"{notebook}-auth") or {}
        token = secret.get("data", {}).get("token")
        return base64.b64decode(token).decode() if token else None

    def _run_cell(self, kernel: str, code: str, *, notebook: str) -> str:
        tab = self._tabs.get(notebook or kernel)
        if tab is None:
            server = self._server
            assert server is not None, "the page opens no notebook server before this cell"
            eventually(
                lambda: server.look("kernelspecs"),
                lambda specs: is_offered(kernel, specs),
                within=10,
                what=f"the entry {kernel} in the launcher",
            )
            eventually(
                lambda: server.look("sessions"),
                lambda seen: isinstance(seen, list),
                within=30,
                what="the list of what runs",
            )
            tab = self._tabs[notebook or kernel] = server.open(kernel, name=notebook)
        return "".join(texts(tab.run(code.rstrip("\n"), within=CELL_WITHIN).outputs))


def ends_with(want: str, said: str) -> bool:
    """Say whether the last lines of what was said are those that a page shows."""
    lines = said.rstrip().splitlines()[-want.count("\n") :]
    seen = "".join(f"{line}\n" for line in lines)
    return doctest.OutputChecker().check_output(want, seen, _SAME)


def texts(outputs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the outputs of a cell as text."""
    for output in outputs:
        if output["output_type"] == "stream":
            yield output["text"]
        elif output["output_type"] == "error":
            yield f"{output['ename']}: {output['evalue']}\n"
        else:
            yield f"{output['data'].get('text/plain', '')}\n"
