"""What the five kinds share. Documents are drawn from the schemas that the API server checks."""

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api import names
from elastic_jupyter.api.base import Condition, ConditionStatus, Json, ObjectMeta, Resource
from elastic_jupyter.api.generate import KINDS
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.api.schema import open_api_schema

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

WORDS = st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
TIMES = st.datetimes(timezones=st.just(UTC)).map(
    lambda moment: moment.isoformat().replace("+00:00", "Z")
)


@cache
def documents(kind: type[Resource]) -> st.SearchStrategy[Json]:
    """Objects of a kind, as the API server would accept them."""
    schema = open_api_schema(kind)
    parts = {part: values(schema["properties"][part]) for part in ("spec", "status")}
    needed = {part: parts.pop(part) for part in schema.get("required", ())}
    return st.fixed_dictionaries(
        {
            "apiVersion": st.just(names.API_VERSION),
            "kind": st.just(kind.__name__),
            "metadata": st.just({"name": "a", "namespace": "team", "uid": "1"}),
            **needed,
        },
        optional=parts,
    )


def values(schema: Json) -> st.SearchStrategy[object]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return st.dictionaries(WORDS, JSON, max_size=2)
    match schema["type"], schema.get("format"):
        case "object", _ if "additionalProperties" in schema:
            return st.dictionaries(WORDS, values(schema["additionalProperties"]), max_size=2)
        case "object", _:
            fields = {name: values(field) for name, field in schema["properties"].items()}
            required = {name: fields.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=fields)
        case "array", _:
            return st.lists(values(schema["items"]), max_size=2)
        case "string", "date-time":
            return TIMES
        case "string", _ if "pattern" in schema:
            # As JSON schema has it, where "$" is the end of the text and nothing else.
            return st.from_regex(schema["pattern"].replace("$", r"\Z")).filter(
                lambda text: len(text) <= schema["maxLength"]
            )
        case "string", _:
            return WORDS
        case "integer", _:
            return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1))
        case "boolean", _:
            return st.booleans()
    raise NotImplementedError(f"no values for {schema}")


def missing(part: object, whole: object, path: str = "") -> list[str]:
    """Where ``whole`` does not hold what ``part`` holds."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return [
            place
            for key, value in part.items()
            for place in missing(value, whole.get(key, "absent"), f"{path}.{key}")
        ]
    if isinstance(part, list) and isinstance(whole, list) and len(part) == len(whole):
        return [
            place
            for number, (one, other) in enumerate(zip(part, whole, strict=True))
            for place in missing(one, other, f"{path}[{number}]")
        ]
    return [] if part == whole else [path]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_the_api_server_accepts_is_read_and_written_back_whole(
    kind: type[Resource], data: st.DataObject
) -> None:
    document = data.draw(documents(kind))
    written = kind.model_validate(document).to_dict()
    assert missing(document, written) == []


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_object_is_the_same_after_a_round_trip(
    kind: type[Resource], data: st.DataObject
) -> None:
    first = kind.model_validate(data.draw(documents(kind)))
    again = kind.model_validate(first.to_dict())
    assert again == first
    assert again.to_dict() == first.to_dict()


def test_metadata_that_is_not_named_here_is_kept() -> None:
    document = {
        "name": "a",
        "resourceVersion": "7",
        "generateName": "a-",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        "deletionGracePeriodSeconds": 30,
    }
    assert ObjectMeta.model_validate(document).to_dict() == document


def test_owners_keep_what_garbage_collection_reads() -> None:
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "JupyterGateway",
        "name": "gw",
        "uid": "1",
        "controller": True,
        "blockOwnerDeletion": False,
    }
    document = {"ownerReferences": [owner]}
    assert ObjectMeta.model_validate(document).to_dict() == document


def test_what_is_none_is_not_written() -> None:
    condition = Condition(type="Ready", status=ConditionStatus.TRUE, last_transition_time=NOON)
    assert condition.to_dict() == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("moment", "want"),
    [
        pytest.param(NOON, "2026-01-01T12:00:00Z", id="whole seconds"),
        pytest.param(
            NOON + timedelta(microseconds=5), "2026-01-01T12:00:00.000005Z", id="microseconds"
        ),
        pytest.param(
            NOON.astimezone(timezone(timedelta(hours=8))),
            "2026-01-01T20:00:00+08:00",
            id="another time zone keeps its offset",
        ),
    ],
)
def test_times_are_written_as_rfc_3339(moment: datetime, want: str) -> None:
    assert ObjectMeta(creation_timestamp=moment).to_dict() == {"creationTimestamp": want}


def test_attributes_may_be_named_as_in_python_or_as_in_json() -> None:
    assert ObjectMeta(resource_version="7") == ObjectMeta.model_validate({"resourceVersion": "7"})


def test_fields_of_a_later_version_do_not_keep_an_object_from_being_read() -> None:
    condition = {"type": "Ready", "status": "True"}
    assert Condition.model_validate({**condition, "severity": "high"}).to_dict() == condition


def test_what_a_user_nested_too_deeply_can_be_walked_through() -> None:
    deep: Json = {}
    for _ in range(900):
        deep = {"a": deep}
    template = JupyterKernelTemplate.model_validate(
        {"spec": {"template": {"spec": {"containers": [{"name": "k"}], "deep": deep}}}}
    )
    said = copy.deepcopy(template.to_dict())["spec"]["template"]["spec"]
    assert said["containers"] == [{"name": "k"}]
    assert "nested too deeply" in json.dumps(said["deep"])
