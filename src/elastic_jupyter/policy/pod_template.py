"""The shape of a user's PodTemplateSpec, which the CRDs keep but do not check."""

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


def _check_list(holder: Mapping[str, Any], part: str, field: str) -> None:
    if not isinstance(holder.get(part) or [], list):
        raise Invalid(f"{field}.{part} must be a list")
