"""CustomResourceDefinitions made from the models.

Pydantic's JSON schema says more than a structural schema may: references are put in place, ``null``
and defaults go, and ``metadata`` is left to the API server.
"""

from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.base import Json, Resource

_DROPPED = ("title", "default", "$defs", "const")


def custom_resource_definition(resource: type[Resource]) -> Json:
    """Return the CRD of one kind as the API's JSON."""
    kind = resource.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{names.GROUP}",
            "labels": {"app.kubernetes.io/part-of": names.MANAGED_BY},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": resource.plural,
                "singular": kind.lower(),
                "shortNames": list(resource.short_names),
                "categories": ["all", "jupyter"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [c.to_dict() for c in resource.columns],
                    "schema": {"openAPIV3Schema": open_api_schema(resource)},
                }
            ],
        },
    }


def open_api_schema(resource: type[Resource]) -> Json:
    """Return the structural schema of one kind."""
    whole = resource.model_json_schema(by_alias=True, mode="validation")
    schema = _structural(whole, whole.get("$defs", {}))
    properties = schema["properties"]
    properties["apiVersion"] = {
        "type": "string",
        "description": f"Version of this representation: {names.API_VERSION}.",
    }
    properties["kind"] = {"type": "string", "description": f"{resource.__name__}."}
    properties["metadata"] = {"type": "object"}
    return schema


def _structural(schema: Json, definitions: Json) -> Json:
    """Return ``schema`` with references put in place and without what Kubernetes refuses."""
    merged = _without_null(_resolved(schema, definitions), definitions)
    result: Json = {}
    for key, value in merged.items():
        if key in _DROPPED:
            continue
        if key == "description":
            result[key] = _plain(value)
        elif key == "properties":
            result[key] = {
                name: _structural(field, definitions) if isinstance(field, dict) else field
                for name, field in value.items()
            }
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            result[key] = _structural(value, definitions)
        else:
            result[key] = value
    if result.get("additionalProperties") is True:  # what is open, says so in Kubernetes' words
        del result["additionalProperties"]
    return result


def _resolved(schema: Json, definitions: Json) -> Json:
    reference: str | None = schema.get("$ref")
    if reference is None:
        return schema
    target: Json = definitions[reference.rpartition("/")[2]]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolved(target, definitions), **beside}


def _without_null(schema: Json, definitions: Json) -> Json:
    """Return an optional field's schema as that of its value; the field is optional by absence."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
    if len(kinds) != 1:
        raise ValueError(f"a structural schema has no alternatives: {schema}")
    beside: dict[str, Any] = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**_without_null(_resolved(kinds[0], definitions), definitions), **beside}


def _plain(text: str) -> str:
    """Return a description without reST's doubled backticks, which ``kubectl explain`` shows."""
    return text.replace("``", "`")
