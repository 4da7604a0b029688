"""Requests to the API server, built without sending anything. Pure functions.

Paths and verbs: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elastic_jupyter.kube.kinds import POD, Kind, Object, key_of

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
# JSON is YAML; "application/apply-patch+json" would need Kubernetes 1.36 or later.
APPLY_PATCH = "application/apply-patch+yaml"

LIST_CHUNK = 500
"""Objects a page of a list, as client-go's pager asks for."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``what`` names it in errors: verb, kind and object."""

    method: str
    path: str
    what: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content_type: str = JSON


def path(
    kind: Kind, namespace: str | None, name: str | None = None, *, subresource: str | None = None
) -> str:
    """Return the path of a collection, of an object, or of an object's subresource.

    ``namespace`` None or "" means all namespaces, and is what cluster-wide kinds have.
    """
    parts = ["/apis", kind.group, kind.version] if kind.group else ["/api", kind.version]
    if namespace:
        if not kind.namespaced:
            raise ValueError(f"{kind} is not namespaced")
        parts += ["namespaces", namespace]
    elif kind.namespaced and name:
        raise ValueError(f"{kind} {name} needs a namespace")
    parts.append(kind.plural)
    parts += [part for part in (name, subresource) if part]
    return "/".join(parts)


def get(kind: Kind, namespace: str | None, name: str) -> Request:
    """Read one object."""
    return Request("GET", path(kind, namespace, name), _what("get", kind, namespace, name))


def list_page(
    kind: Kind,
    namespace: str | None,
    *,
    label_selector: str | None = None,
    field_selector: str | None = None,
    limit: int | None = LIST_CHUNK,
    continue_from: str | None = None,
) -> Request:
    """Read one page of a list, the newest state (no ``resourceVersion``)."""
    params = _given(
        labelSelector=label_selector,
        fieldSelector=field_selector,
        limit=None if limit is None else str(limit),
        **{"continue": continue_from},
    )
    return Request("GET", path(kind, namespace), _what("list", kind, namespace), params)


def watch(
    kind: Kind,
    namespace: str | None,
    *,
    resource_version: str | None = None,
    label_selector: str | None = None,
    field_selector: str | None = None,
    timeout_seconds: int,
) -> Request:
    """Follow changes from a version on; without one, all that exists comes first as ``ADDED``."""
    params = _given(
        watch="1",
        allowWatchBookmarks="true",
        timeoutSeconds=str(timeout_seconds),
        resourceVersion=resource_version,
        labelSelector=label_selector,
        fieldSelector=field_selector,
    )
    return Request("GET", path(kind, namespace), _what("watch", kind, namespace), params)


def pod_log(
    namespace: str, name: str, *, container: str, follow: bool, tail: int | None
) -> Request:
    """Read what a container printed, as plain text."""
    params = _given(
        container=container,
        follow="true" if follow else None,
        tailLines=None if tail is None else str(tail),
    )
    what = f"logs of {_what('get', POD, namespace, name)}"
    return Request("GET", path(POD, namespace, name, subresource="log"), what, params)


def create(
    kind: Kind, obj: Object, *, field_manager: str | None = None, dry_run: bool = False
) -> Request:
    """Create an object in the namespace that its metadata names.

    A field that the API server does not know is refused, as in ``kubectl apply``: it drops such
    fields otherwise.
    """
    namespace = obj["metadata"].get("namespace")
    if kind.namespaced and not namespace:
        raise ValueError(f"{kind} {obj['metadata'].get('name')} needs a namespace")
    what = _what("create", kind, namespace, obj["metadata"].get("name"))
    params = _given(
        fieldManager=field_manager,
        fieldValidation="Strict",
        dryRun="All" if dry_run else None,
    )
    return Request("POST", path(kind, namespace), what, params, _typed(kind, obj))


def apply(
    kind: Kind,
    obj: Object,
    *,
    field_manager: str,
    force: bool = True,
    subresource: str | None = None,
    dry_run: bool = False,
) -> Request:
    """Server-side apply: the fields in ``obj`` become this manager's, those it leaves out go."""
    namespace, name = key_of(obj)
    params = _given(
        fieldManager=field_manager,
        force="true" if force else "false",
        dryRun="All" if dry_run else None,
    )
    return Request(
        "PATCH",
        path(kind, namespace, name, subresource=subresource),
        _what("apply", kind, namespace, name),
        params,
        _typed(kind, obj),
        APPLY_PATCH,
    )


def patch(
    kind: Kind,
    namespace: str | None,
    name: str,
    body: Mapping[str, Any],
    *,
    subresource: str | None = None,
    field_manager: str | None = None,
    dry_run: bool = False,
) -> Request:
    """JSON merge patch (RFC 7386): None removes a key, lists are replaced."""
    return Request(
        "PATCH",
        path(kind, namespace, name, subresource=subresource),
        _what("patch", kind, namespace, name),
        _given(fieldManager=field_manager, dryRun="All" if dry_run else None),
        body,
        MERGE_PATCH,
    )


def delete(
    kind: Kind,
    namespace: str | None,
    name: str,
    *,
    grace_seconds: int | None = None,
    uid: str | None = None,
) -> Request:
    """Delete an object, with ``uid`` only the one that has it."""
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if grace_seconds is not None:
        body["gracePeriodSeconds"] = grace_seconds
    if uid is not None:
        body["preconditions"] = {"uid": uid}
    what = _what("delete", kind, namespace, name)
    return Request("DELETE", path(kind, namespace, name), what, {}, body)


def _typed(kind: Kind, obj: Object) -> Object:
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def _given(**params: str | None) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}


def _what(verb: str, kind: Kind, namespace: str | None, name: str | None = None) -> str:
    where = "/".join(part for part in (namespace, name) if part)
    return f"{verb} {kind} {where}" if where else f"{verb} {kind}"
