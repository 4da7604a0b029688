"""CustomResourceDefinitions made from the models: what Kubernetes takes, what people read."""

import re
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import pytest
from pydantic import Field
from pydantic.config import JsonDict

from elastic_jupyter.api.base import Column, Json, Model, Resource
from elastic_jupyter.api.generate import KINDS
from elastic_jupyter.api.schema import custom_resource_definition, open_api_schema

#: Keys of a structural schema that we need. Not among them is all that Kubernetes refuses
#: ($ref, definitions, default of null, exclusiveMaximum as a number) or takes in part only (anyOf).
KEYS = {
    *("type", "format", "description", "enum", "properties", "required", "items"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "minimum", "maximum"),
    "maxProperties",
    "additionalProperties",
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}

KEPT: JsonDict = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

every_kind = pytest.mark.parametrize("kind", KINDS)


class Colour(StrEnum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Inner(Model):
    """A model that is referred to."""

    title: str = Field(description="Not the ``title`` of a schema.")
    default: int = Field(default=3, description="Not a default.")


class Gadget(Resource):
    """A kind for these tests."""

    plural: ClassVar[str] = "gadgets"
    short_names: ClassVar[tuple[str, ...]] = ("gd",)

    kind: str = "Gadget"
    required: Inner
    optional: Inner | None = Field(default=None, description="Said of the field.")
    many: list[Inner] | None = None
    colour: Colour = Colour.RED
    when: datetime | None = None
    amount: int | None = Field(default=None, ge=1, le=9)
    free: Json = Field(default_factory=dict, json_schema_extra=KEPT)


INNER = {
    "type": "object",
    "description": "A model that is referred to.",
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "description": "Not the `title` of a schema."},
        "default": {"type": "integer", "description": "Not a default."},
    },
}


@pytest.mark.parametrize(
    ("field", "want"),
    [
        pytest.param("required", INNER, id="a reference is put in place"),
        pytest.param(
            "optional",
            {**INNER, "description": "Said of the field."},
            id="an optional field has the schema of its value and its own description",
        ),
        pytest.param("many", {"type": "array", "items": INNER}, id="references within lists"),
        pytest.param(
            "colour",
            {"type": "string", "description": "A choice.", "enum": ["red", "blue"]},
            id="a choice lists its values and has no default",
        ),
        pytest.param("when", {"type": "string", "format": "date-time"}, id="a time"),
        pytest.param("amount", {"type": "integer", "minimum": 1, "maximum": 9}, id="bounds"),
        pytest.param(
            "free",
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            id="free JSON is kept",
        ),
        pytest.param("metadata", {"type": "object"}, id="metadata is left to the API server"),
    ],
)
def test_the_schema_of_a_field(field: str, want: Json) -> None:
    assert open_api_schema(Gadget)["properties"][field] == want


def test_only_fields_without_a_default_are_required() -> None:
    assert open_api_schema(Gadget)["required"] == ["required"]


def test_a_field_of_several_types_is_refused() -> None:
    class Doubtful(Gadget):
        """A kind with a field that is a number or a text."""

        either: int | str

    with pytest.raises(ValueError, match="no alternatives"):
        open_api_schema(Doubtful)


def test_a_definition_is_named_after_its_kind() -> None:
    definition = custom_resource_definition(Gadget)
    assert definition["metadata"]["name"] == "gadgets.kubeflow.tkestack.io"
    assert definition["spec"]["names"] == {
        "kind": "Gadget",
        "listKind": "GadgetList",
        "plural": "gadgets",
        "singular": "gadget",
        "shortNames": ["gd"],
        "categories": ["all", "jupyter"],
    }


def test_no_two_kinds_share_a_name_on_the_command_line() -> None:
    taken = [
        name for kind in KINDS for name in (kind.plural, kind.__name__.lower(), *kind.short_names)
    ]
    assert len(set(taken)) == len(taken)


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """All schemas within a schema, each with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}[]")


def fields(kind: type[Resource]) -> Iterator[tuple[str, Json]]:
    """Fields of spec and status that have a name; what is in kept JSON is not ours to describe."""
    schema = open_api_schema(kind)
    kept = [
        path for path, node in nodes(schema) if node.get("x-kubernetes-preserve-unknown-fields")
    ]
    for path, node in nodes(schema):
        within_kept = any(path.startswith((f"{one}.", f"{one}[]")) for one in kept)
        if path.startswith((".spec", ".status")) and not path.endswith("[]") and not within_kept:
            yield path, node


@every_kind
def test_a_schema_is_structural(kind: type[Resource]) -> None:
    schema = open_api_schema(kind)
    assert {path: set(node) - KEYS for path, node in nodes(schema) if set(node) - KEYS} == {}
    assert [path for path, node in nodes(schema) if "type" not in node] == []


@every_kind
def test_every_field_is_explained(kind: type[Resource]) -> None:
    assert [path for path, node in fields(kind) if not node.get("description")] == []


@every_kind
def test_descriptions_have_no_markup_that_kubectl_explain_would_show(kind: type[Resource]) -> None:
    described = [(path, node.get("description", "")) for path, node in nodes(open_api_schema(kind))]
    assert [path for path, text in described if "``" in text] == []


@every_kind
def test_whatever_a_person_may_write_is_bounded(kind: type[Resource]) -> None:
    unbounded = [
        path
        for path, node in nodes(open_api_schema(kind)["properties"]["spec"])
        if (node["type"] == "string" and not {"maxLength", "enum", "format"} & set(node))
        or (node["type"] == "array" and "maxItems" not in node)
    ]
    assert unbounded == []


def test_every_number_that_is_a_length_of_time_names_its_unit() -> None:
    spans = {
        path.rpartition(".")[2]: node["description"]
        for kind in KINDS
        for path, node in fields(kind)
        if node["type"] == "integer" and re.search("timeout|interval|seconds", path.lower())
    }
    assert spans.keys() >= {"cullIdleTimeout", "cullInterval", "launchTimeoutSeconds"}
    assert [name for name, text in spans.items() if not text.startswith("Seconds")] == []


@every_kind
def test_the_status_is_written_apart_from_the_spec(kind: type[Resource]) -> None:
    [version] = custom_resource_definition(kind)["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert "status" not in version["schema"]["openAPIV3Schema"].get("required", ())


#: What a value must be that is printed in a column of this type.
COLUMN_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "date": {"type": "string", "format": "date-time"},
}


def at(schema: Json, json_path: str) -> Json | None:
    """The schema of what a path leads to, None within what the schema leaves open.

    Raises ``KeyError`` when there is no such field.
    """
    without_filters = re.sub(r"\[\?[^]]*\]", "[]", json_path.removeprefix("."))
    for segment in re.split(r"(?<!\\)\.", without_filters):
        if schema["type"] == "object" and "properties" not in schema:
            return None
        name, bracket, _ = segment.partition("[")
        schema = schema["properties"][name]
        schema = schema["items"] if bracket else schema
    return schema


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        pytest.param(kind, column, id=f"{kind.__name__} {column.name}")
        for kind in KINDS
        for column in kind.columns
    ],
)
def test_every_printed_column_shows_a_field_that_exists_and_is_of_its_type(
    kind: type[Resource], column: Column
) -> None:
    shown = at(open_api_schema(kind), column.json_path)
    want = COLUMN_TYPES[column.type]
    assert shown is None or shown | want == shown


@every_kind
def test_columns_end_with_the_age_and_have_a_name_each(kind: type[Resource]) -> None:
    titles = [column.name for column in kind.columns]
    assert len(set(titles)) == len(titles)
    assert titles[-1] == "Age"
