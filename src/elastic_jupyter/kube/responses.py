"""Answers of the API server: into objects, or into our errors. Pure functions."""

from collections.abc import Mapping
from typing import Any

import msgspec

from elastic_jupyter import untrusted_json
from elastic_jupyter.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    StoreError,
    Unavailable,
)
from elastic_jupyter.kube import nesting
from elastic_jupyter.kube.kinds import Kind, Object

_decoder = msgspec.json.Decoder(dict[str, Any])


def decode(content: bytes, *, what: str) -> Object:
    """Return the JSON object in an answer. Raises ``Unavailable``: a proxy answered instead.

    Where it is nested too deeply to be read, what is too deep is cut out (``nesting``).
    """
    try:
        return _read(content)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{what}: the answer is no JSON object: {error}") from error


def _read(content: bytes) -> Object:
    try:
        with untrusted_json.reading():
            return _decoder.decode(content)
    except untrusted_json.NestedTooDeeply:
        return _decoder.decode(nesting.cut(content))


def fill(kind: Kind, obj: Object) -> Object:
    """Add ``apiVersion`` and ``kind``, which items of built-in lists lack; return the object."""
    obj.setdefault("apiVersion", kind.api_version)
    obj.setdefault("kind", kind.kind)
    return obj


def strip(obj: Object) -> Object:
    """Drop ``metadata.managedFields``, half of a pod's size that nobody here reads."""
    obj["metadata"].pop("managedFields", None)
    return obj


def error_of(code: int, content: bytes, headers: Mapping[str, str], *, what: str) -> StoreError:
    """Return the error that an answer with an HTTP status from 400 on stands for."""
    try:
        status = _read(content)
    except msgspec.DecodeError:  # plain text, as overload protection and proxies send
        status = {"message": content[:200].decode(errors="replace").strip()}
    return error_of_status(code, status, what=what, retry_after=headers.get("retry-after"))


def error_of_status(
    code: int, status: Mapping[str, Any], *, what: str, retry_after: str | None = None
) -> StoreError:
    """Return the error that a ``Status`` object stands for; a watch carries one as an event."""
    reason = str(status.get("reason") or "")
    message = f"{what}: {status.get('message') or reason or 'no reason given'} ({code})"
    if code == 404:
        return NotFound(message)
    if code == 409:
        return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
    if code == 410:
        return Expired(message)
    if code in (401, 403):
        return Forbidden(message)
    if code == 429 or code >= 500:
        details = status.get("details") or {}
        return Unavailable(
            message, retry_after=_seconds(retry_after or details.get("retryAfterSeconds"))
        )
    return Invalid(message)


def _seconds(value: object) -> float | None:
    # Retry-After may also be a date; the API server only sends seconds.
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
