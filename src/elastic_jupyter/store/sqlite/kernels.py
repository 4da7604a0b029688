"""JupyterKernels in the file."""

import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from sqlite3 import Connection
from typing import Any

from elastic_jupyter.api.kernel import NEEDS_GATEWAY, JupyterKernel, Snapshot
from elastic_jupyter.api.names import LABEL_GATEWAY
from elastic_jupyter.errors import Conflict, Invalid, NotFound
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, Key, Object, key_of
from elastic_jupyter.store.parsing import LenientParser, parse
from elastic_jupyter.store.protocol import Change, Gone, Put
from elastic_jupyter.store.sqlite import objects
from elastic_jupyter.store.sqlite.database import Database
from elastic_jupyter.store.sqlite.feed import Written, follow
from elastic_jupyter.store.sqlite.merge import merge
from elastic_jupyter.store.wishes import snapshot_patch, spec_patch

KIND = str(JUPYTER_KERNEL)

#: What the API server takes as the name of a JupyterKernel; the length is a rule of our CRD.
_NAME = re.compile(r"(?=.{1,242}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class SqliteKernelStore:
    """``KernelStore`` in a SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: Key) -> JupyterKernel:
        found = await self._database.read(lambda connection: objects.get(connection, KIND, key))
        return parse(JupyterKernel, found)

    async def list(self, namespace: str) -> list[JupyterKernel]:
        parser = LenientParser()
        found = await self._database.read(
            lambda connection: objects.all_of(connection, KIND, namespace)
        )
        parsed = (parser.parse(JupyterKernel, obj) for obj in found)
        return [kernel for kernel in parsed if kernel is not None]

    async def watch(
        self, namespace: str | None, *, gateway: str | None
    ) -> AsyncGenerator[Change, None]:
        parser = LenientParser()
        feed = follow(self._database, KIND, namespace, matches=_serves(gateway))
        async with contextlib.aclosing(feed):
            async for event in feed:
                if isinstance(event, Written):
                    kernel = parser.parse(JupyterKernel, event.obj)
                    if kernel is not None:
                        yield Put(kernel)
                    continue
                if isinstance(event, Gone):
                    parser.forget(event.uid)
                yield event

    async def create(self, kernel: JupyterKernel) -> JupyterKernel:
        wish = _wish(kernel)
        now = self._database.clock.now()
        return await self._write(lambda connection: objects.create(connection, KIND, wish, now=now))

    async def delete(self, key: Key, *, uid: str) -> None:
        def delete(connection: Connection) -> None:
            found = objects.find(connection, KIND, key)
            if found is not None and found["metadata"]["uid"] == uid:
                objects.remove(connection, KIND, found)

        await self._database.write(delete)

    async def annotate(self, key: Key, annotations: Mapping[str, str | None], *, uid: str) -> None:
        await self._patch_own(key, {"metadata": {"annotations": annotations}}, uid=uid)

    async def wish(
        self,
        key: Key,
        *,
        uid: str,
        suspend: bool | None = None,
        keep_until: datetime | None = None,
    ) -> JupyterKernel:
        spec = spec_patch(suspend=suspend, keep_until=keep_until)
        return await self._patch_own(key, {"spec": spec}, uid=uid)

    async def save(
        self,
        key: Key,
        snapshot: Snapshot | None,
        *,
        uid: str,
        epoch: int,
        version: str | None = None,
    ) -> JupyterKernel:
        def write(connection: Connection) -> Object:
            old = objects.get(connection, KIND, key)
            _require_uid(key, old["metadata"], uid)
            kernel = parse(JupyterKernel, old)
            spec = snapshot_patch(kernel, snapshot, epoch=epoch, version=version)
            return objects.replace(connection, KIND, old, merge(old, {"spec": spec}))

        return await self._write(write)

    async def patch_activity(self, key: Key, activity: dict[str, Any], *, uid: str) -> None:
        await self._patch_own(key, {"status": {"activity": activity}}, uid=uid)

    async def _patch_own(self, key: Key, patch: Object, *, uid: str) -> JupyterKernel:
        """Patch the object with this uid."""
        return await self._patch(
            key, patch, fence=lambda metadata: _require_uid(key, metadata, uid)
        )

    async def patch_status(
        self, key: Key, status: dict[str, Any], *, version: str
    ) -> JupyterKernel:
        def same_version(metadata: Object) -> None:
            if metadata["resourceVersion"] != version:
                raise Conflict(
                    f"{KIND} {key} was changed: it has version {metadata['resourceVersion']}, "
                    f"not {version}"
                )

        return await self._patch(key, {"status": status}, fence=same_version)

    async def _patch(
        self, key: Key, patch: Object, *, fence: Callable[[Object], None]
    ) -> JupyterKernel:
        """Merge into the object as it is, unless the fence, called with its metadata, raises."""

        def write(connection: Connection) -> Object:
            old = objects.get(connection, KIND, key)
            fence(old["metadata"])
            return objects.replace(connection, KIND, old, merge(old, patch))

        return await self._write(write)

    async def _write(self, work: Callable[[Connection], Object]) -> JupyterKernel:
        # Within the transaction: what is refused is not written.
        return await self._database.write(lambda connection: _accepted(work(connection)))


def _wish(kernel: JupyterKernel) -> Object:
    """Return what is kept of a wish: not its status, which is for those who report facts."""
    wish = kernel.to_dict()
    wish.pop("status", None)
    metadata = wish["metadata"]
    if not _NAME.fullmatch(metadata.get("name", "")):
        raise Invalid(
            f"{KIND}: metadata.name: {metadata.get('name')!r} must have 1 to 242 lower-case "
            "letters, digits, hyphens and dots, and start and end with a letter or digit"
        )
    if not metadata.get("namespace"):
        raise Invalid(f"{KIND} {metadata['name']}: metadata.namespace: it is missing")
    return wish


def _require_uid(key: Key, metadata: Object, uid: str) -> None:
    if metadata["uid"] != uid:
        raise NotFound(f"{KIND} {key} with uid {uid} is gone")


def _accepted(obj: Object) -> JupyterKernel:
    """Return the object as a model. Raises ``Invalid`` where the API server would refuse it."""
    kernel = parse(JupyterKernel, obj)
    spec = kernel.spec
    heeded = (spec.suspend, spec.keep_until, spec.reclaim_policy, spec.snapshot)
    if spec.gateway_ref is None and any(field is not None for field in heeded):
        raise Invalid(f"{KIND} {key_of(obj)}: {NEEDS_GATEWAY[1]}")
    return kernel


def _serves(gateway: str | None) -> Callable[[Object], bool]:
    """Return what tells whether a kernel is of that gateway (None: of any)."""
    return lambda obj: (
        gateway is None or (obj["metadata"].get("labels") or {}).get(LABEL_GATEWAY) == gateway
    )
