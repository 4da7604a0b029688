"""What of torch is saved on the CPU and restored, each side a process of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.snapshot.torch_cases import Case, on_the_cpu
from tests.unit.agent.snapshot.torch_python import python_with_torch

ROOT = Path(__file__).parents[4]
CASES = on_the_cpu(before_torch_2=True)
Seen = dict[str, dict[str, Any]]


def _side(side: str, folder: Path) -> Seen:
    done = subprocess.run(
        [python_with_torch(), "-m", "tests.unit.agent.snapshot.child", side, str(folder)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'agent/src'}", "IPYTHONDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["id"]: line for line in lines}


#: A storage that says it is on a device, held by two names. Prints how often it was copied.
DEVICE = """
import torch
from elastic_jupyter_agent import snapshot
from tests.unit.agent.snapshot.child import a_shell

class UntypedStorage:
    device, copies = "cuda:0", 0
    def data_ptr(self): return 4096
    def nbytes(self): return 100_000
    def cpu(self):
        UntypedStorage.copies += 1
        ones = torch.ones(100_000, dtype=torch.uint8)
        return getattr(ones, "untyped_storage", lambda: ones.storage()._storage)()
UntypedStorage.__module__ = "torch"

class Blobs(dict):
    has, put = dict.__contains__, dict.__setitem__

shell, blobs = a_shell(), Blobs()
shell.user_ns["x"] = [UntypedStorage()]
shell.user_ns["y"] = shell.user_ns["x"] * 2
groups = snapshot.save(shell, blobs).manifest.groups
lengths = [b.length for g in groups for b in g.buffers]
print(UntypedStorage.copies, lengths)
"""


def test_what_is_on_a_device_is_copied_once_and_when_it_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [python_with_torch(), "-c", DEVICE],
        env=os.environ
        | {"PYTHONPATH": f"{ROOT}:{ROOT / 'agent/src'}", "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "1 [100000]\n", done.stderr


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    folder = tmp_path_factory.mktemp("torch")
    (folder / "cases.json").write_text(json.dumps([case._asdict() for case in CASES]))
    return _side("save", folder), _side("restore", folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_namespace_of_torch_comes_back(case: Case, seen: tuple[Seen, Seen]) -> None:
    saved, restored = (side[case.id] for side in seen)
    assert saved.get("lost") == [], saved
    assert restored.get("holds"), restored
    assert restored["lost"] == []
