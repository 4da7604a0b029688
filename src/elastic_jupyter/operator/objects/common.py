"""What all children have in common: labels, owner, data of Secrets, templates of users."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.base import Resource
from elastic_jupyter.kube.kinds import Object

#: Fields of ``metadata`` that Kubernetes knows; anything else in a template becomes a label.
_METADATA = frozenset(
    (
        *("annotations", "labels", "name", "namespace", "generateName", "ownerReferences"),
        *("finalizers", "uid", "resourceVersion", "generation", "managedFields", "selfLink"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    )
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")

#: The user of all our images.
USER = 1000
_UNPRIVILEGED: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_NON_ROOT: Object = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
}
_SAYS_WHO = ("runAsNonRoot", "runAsUser", "runAsGroup")


def labels(app: str, instance: str) -> dict[str, str]:
    """Return the labels of every child; ``app`` is one of ``names.APP_*``."""
    return {
        names.LABEL_NAME: app,
        names.LABEL_INSTANCE: label_value(instance),
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


def label_value(text: str) -> str:
    """Return ``text`` as the value of a label: too long ones end in a hash of the whole."""
    if len(text) <= 63:
        return text
    return f"{text[:52]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def owner_reference(owner: Resource) -> Object:
    """Return the reference by which a child goes with its owner."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": owner.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
    }


def metadata(name: str, owner: Resource, child_labels: Mapping[str, str]) -> Object:
    """Return the metadata of a child in its owner's namespace."""
    return {
        "name": name,
        "namespace": owner.metadata.namespace,
        "labels": dict(child_labels),
        "ownerReferences": [owner_reference(owner)],
    }


def encoded(data: Mapping[str, bytes | str]) -> dict[str, str]:
    """Return ``data`` as a Secret holds it."""
    return {
        key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        for key, value in data.items()
    }


def decoded(secret: Object, key: str) -> bytes | None:
    """Return one value of a Secret, None when it is missing or broken."""
    value = (secret.get("data") or {}).get(key)
    try:
        return base64.b64decode(value, validate=True) if value else None
    except ValueError:
        return None


def template_labels(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels in a user's template, and its unknown metadata as labels.

    The original's examples write ``metadata: {app: ..., component: ...}`` and mean labels.
    """
    given = template.get("metadata")
    if not isinstance(given, Mapping):
        return {}
    known = given.get("labels")
    return {key: str(given[key]) for key in lifted(template)} | dict(
        known if isinstance(known, Mapping) else {}
    )


def lifted(template: Mapping[str, Any]) -> list[str]:
    """Return the unknown keys of a template's metadata that become labels, sorted."""
    given = template.get("metadata")
    if not isinstance(given, Mapping):
        return []
    return sorted(
        key
        for key, value in given.items()
        if key not in _METADATA and isinstance(value, str) and _LABEL_VALUE.fullmatch(value)
    )


def template_annotations(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations in a user's template."""
    given = template.get("metadata")
    known = given.get("annotations") if isinstance(given, Mapping) else None
    return dict(known) if isinstance(known, Mapping) else {}


def restrict(spec: Object, container: Object) -> None:
    """Give a container of our images what Pod Security "restricted" asks for.

    What the template says stays: of the container's context all, of the pod's each field. Other
    containers of the pod are left alone but for seccomp: their images may need root.
    """
    confine(spec)
    context = spec["securityContext"]
    says_who = any(field in context for field in _SAYS_WHO)
    if not says_who:
        context.setdefault("fsGroup", USER)
    if "securityContext" not in container:
        container["securityContext"] = {**_UNPRIVILEGED, **({} if says_who else _NON_ROOT)}


def confine(spec: Object) -> None:
    """Give a pod of any image the runtime's seccomp profile where its template names none.

    It forbids system calls that no program in a container should need, also to root.
    """
    given = spec.get("securityContext") or {}
    spec["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}, **given}


def with_env(container: Object, *entries: Object) -> None:
    """Set environment variables of a container; ours win over those of the same name.

    Of a name that a user gave twice the last stays, which is what a kubelet takes: an apply is
    refused where a name comes twice.
    """
    env: dict[str, Object] = {}
    for entry in (*(container.get("env") or []), *entries):
        env.pop(entry["name"], None)  # what comes later may refer to all that came before it
        env[entry["name"]] = entry
    container["env"] = list(env.values())


def from_secret(name: str, secret: str, key: str) -> Object:
    """Return an environment variable that is read from a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
