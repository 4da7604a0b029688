"""What of torch is saved on the CPU and restored, each side a process of its own."""

import json

import pytest

from tests.unit.agent.snapshot.sides import Seen, one_side
from tests.unit.agent.snapshot.torch_cases import Case, on_the_cpu
from tests.unit.agent.snapshot.torch_python import python_with_torch

CASES = on_the_cpu(before_torch_2=True)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    folder = tmp_path_factory.mktemp("torch")
    (folder / "cases.json").write_text(json.dumps([case._asdict() for case in CASES]))
    python = python_with_torch()
    return one_side("save", folder, python=python), one_side("restore", folder, python=python)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_namespace_of_torch_comes_back(case: Case, seen: tuple[Seen, Seen]) -> None:
    saved, restored = (side[case.id] for side in seen)
    assert saved.get("lost") == [], saved
    assert restored.get("holds"), restored
    assert restored["lost"] == []
    assert [told for told in restored["notices"] if case.told in told] or not case.told
