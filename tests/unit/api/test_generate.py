"""The command that writes CRDs and reference, and what it wrote last."""

import shutil
from pathlib import Path

import pytest
import yaml

from elastic_jupyter.api import generate
from elastic_jupyter.api.base import Resource
from elastic_jupyter.api.schema import custom_resource_definition

ROOT = Path(__file__).parents[3]
CRDS = Path("deploy", "crds")
REFERENCE = Path("docs", "reference")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A repository with the examples, and all files as they are made today."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    assert generate.main(["--root", str(tmp_path)]) == 0
    return tmp_path


def contents(root: Path) -> dict[Path, str]:
    return {
        path.relative_to(root): path.read_text()
        for folder in (CRDS, REFERENCE)
        for path in (root / folder).iterdir()
    }


def test_the_committed_files_are_those_that_the_models_make() -> None:
    committed = contents(ROOT)
    kustomization = yaml.safe_load(committed.pop(CRDS / "kustomization.yaml"))
    made = generate.files(ROOT)
    assert {path: committed.get(path) for path in made} == made
    names = {path.name for path in committed if path.parent == CRDS}
    assert set(kustomization["resources"]) == names == {f"{k.plural}.yaml" for k in generate.KINDS}


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_file_says_what_the_definition_says(kind: type[Resource]) -> None:
    text = generate.files(ROOT)[CRDS / f"{kind.plural}.yaml"]
    assert yaml.safe_load(text) == custom_resource_definition(kind)


def test_every_kind_has_a_definition_and_a_page_of_its_own(written: Path) -> None:
    assert contents(written) == generate.files(ROOT)
    assert len(generate.files(ROOT)) == 2 * len(generate.KINDS)


def test_writing_again_changes_nothing_and_says_nothing(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert generate.main(["--root", str(written)]) == 0
    assert capsys.readouterr().err == ""
    assert contents(written) == generate.files(ROOT)


def test_the_check_is_content_with_what_was_just_written(written: Path) -> None:
    assert generate.main(["--check", "--root", str(written)]) == 0


def test_the_check_names_what_differs_and_leaves_it(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (written / CRDS / "jupyterkernels.yaml").write_text("by hand")
    (written / REFERENCE / "jupytergateway.md").unlink()
    before = contents(written)
    capsys.readouterr()
    assert generate.main(["--check", "--root", str(written)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{written / REFERENCE / 'jupytergateway.md'} differs",
        f"{written / CRDS / 'jupyterkernels.yaml'} differs",
    ]
    assert contents(written) == before


def test_writing_mends_what_differs(written: Path) -> None:
    (written / CRDS / "jupyterkernels.yaml").write_text("by hand")
    assert generate.main(["--root", str(written)]) == 0
    assert contents(written) == generate.files(ROOT)
