"""What of torch is saved on a GPU and restored with it, or on the CPU where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.snapshot.sides import Seen, one_side
from tests.unit.agent.snapshot.torch_cases import CASES, Case

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seen]:
    folder = tmp_path_factory.mktemp("torch")
    (folder / "cases.json").write_text(json.dumps([case._asdict() for case in CASES]))
    return folder, one_side("save", folder)


@pytest.fixture(scope="module", params=["", "no GPU"], ids=["with the GPU", "on the CPU"])
def restored(request: pytest.FixtureRequest, saved: Any) -> Seen:
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if request.param else {}
    return one_side("restore", saved[0], environment=hidden)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_namespace_of_torch_comes_back(case: Case, saved: Any, restored: Any) -> None:
    assert saved[1][case.id]["lost"] == []
    seen = restored[case.id]
    assert seen.get("holds"), seen
    assert seen["lost"] == []
