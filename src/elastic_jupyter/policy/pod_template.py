"""The shape of a user's PodTemplateSpec, of which the CRDs check a part."""

import copy
from collections.abc import Mapping
from typing import Any

from elastic_jupyter.errors import Invalid


def pod_spec(template: Mapping[str, Any], *, field: str) -> dict[str, Any]:
    """Return a copy of the pod spec in a template, with at least one container.

    Raises ``Invalid``, which names the part of ``field``, when its shape is wrong. What the shape
    holds is the API server's to judge.
    """
    spec = copy.deepcopy(template.get("spec") or {})
    if not isinstance(spec, dict):
        raise Invalid(f"{field}.spec must be an object")
    containers = spec.setdefault("containers", []) or []
    if not isinstance(containers, list) or not all(isinstance(one, dict) for one in containers):
        raise Invalid(f"{field}.spec.containers must be a list of objects")
    spec["containers"] = containers or [{}]
    if not isinstance(spec.get("securityContext") or {}, dict):
        raise Invalid(f"{field}.spec.securityContext must be an object")
    for part in ("volumes", "schedulingGates", "initContainers"):
        _check_list(spec, part, f"{field}.spec")
    if not isinstance(spec["containers"][0].get("image") or "", str):
        raise Invalid(f"{field}.spec.containers[0].image must be a string")
    for part in ("env", "volumeMounts", "args", "command"):
        _check_list(spec["containers"][0], part, f"{field}.spec.containers[0]")
    for entry in spec["containers"][0].get("env") or ():
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise Invalid(f"{field}.spec.containers[0].env must be a list of objects with a name")
    return spec


def first_container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first container in a template, an empty one where there is none."""
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    first = containers[0] if isinstance(containers, list) and containers else None
    return first if isinstance(first, Mapping) else {}


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a container that have a value of their own."""
    env = container.get("env")
    entries = [one for one in env if isinstance(one, Mapping)] if isinstance(env, list) else []
    return {
        one["name"]: one["value"]
        for one in entries
        if isinstance(one.get("name"), str) and isinstance(one.get("value"), str)
    }


def _check_list(holder: Mapping[str, Any], part: str, field: str) -> None:
    if not isinstance(holder.get(part) or [], list):
        raise Invalid(f"{field}.{part} must be a list")
