"""Manifests: what is written can be read, by this version and by those to come."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from elastic_jupyter_agent import wire

DATA = Path(__file__).parents[2] / "data"
SOURCES = Path(wire.__file__).parent

A_MANIFEST = wire.Manifest(
    created="2026-11-26T17:00:00+00:00",
    python="3.11.7",
    packages={"numpy": "2.4.6"},
    groups=(
        wire.Group(
            (wire.Entry("name:a", "list"), wire.Entry("out:3", "list")),
            wire.Payload((wire.Chunk("d1", 10, 10), wire.Chunk("d2", 5, 20))),
            (wire.Payload((wire.Chunk("d1", 10, 10),), readonly=False),),
        ),
        wire.Group(
            (wire.Entry("name:b", "int"),),
            wire.Payload((wire.Chunk("", 5, 5, inline="gAVLAS4="),)),
        ),
    ),
    lost=(wire.Lost("g", "generator", "a generator stands in the middle of its code"),),
    state={"execution_count": 4},
)


@pytest.mark.parametrize(
    ("version", "groups"), [(1, A_MANIFEST.groups[:1]), (2, A_MANIFEST.groups)]
)
def test_the_sample_of_each_version_loads(version: int, groups: tuple[wire.Group, ...]) -> None:
    sample = (DATA / f"manifest-{version}.json").read_bytes()
    want = dataclasses.replace(A_MANIFEST, version=version, groups=groups)
    assert wire.Manifest.from_json(sample) == want


def test_a_manifest_is_the_same_after_a_round_trip() -> None:
    text = A_MANIFEST.to_json()
    assert wire.Manifest.from_json(text).to_json() == text
    assert wire.Manifest.from_json(text) == A_MANIFEST


def test_a_manifest_lists_names_and_each_blob_once() -> None:
    document = json.loads(A_MANIFEST.to_json())
    assert document["names"] == ["a", "b"]
    assert document["blobs"] == [{"digest": "d1", "size": 10}, {"digest": "d2", "size": 5}]


def test_a_superseded_entry_is_no_name_of_the_snapshot() -> None:
    group, _ = A_MANIFEST.groups
    entries = (dataclasses.replace(group.entries[0], superseded=True), wire.Entry("name:b", "int"))
    manifest = dataclasses.replace(
        A_MANIFEST, groups=(dataclasses.replace(group, entries=entries),)
    )
    assert manifest.names == ["b"]
    assert wire.Manifest.from_json(manifest.to_json()) == manifest


def test_fields_of_a_later_agent_are_left_out() -> None:
    document = json.loads(A_MANIFEST.to_json()) | {"later": 1}
    document["groups"][0]["entries"][0]["later"] = 1
    assert wire.Manifest.from_json(json.dumps(document)) == A_MANIFEST


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (A_MANIFEST.to_json().replace('"version":2', '"version":99'), "is of version 99"),
        ("{}", "cannot be read"),
        ("[]", "cannot be read"),
        ("no JSON", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, sentence: str) -> None:
    with pytest.raises(wire.WireError, match=sentence):
        wire.Manifest.from_json(text)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("wire", ("IPython", "cloudpickle", "zstandard", "numpy", "http", "zmq")),
        ("attached", ("IPython", "cloudpickle", "zstandard", "numpy", "http", "zmq")),
        ("transfer", ("IPython", "cloudpickle", "zstandard", "numpy", "zmq")),
    ],
)
def test_an_import_brings_no_more_than_it_needs(module: str, absent: tuple[str, ...]) -> None:
    code = f"import elastic_jupyter_agent.{module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES.parent)},
    )
    loaded = set(done.stdout.split())
    assert not loaded & set(absent)
    assert "elastic_jupyter" not in loaded


def test_the_agent_imports_nothing_of_the_project() -> None:
    for source in SOURCES.rglob("*.py"):
        text = source.read_text()
        assert "import elastic_jupyter\n" not in text, source
        assert "elastic_jupyter." not in text.replace("elastic_jupyter_agent.", ""), source
