"""What of torch is saved on a GPU and restored with it, or on the CPU where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.snapshot.torch_cases import CASES, Case

pytest.importorskip("torch")


def one_side(side: str, folder: Path, **environment: str) -> dict[str, dict[str, Any]]:
    """Save or restore all cases in a process of its own; return what it saw of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.agent.snapshot.child", side, str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["id"]: line for line in lines}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("torch")
    (folder / "cases.json").write_text(json.dumps([case._asdict() for case in CASES]))
    return folder, one_side("save", folder)


@pytest.fixture(scope="module", params=["", "no GPU"], ids=["with the GPU", "on the CPU"])
def restored(request: pytest.FixtureRequest, saved: Any) -> dict[str, dict[str, Any]]:
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if request.param else {}
    return one_side("restore", saved[0], **hidden)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_namespace_of_torch_comes_back(case: Case, saved: Any, restored: Any) -> None:
    assert saved[1][case.id]["lost"] == []
    seen = restored[case.id]
    assert seen.get("holds"), seen
    assert seen["lost"] == []
