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


def test_each_step_is_seen_and_nothing_stays(start: Start, tmp_path: Path) -> None:
    said, wrong = start().communicate(timeout=WITHIN)
    assert wrong == ""
    steps = [re.sub(r"^ *[\d.]+ s  (\w+) +", r"\1: ", line) for line in said.splitlines()]
    want = [
        "ann: has the GPU and computes: step 1 of 4",
        "bob: runs a cell, too: Waiting for a GPU: 1st of 1 in the queue.",
        "ann: was idle: the kernel has ended, the GPU is free, the tab is open",
        "bob: has the GPU, and his cell runs: hello from bob",
        "ann: runs a cell in the same tab: Waiting for a GPU: 1st of 1 in the queue.",
        "bob: was idle: the kernel has ended, the GPU is free, the tab is open",
        "ann: has the GPU again: [elastic-jupyter] The kernel was stopped after",
        "ann: her cell runs: total is not defined",
    ]
    seen = iter(steps)
    assert [one for one in want if not any(step.startswith(one) for step in seen)] == []
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
