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
