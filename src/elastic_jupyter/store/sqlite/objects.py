"""Objects in the file, as the API server keeps them. Each function runs inside a transaction.

An object is a dict with ``metadata``, and gets a uid, a version, a time and a generation when it is
made. ``kind`` is any word.
"""

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from sqlite3 import Connection
from typing import Any

from elastic_jupyter.errors import AlreadyExists, Invalid, NotFound
from elastic_jupyter.kube.kinds import Key, Object, key_of
from elastic_jupyter.policy.report import timestamp

#: Removals that are remembered. A follower that is further behind compares all uids.
KEPT_REMOVALS = 1000
#: Longest object, in bytes of JSON: what the API server takes.
MAX_BYTES = 3 * 2**19

#: What the store says of an object, in its metadata.
_OF_THE_STORE = ("uid", "resourceVersion", "generation", "creationTimestamp")


def get(connection: Connection, kind: str, key: Key) -> Object:
    """Return an object. Raises ``NotFound``."""
    obj = find(connection, kind, key)
    if obj is None:
        raise NotFound(f"{kind} {key} not found")
    return obj


def find(connection: Connection, kind: str, key: Key) -> Object | None:
    """Return an object, or None."""
    row = connection.execute(
        "SELECT body FROM objects WHERE kind = ? AND namespace = ? AND name = ?", (kind, *key)
    ).fetchone()
    return None if row is None else _decode(row[0])


def all_of(connection: Connection, kind: str, namespace: str) -> list[Object]:
    """Return the objects of a namespace, those that were written last at the end."""
    rows = connection.execute(
        "SELECT body FROM objects WHERE kind = ? AND namespace = ? ORDER BY version",
        (kind, namespace),
    )
    return [_decode(body) for (body,) in rows]


def oldest_beyond(connection: Connection, kind: str, namespace: str, *, size: int) -> list[Object]:
    """Return the objects that must go so that the others have at most ``size`` bytes of JSON."""
    rows = connection.execute(
        "SELECT body FROM (SELECT body, SUM(LENGTH(body)) OVER (ORDER BY version DESC) AS total"
        " FROM objects WHERE kind = ? AND namespace = ?) WHERE total > ?",
        (kind, namespace, size),
    )
    return [_decode(body) for (body,) in rows.fetchall()]


def create(connection: Connection, kind: str, obj: Object, *, now: datetime) -> Object:
    """Add an object; return it with what the store says of it. Raises ``AlreadyExists``."""
    key = key_of(obj)
    if find(connection, kind, key) is not None:
        raise AlreadyExists(f"{kind} {key} exists already")
    obj = {
        **obj,
        "metadata": {
            **obj["metadata"],
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": timestamp(now),
        },
    }
    return _write(connection, kind, obj)


def put(connection: Connection, kind: str, obj: Object, *, now: datetime) -> Object:
    """Create an object, or write what is new of it; return it."""
    old = find(connection, kind, key_of(obj))
    if old is None:
        return create(connection, kind, obj, now=now)
    kept = {name: old["metadata"][name] for name in _OF_THE_STORE}
    return replace(connection, kind, old, {**obj, "metadata": {**obj["metadata"], **kept}})


def replace(connection: Connection, kind: str, old: Object, new: Object) -> Object:
    """Write what became of an object; return it. What is as it was is not written."""
    if new == old:
        return old
    if _wanted(new) != _wanted(old):
        generation = old["metadata"]["generation"] + 1
        new = {**new, "metadata": {**new["metadata"], "generation": generation}}
    return _write(connection, kind, new)


def remove(connection: Connection, kind: str, obj: Object) -> None:
    """Delete an object."""
    revision = _next_revision(connection)
    connection.execute(
        "DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", (kind, *key_of(obj))
    )
    connection.execute(
        "INSERT INTO removals VALUES (?, ?, ?)", (revision, kind, obj["metadata"]["uid"])
    )
    excess = connection.execute(
        "SELECT revision FROM removals ORDER BY revision DESC LIMIT 1 OFFSET ?", (KEPT_REMOVALS,)
    ).fetchone()
    if excess is not None:
        connection.execute("DELETE FROM removals WHERE revision <= ?", excess)
        connection.execute("UPDATE log SET trimmed = ?", excess)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far somebody has read: the revisions up to which they know what was written, removed."""

    written: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """What changed after a cursor. ``gone`` are uids, and come before ``written``.

    An object that was written and removed in between is in neither. ``more``: there is more.
    """

    gone: list[str]
    written: list[Object]
    cursor: Cursor
    more: bool


def changes(
    connection: Connection,
    kind: str,
    namespace: str | None,
    *,
    since: Cursor,
    known: Collection[str],
    limit: int,
) -> Page:
    """Return what changed. ``known`` are the uids of which it matters that they are gone."""
    revision, trimmed = connection.execute("SELECT revision, trimmed FROM log").fetchone()
    rows = connection.execute(
        "SELECT version, body FROM objects"
        " WHERE kind = ? AND version > ? AND (? IS NULL OR namespace = ?)"
        " ORDER BY version LIMIT ?",
        (kind, since.written, namespace, namespace, limit),
    ).fetchall()
    more = len(rows) == limit
    return Page(
        gone=_gone(connection, kind, since.removed, known, all_kept=since.removed >= trimmed),
        written=[_decode(body) for _, body in rows],
        cursor=Cursor(rows[-1][0] if more else revision, revision),
        more=more,
    )


def _gone(
    connection: Connection, kind: str, since: int, known: Collection[str], *, all_kept: bool
) -> list[str]:
    if not known:
        return []
    if all_kept:
        rows = connection.execute(
            "SELECT uid FROM removals WHERE revision > ? AND kind = ? ORDER BY revision",
            (since, kind),
        )
        return [uid for (uid,) in rows if uid in known]
    rows = connection.execute("SELECT uid FROM objects WHERE kind = ?", (kind,))
    present = {uid for (uid,) in rows}
    return [uid for uid in known if uid not in present]


def _wanted(obj: Object) -> Object:
    """Return what a generation counts the changes of."""
    return {name: part for name, part in obj.items() if name not in ("metadata", "status")}


def _write(connection: Connection, kind: str, obj: Object) -> Object:
    version = _next_revision(connection)
    metadata = {**obj["metadata"], "resourceVersion": str(version)}
    obj = {**obj, "metadata": metadata}
    key = key_of(obj)
    try:
        body = json.dumps(obj, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise Invalid(f"{kind} {key}: {error}") from error
    if len(body) > MAX_BYTES:
        raise Invalid(f"{kind} {key}: it has {len(body)} bytes; at most {MAX_BYTES} are kept")
    connection.execute(
        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)",
        (kind, *key, metadata["uid"], version, body),
    )
    return obj


def _next_revision(connection: Connection) -> int:
    connection.execute("UPDATE log SET revision = revision + 1")
    (revision,) = connection.execute("SELECT revision FROM log").fetchone()
    return int(revision)


def _decode(body: str) -> dict[str, Any]:
    return json.loads(body)  # type: ignore[no-any-return]  # _write wrote it
