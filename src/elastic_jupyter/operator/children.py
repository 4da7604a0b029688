"""Makes the children of an object so, and keeps them so.

Server-side apply under one field manager: what the operator says is repaired, what others add
stays, as what ``kubectl rollout restart`` and ``kubectl scale`` write. A child is never taken from
another owner.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.errors import AlreadyExists, Forbidden, Invalid, NotFound, Unavailable
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import Key, Kind, Object, key_of
from elastic_jupyter.kube.reflector import Reflector

FIELD_MANAGER = "elastic-jupyter-operator"

#: Seconds until something is tried again that nothing in the cluster will tell us about: a quota,
#: a policy, an object of a child's name which is not ours.
BLOCKED_RETRY = 10.0

#: Digest of what a child was last asked to be. A field that a spec no longer has goes with the next
#: apply only, and an operator that has just started knows by this whether one is due.
ANNOTATION_APPLIED = f"{names.GROUP}/applied"

#: What the API server says, with 500, of an apply that cannot be merged: an entry of a list that
#: comes twice, as a port, which a create takes.
_CANNOT_APPLY = "failed to create typed patch object"


class Children:
    """Writes children; ``reflectors`` hold those of the kinds that are watched."""

    def __init__(self, client: Client, reflectors: Mapping[Kind, Reflector]) -> None:
        self._client = client
        self._reflectors = reflectors
        # Digests of what was sent and of what came of it: any other child is applied again. That
        # changes nothing where somebody only added to it, and cannot go on for ever.
        self._settled: dict[tuple[Kind, Key], tuple[str, str]] = {}

    async def find(self, kind: Kind, key: Key) -> Object | None:
        """Return what exists under a name, also when somebody else made it."""
        cached = self._reflectors[kind].cache.get(key)
        if cached is not None:
            return cached
        try:
            return await self._client.get(kind, *key)
        except NotFound:
            return None

    async def own(self, kind: Kind, key: Key, *, owner_uid: str | None) -> Object | None:
        """Return the child of this owner, if there is one."""
        live = await self.find(kind, key)
        return live if live is not None and controller_uid(live) == owner_uid else None

    async def apply(self, kind: Kind, desired: Object) -> Object:
        """Make the child as desired; return it as it is.

        Raises ``AlreadyExists`` when the name belongs to somebody else, ``Invalid`` when the API
        server refuses it.
        """
        key, wanted = key_of(desired), _digest(desired)
        live = await self.find(kind, key)
        if live is not None:
            _check_owner(kind, desired, live)
            if self._is_settled(kind, key, desired, wanted, live):
                return live
        stamped = _stamped(desired, wanted)
        try:
            made = await self._client.apply(kind, stamped, field_manager=FIELD_MANAGER)
        except Unavailable as error:
            await self._check(kind, desired)
            if _CANNOT_APPLY in str(error):
                raise Invalid(str(error)) from error
            raise
        self._settled[kind, key] = (wanted, _digest(_lasting(made)))
        return made

    async def _check(self, kind: Kind, desired: Object) -> None:
        """Raise ``Invalid`` when that is why the API server did not apply a child.

        It answers an apply of a field that it does not know, or that has the wrong type, with 500;
        asked to create the same, it says what is wrong.
        """
        with contextlib.suppress(AlreadyExists, Forbidden, Unavailable):
            await self._client.create(kind, desired, dry_run=True)

    async def make_once(self, kind: Kind, desired: Object) -> Object:
        """Create the child if there is none; never change what one that is there holds.

        Its labels and owner are kept: without our labels nobody would see it any more. Raises
        ``AlreadyExists`` when the name belongs to somebody else.
        """
        live = await self.find(kind, key_of(desired))
        if live is None:
            try:
                return await self._client.create(kind, desired, field_manager=FIELD_MANAGER)
            except AlreadyExists:
                live = await self._client.get(kind, *key_of(desired))
        live = await restored(self._client, kind, desired, live)
        _check_owner(kind, desired, live)
        return live

    async def remove(self, kind: Kind, key: Key, *, owner_uid: str) -> None:
        """Delete a child of this owner, if it is there."""
        live = self._reflectors[kind].cache.get(key)
        if live is None or controller_uid(live) != owner_uid:
            return
        try:
            await self._client.delete(kind, *key, uid=live["metadata"]["uid"])
        except NotFound:
            return

    def forget(self, kind: Kind, key: Key) -> None:
        """Drop what is remembered of a child that is gone."""
        self._settled.pop((kind, key), None)

    def _is_settled(self, kind: Kind, key: Key, desired: Object, wanted: str, live: Object) -> bool:
        now = (wanted, _digest(_lasting(live)))
        if (kind, key) in self._settled:
            return self._settled[kind, key] == now
        # Nothing was applied by this process yet. What the API server writes in another way than we
        # do (1000m, 1) is not recognised, and costs one apply that changes nothing.
        if _applied(live) != wanted or not covers(live, desired):
            return False
        self._settled[kind, key] = now
        return True


def controller_uid(obj: Object) -> str | None:
    """Return the uid of the owner that controls an object."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            uid: str = owner["uid"]
            return uid
    return None


async def living_uid(client: Client, kind: Kind, key: Key) -> str | None:
    """Ask the API server for the uid of an object; None: it is gone, or being deleted.

    The caches of two kinds are not of the same moment, so that a child may be known before its
    owner, or after.
    """
    try:
        metadata = (await client.get(kind, *key))["metadata"]
    except NotFound:
        return None
    return None if metadata.get("deletionTimestamp") else str(metadata["uid"])


async def restored(client: Client, kind: Kind, desired: Object, live: Object) -> Object:
    """Give a child back the labels or the owner of ``desired`` that it lost; return it as it is.

    One of the two must be left, to tell that it is ours; what is to have no owner stays as it is.
    Others' labels and owners stay.
    """
    wanted, metadata = desired["metadata"], live["metadata"]
    owner, owned = controller_uid(desired), controller_uid(live)
    if owner is None:
        return live
    labelled = covers(metadata.get("labels") or {}, wanted["labels"])
    if owned == owner and not labelled:
        lost: Object = {"labels": wanted["labels"]}
    elif owned is None and labelled:
        others = metadata.get("ownerReferences") or []
        lost = {"ownerReferences": [*others, *wanted["ownerReferences"]]}
    else:
        return live
    body = {"metadata": {"uid": metadata["uid"], **lost}}
    return await client.patch(kind, *key_of(live), body, field_manager=FIELD_MANAGER)


def covers(live: Any, desired: Any) -> bool:
    """Say whether ``live`` has all that ``desired`` says; defaults and additions may be there too.

    Lists must have the same length.
    """
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and covers(live[key], value) for key, value in desired.items()
        )
    if isinstance(desired, list):
        return (
            isinstance(live, list)
            and len(live) == len(desired)
            and all(covers(one, other) for one, other in zip(live, desired, strict=True))
        )
    return bool(live == desired)


def _check_owner(kind: Kind, desired: Object, live: Object) -> None:
    wanted = controller_uid(desired)
    if controller_uid(live) == wanted:
        return
    owners = live["metadata"].get("ownerReferences") or []
    whose = ", ".join(f"{owner['kind']} {owner['name']}" for owner in owners) or "nobody"
    raise AlreadyExists(
        f"{kind} {key_of(live)} exists already and belongs to {whose}; delete or rename it"
    )


def _stamped(desired: Object, digest: str) -> Object:
    metadata = desired["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_APPLIED: digest}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


def _applied(live: Object) -> str | None:
    return (live["metadata"].get("annotations") or {}).get(ANNOTATION_APPLIED)


def _lasting(obj: Object) -> Object:
    """Return what a person or we could have changed, without what the cluster writes."""
    metadata = obj["metadata"]
    fields = ("uid", "labels", "annotations", "ownerReferences")
    kept = {key: metadata.get(key) for key in fields}
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    return {**rest, "metadata": kept}


def _digest(obj: Object) -> str:
    return hashlib.sha256(json.dumps(obj, sort_keys=True).encode()).hexdigest()
