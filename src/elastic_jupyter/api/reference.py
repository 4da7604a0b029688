"""The reference page of a kind in Markdown, made from its CustomResourceDefinition. Pure.

What ``kubectl explain`` says of a field is what the page says, since both read the same schema.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from elastic_jupyter.api.base import Json
from elastic_jupyter.api.conditions import ConditionType

_HEADER = (
    "<!-- Made by `python -m elastic_jupyter.api.generate`; edit src/elastic_jupyter/api instead."
    " -->"
)
#: Least and greatest value by format, which are no limits of the field.
_RANGE = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
#: Keys of the least and the greatest, by what they count.
_LIMITS = {
    "characters": ("minLength", "maxLength"),
    "entries": ("minItems", "maxItems"),
    "keys": ("minProperties", "maxProperties"),
}


def page(definition: Json, *, example: str, conditions: Sequence[ConditionType]) -> str:
    """Return the page of the kind that ``definition`` (a CRD) defines.

    ``example`` is a manifest in YAML, shown first.
    """
    [version] = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    properties = schema["properties"]
    called = definition["spec"]["names"]
    return "\n".join(
        (
            _HEADER,
            f"# {called['kind']}",
            "",
            schema["description"],
            "",
            f"```yaml\n{example.rstrip()}\n```",
            "",
            "## Spec",
            "",
            *_fields("spec", properties["spec"]),
            *_rules(schema),
            "## Status",
            "",
            *_fields("status", properties["status"]),
            "## Conditions",
            "",
            *_conditions(conditions),
            f"## Columns of `kubectl get {called['plural']}`",
            "",
            f"Short: `kubectl get {'`, `'.join(called['shortNames'])}`.",
            "",
            *_columns(version["additionalPrinterColumns"]),
        )
    )


@dataclass(frozen=True)
class _Field:
    """A field with its whole path. ``foreign``: Kubernetes defines it, and the schema a part."""

    path: str
    schema: Json
    required: bool
    foreign: bool


def _walk(path: str, schema: Json, *, foreign: bool = False) -> Iterator[_Field]:
    """Yield every field below ``path``, in order; ``[]`` stands for an entry of a list."""
    if "items" in schema:
        path, schema = f"{path}[]", schema["items"]
    foreign = foreign or "x-kubernetes-preserve-unknown-fields" in schema
    for name, inner in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield _Field(below, inner, name in schema.get("required", ()), foreign)
        yield from _walk(below, inner, foreign=foreign)


def _fields(path: str, schema: Json) -> Iterator[str]:
    found = list(_walk(path, schema))
    yield from _rows(field for field in found if not field.foreign)
    if any(field.foreign for field in found):
        yield "Of what Kubernetes defines these are checked at apply; others are taken as they are:"
        yield ""
        yield from _rows(field for field in found if field.foreign)


def _rows(found: Iterable[_Field]) -> Iterator[str]:
    rows = [
        (f"`{field.path}`", ", ".join(_kind(field)), field.schema.get("description", ""))
        for field in found
    ]
    return table(("field", "type", "meaning"), rows)


def _kind(field: _Field) -> Iterator[str]:
    """Yield the type of a field and what limits it."""
    schema = field.schema
    yield _type(schema)
    for what, (least, greatest) in _LIMITS.items():
        yield from _between(schema.get(least), schema.get(greatest), f" {what}")
    yield from _between(*_limits(schema), "")
    if "pattern" in schema:
        yield f"pattern `{schema['pattern']}`"
    if field.required:
        yield "required"


def _limits(schema: Json) -> tuple[int | None, int | None]:
    """Return the least and the greatest number, None for that of the format."""
    low, high = _RANGE.get(schema.get("format", ""), (None, None))
    least, greatest = schema.get("minimum"), schema.get("maximum")
    return (None if least == low else least, None if greatest == high else greatest)


def _between(least: int | None, most: int | None, what: str) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{least} to {most}{what}"
    elif least is not None:
        yield f"at least {least}{what}"
    elif most is not None:
        yield f"at most {most}{what}"


def _type(field: Json) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("format") == "date-time":
        return "time"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"map of {_type(field['additionalProperties'])}"
    return str(field.get("type") or "integer or string")


def _rules(schema: Json) -> Iterator[str]:
    """Yield the rules that the API server checks beside types and limits."""
    holders = [("(all)", schema)]
    for field in _walk("", schema):
        holders.append((f"`{field.path}`", field.schema))
        if "items" in field.schema:
            holders.append((f"`{field.path}[]`", field.schema["items"]))
    rows = [
        (path, rule.get("message") or f"`{rule['rule']}`")
        for path, holder in holders
        for rule in holder.get("x-kubernetes-validations", ())
    ]
    if rows:
        yield "What is refused beside a wrong type:"
        yield ""
        yield from table(("field", "message"), rows)


def _conditions(conditions: Sequence[ConditionType]) -> Iterator[str]:
    for condition in conditions:
        yield f"`{condition.type}`: {condition.meaning}"
        yield ""
        rows = [(f"`{reason}`", meaning) for reason, meaning in condition.reasons.items()]
        if condition.others:
            rows.append(("others", condition.others))
        yield from table(("reason", "meaning"), rows)


def _columns(columns: Sequence[Json]) -> Iterator[str]:
    rows = [
        (
            f"{column['name']} (`-o wide`)" if column.get("priority") else column["name"],
            f"`{column['jsonPath'][1:]}`",
            column.get("description", ""),
        )
        for column in columns
    ]
    return table(("column", "field", "meaning"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table in Markdown, and an empty one."""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(text: str) -> str:
    """Return a text on one line, with nothing that Markdown takes for more than text or code."""
    parts = " ".join(text.split()).replace("|", r"\|").split("`")
    return "`".join(part if at % 2 else part.replace("<", r"\<") for at, part in enumerate(parts))
