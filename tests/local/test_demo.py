"""``elastic-jupyter demo`` as a user runs it: right, able to fail, and leaving nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.walkthrough import blocks

#: Seconds; on a machine with nothing else to do it takes 25.
WITHIN = 240
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the demonstration, with its temporary directory in ``tmp_path``."""
    started: list[subprocess.Popen[str]] = []

    def demo(**environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "elastic_jupyter", "demo"],
            env={**os.environ, "TMPDIR": str(tmp_path), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield demo
    for process in started:
        process.kill()
        process.communicate()


def left_behind(folder: Path) -> list[str]:
    """Return the files below a folder, and all processes that name it in their environment."""
    mark = str(folder).encode()
    found = [str(path) for path in folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if mark in (process / "environ").read_bytes() or mark in command:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # somebody else's, or it has ended
            continue
    return found


def shown() -> list[str]:
    """Return what the README shows of commands."""
    return [block.text for block in blocks(Path("README.md")) if block.language == ""]


def plain(said: str) -> str:
    """Return the words without times and ids, which differ from run to run."""
    words = " ".join(said.split())
    for changing in (
        r"[\d.]+ s (?=ann|bob|both)",
        r"(?<=after )\d+ s",
        r"kernel \S+…",
        r"since .{12}",
    ):
        words = re.sub(changing, "...", words)
    return words


def test_the_readme_shows_what_happens_and_nothing_stays(start: Start, tmp_path: Path) -> None:
    said, wrong = start().communicate(timeout=WITHIN)
    assert wrong == ""
    assert plain(said) == plain(next(one for one in shown() if "her cell runs" in one))
    assert left_behind(tmp_path) == []


def test_a_step_that_differs_is_named_and_nothing_stays(start: Start, tmp_path: Path) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-c", "raise SystemExit('no such luck')", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Broken", "language": "python"}))
    demo = start(JUPYTER_PATH=str(tmp_path / "jupyter"), TMPDIR=str(tmp_path / "jupyter"))
    said, wrong = demo.communicate(timeout=WITHIN)
    assert demo.returncode == 1, said
    assert "a step went otherwise: ann computes: it ended (error)" in wrong
    assert "no such luck" in wrong
    assert left_behind(tmp_path / "jupyter") == [str(tmp_path / "jupyter" / "kernels")]


def test_ctrl_c_in_the_middle_leaves_nothing(start: Start, tmp_path: Path) -> None:
    demo = start()
    assert demo.stdout is not None
    line = next(line for line in demo.stdout if "computes" in line)
    demo.send_signal(signal.SIGINT)
    said, wrong = demo.communicate(timeout=60)
    assert (demo.returncode, wrong) == (130, ""), line + said
    assert left_behind(tmp_path) == []


def test_a_demonstration_that_is_killed_leaves_no_process(start: Start, tmp_path: Path) -> None:
    demo = start()
    assert demo.stdout is not None
    assert next(line for line in demo.stdout if "computes" in line)
    demo.kill()
    demo.communicate()
    assert demo.returncode == -signal.SIGKILL  # it had not ended by itself
    eventually(
        lambda: [one for one in left_behind(tmp_path) if not one.startswith(str(tmp_path))],
        lambda left: not left,
        within=30,
        what="the end of all processes",
    )
