"""The reference of the kinds: complete, and from the same schema as ``kubectl explain``."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from elastic_jupyter.api import generate, reference
from elastic_jupyter.api.base import Model, Resource
from elastic_jupyter.api.conditions import CONDITIONS, ConditionType

ROOT = Path(__file__).parents[3]


def page_of(kind: type[Resource]) -> str:
    return generate.files(ROOT)[Path("docs", "reference", f"{kind.__name__.lower()}.md")]


def fields_of(model: type[BaseModel], path: str) -> list[str]:
    """Return the path of every field below ``model``, from the models and not from a schema."""
    found = []
    for name, field in model.model_fields.items():
        below = f"{path}.{field.alias or name}"
        text = str(field.annotation)
        found.append(below)
        for inner in _models(field.annotation):
            found += fields_of(inner, f"{below}[]" if "list[" in text else below)
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_page_has_a_row_for_every_field_of_spec_and_status(kind: type[Resource]) -> None:
    fields = kind.model_fields
    [spec] = _models(fields["spec"].annotation)
    [status] = _models(fields["status"].annotation)
    wanted = [*fields_of(spec, "spec"), *fields_of(status, "status")]
    assert len(wanted) > 5
    page = page_of(kind)
    assert [path for path in wanted if f"| `{path}` | " not in page] == []


@pytest.mark.parametrize("kind", generate.KINDS)
def test_no_field_is_without_a_meaning(kind: type[Resource]) -> None:
    assert [line for line in page_of(kind).splitlines() if line.endswith("|  |")
            and line.startswith(("| `spec.", "| `status."))] == []  # fmt: skip


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_page_begins_with_the_minimal_example(kind: type[Resource]) -> None:
    example = (ROOT / "examples" / "minimal" / f"{kind.__name__.lower()}.yaml").read_text()
    before, _, after = page_of(kind).partition(f"```yaml\n{example}```\n")
    assert after
    assert "##" not in before


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_page_names_columns_and_conditions(kind: type[Resource]) -> None:
    page = page_of(kind)
    for column in kind.columns:
        assert f"| {column.name} " in page
    for condition in CONDITIONS[kind.__name__]:
        assert f"\n`{condition.type}`: {condition.meaning}\n" in page
        for reason, meaning in condition.reasons.items():
            assert f"\n| `{reason}` | {meaning} |\n" in page


@pytest.mark.parametrize(
    ("field", "want"),
    [
        ({"type": "string", "maxLength": 5}, "string, at most 5 characters"),
        ({"type": "string", "enum": ["a", "b"]}, "`a` or `b`"),
        ({"type": "string", "format": "date-time"}, "time"),
        ({"type": "string", "pattern": "^a|b$"}, r"string, pattern `^a\|b$`"),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer, 1 to 9"),
        (
            {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
            "integer",
        ),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
            "list of string, 1 to 3 entries",
        ),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map of string"),
        ({"type": "integer", "minimum": 0, "format": "int64"}, "integer, at least 0"),
        ({"x-kubernetes-int-or-string": True}, "integer or string"),
    ],
)
def test_a_row_tells_type_and_limits(field: dict[str, Any], want: str) -> None:
    assert f"| `spec.f` | {want} | It is. |" in a_page({"f": {**field, "description": "It\nis."}})


def test_a_row_tells_that_a_field_is_required_and_what_a_list_holds() -> None:
    entry = {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}}
    page = a_page({"l": {"type": "array", "items": entry}})
    assert "| `spec.l` | list of object |" in page
    assert "| `spec.l[].n` | string, required |" in page


def test_what_kubernetes_defines_has_a_table_of_its_own() -> None:
    name = {"type": "string", "description": "The <name> of `<it>`."}
    entry = {"type": "object", "properties": {"n": name}}
    pod = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"c": {"type": "array", "items": entry}},
    }
    ours, _, others = a_page({"t": pod, "u": {"type": "string"}}).partition("Of what Kubernetes")
    assert re.findall(r"^\| `(\S+)`", ours, re.M) == ["spec.t", "spec.u"]
    rows = others.partition("## Status")[0]
    assert re.findall(r"^\| `(\S+)`", rows, re.M) == ["spec.t.c", "spec.t.c[].n"]
    assert r"The \<name> of `<it>`. |" in rows


def test_rules_are_shown_with_their_field_wherever_they_are() -> None:
    rule = {"rule": "self != ''", "message": "must not be empty"}
    item = {"type": "string", "x-kubernetes-validations": [rule]}
    page = a_page(
        {"l": {"type": "array", "items": item}, "m": {**item}},
        **{"x-kubernetes-validations": [{"rule": "has(self.spec)"}]},
    )
    assert "| (all) | `has(self.spec)` |" in page
    assert "| `spec.l[]` | must not be empty |" in page
    assert "| `spec.m` | must not be empty |" in page


def a_page(spec: dict[str, Any], **whole: Any) -> str:
    """Return the page of a kind with these fields."""
    properties = {"spec": {"type": "object", "properties": spec}, "status": {"type": "object"}}
    schema = {"description": "A thing.", "properties": properties, **whole}
    definition = {
        "spec": {
            "names": {"kind": "Thing", "plural": "things", "shortNames": ["th"]},
            "versions": [
                {"schema": {"openAPIV3Schema": schema}, "additionalPrinterColumns": []},
            ],
        }
    }
    said = [ConditionType("Ready", "It is.", {"Available": "Yes."}, "Kubernetes' own.")]
    return reference.page(definition, example="a: 1", conditions=said)
