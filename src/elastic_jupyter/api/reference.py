"""The reference page of a kind in Markdown, made from its CustomResourceDefinition. Pure.

What ``kubectl explain`` says of a field is what the page says, since both read the same schema.
"""

from collections.abc import Iterator, Sequence

from elastic_jupyter.api.base import Json
from elastic_jupyter.api.conditions import ConditionType

_HEADER = (
    "<!-- Made by `python -m elastic_jupyter.api.generate`; edit src/elastic_jupyter/api instead."
    " -->"
)
#: Least and greatest value by format, which are no limits of the field.
_RANGE = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} keys",
    "pattern": "pattern `{}`",
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


def fields(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    """Yield path and schema of every field below ``path``, in order; ``[]`` stands for a list."""
    if "items" in schema:
        path, schema = f"{path}[]", schema["items"]
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", {**field, "required": name in schema.get("required", ())}
        yield from fields(f"{path}.{name}", field)


def _fields(path: str, schema: Json) -> Iterator[str]:
    rows = [
        (f"`{name}`", ", ".join(_kind(field)), field.get("description", ""))
        for name, field in fields(path, schema)
    ]
    return _table(("field", "type", "meaning"), rows)


def _kind(field: Json) -> Iterator[str]:
    """Yield the type of a field and what limits it."""
    yield _type(field)
    for key, words in _LIMITS.items():
        if key in field:
            yield words.format(field[key])
    least, greatest = _RANGE.get(field.get("format", ""), (None, None))
    if field.get("minimum", least) != least:
        yield f"{field['minimum']} or more"
    if field.get("maximum", greatest) != greatest:
        yield f"{field['maximum']} or less"
    if field["required"]:
        yield "required"


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
    rows = [
        (f"`{path[1:]}`" if path else "(all)", rule.get("message") or f"`{rule['rule']}`")
        for path, part in (("", schema), *fields("", schema))
        for holder in (part, part.get("items", {}))
        for rule in holder.get("x-kubernetes-validations", ())
    ]
    if rows:
        yield "What is refused beside a wrong type:"
        yield ""
        yield from _table(("field", "message"), rows)


def _conditions(conditions: Sequence[ConditionType]) -> Iterator[str]:
    for condition in conditions:
        yield f"`{condition.type}`: {condition.meaning}"
        yield ""
        rows = [(f"`{reason}`", meaning) for reason, meaning in condition.reasons.items()]
        if condition.others:
            rows.append(("others", condition.others))
        yield from _table(("reason", "meaning"), rows)


def _columns(columns: Sequence[Json]) -> Iterator[str]:
    rows = [
        (
            f"{column['name']} (`-o wide`)" if column.get("priority") else column["name"],
            f"`{column['jsonPath'][1:]}`",
            column.get("description", ""),
        )
        for column in columns
    ]
    return _table(("column", "field", "meaning"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        cells = (" ".join(cell.split()).replace("|", r"\|") for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""
