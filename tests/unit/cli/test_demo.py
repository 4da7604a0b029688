import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from elastic_jupyter.cli.main import command


def test_a_demonstration_without_a_folder_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    done = CliRunner().invoke(command, ["demo"])
    assert (done.exit_code, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: the demonstration could not go on: ")
    assert str(tmp_path / "gone") in line
