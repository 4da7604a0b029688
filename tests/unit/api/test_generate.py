"""The command that writes the CRDs, and what it wrote last."""

from pathlib import Path

import pytest
import yaml

from elastic_jupyter.api import generate
from elastic_jupyter.api.base import Resource
from elastic_jupyter.api.schema import custom_resource_definition

COMMITTED = Path(__file__).parents[3] / "deploy" / "crds"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with all files as they are made today."""
    assert generate.main(["--directory", str(tmp_path)]) == 0
    return tmp_path


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_committed_files_are_those_that_the_models_make() -> None:
    committed = contents(COMMITTED)
    kustomization = yaml.safe_load(committed.pop("kustomization.yaml"))
    assert committed == generate.files()
    assert sorted(kustomization["resources"]) == sorted(committed)


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_file_says_what_the_definition_says(kind: type[Resource]) -> None:
    text = generate.files()[f"{kind.plural}.yaml"]
    assert yaml.safe_load(text) == custom_resource_definition(kind)


def test_every_kind_has_a_file_of_its_own(written: Path) -> None:
    assert contents(written) == generate.files()
    assert len(generate.files()) == len(generate.KINDS)


def test_writing_again_changes_nothing_and_says_nothing(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert generate.main(["--directory", str(written)]) == 0
    assert capsys.readouterr().err == ""
    assert contents(written) == generate.files()


def test_the_check_is_content_with_what_was_just_written(written: Path) -> None:
    assert generate.main(["--check", "--directory", str(written)]) == 0


def test_the_check_names_what_differs_and_leaves_it(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (written / "jupyterkernels.yaml").write_text("by hand")
    (written / "jupytergateways.yaml").unlink()
    before = contents(written)
    capsys.readouterr()
    assert generate.main(["--check", "--directory", str(written)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{written / 'jupytergateways.yaml'} differs",
        f"{written / 'jupyterkernels.yaml'} differs",
    ]
    assert contents(written) == before


def test_writing_mends_what_differs(written: Path) -> None:
    (written / "jupyterkernels.yaml").write_text("by hand")
    assert generate.main(["--directory", str(written)]) == 0
    assert contents(written) == generate.files()
