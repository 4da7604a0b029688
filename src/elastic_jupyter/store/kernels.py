"""JupyterKernels in the API server."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from elastic_jupyter.api.kernel import JupyterKernel, Snapshot
from elastic_jupyter.api.names import LABEL_GATEWAY
from elastic_jupyter.errors import Conflict, Invalid, NotFound
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, Key, Object
from elastic_jupyter.kube.reflector import Reflector
from elastic_jupyter.store.parsing import LenientParser, parse
from elastic_jupyter.store.protocol import Change, Gone, Put, Synced
from elastic_jupyter.store.wishes import snapshot_patch, spec_patch

GATEWAY_MANAGER = "elastic-jupyter-gateway"
OPERATOR_MANAGER = "elastic-jupyter-operator"
PERSON_MANAGER = "elastic-jupyter"

#: To write of a kernel's activity; others write its status, too.
_ATTEMPTS = 3

_Seen: TypeAlias = tuple[Key, Object | None, Object | None]


class _Outrun(Conflict):
    """Somebody wrote the object between our look at it and our write."""


class KubernetesKernelStore:
    """``KernelStore`` on the API server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, key: Key) -> JupyterKernel:
        return parse(JupyterKernel, await self._client.get(JUPYTER_KERNEL, *key))

    async def list(self, namespace: str) -> list[JupyterKernel]:
        parser = LenientParser()
        listing = await self._client.list(JUPYTER_KERNEL, namespace)
        parsed = (parser.parse(JupyterKernel, obj) for obj in listing.items)
        return [kernel for kernel in parsed if kernel is not None]

    async def watch(
        self, namespace: str | None, *, gateway: str | None
    ) -> AsyncGenerator[Change, None]:
        selector = None if gateway is None else f"{LABEL_GATEWAY}={gateway}"
        reflector = Reflector(self._client, JUPYTER_KERNEL, namespace, selector)
        parser = LenientParser()
        # None: synced. The follower itself: it ended, which only a defect can make it do.
        seen: asyncio.Queue[_Seen | asyncio.Task[None] | None] = asyncio.Queue()
        reflector.on_change(lambda key, old, new: seen.put_nowait((key, old, new)))
        reflector.on_synced(lambda: seen.put_nowait(None))
        follower = asyncio.create_task(reflector.run())
        follower.add_done_callback(seen.put_nowait)
        try:
            while True:
                item = await seen.get()
                if item is None:
                    yield Synced()
                elif isinstance(item, asyncio.Task):
                    item.result()
                    raise RuntimeError("the reflector of the kernels ended")
                elif change := _change(item, parser):
                    yield change
        finally:
            follower.cancel()
            await asyncio.wait([follower])

    async def create(self, kernel: JupyterKernel) -> JupyterKernel:
        created = await self._client.create(
            JUPYTER_KERNEL, kernel.to_dict(), field_manager=GATEWAY_MANAGER
        )
        return parse(JupyterKernel, created)

    async def delete(self, key: Key, *, uid: str) -> None:
        # NotFound: gone already. Conflict: gone, and another one has its name.
        with contextlib.suppress(NotFound, Conflict):
            await self._client.delete(JUPYTER_KERNEL, *key, uid=uid)

    async def annotate(self, key: Key, annotations: Mapping[str, str | None], *, uid: str) -> None:
        body = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        await self._patch(key, body, uid=uid)

    async def wish(
        self,
        key: Key,
        *,
        uid: str,
        suspend: bool | None = None,
        keep_until: datetime | None = None,
    ) -> JupyterKernel:
        spec = spec_patch(suspend=suspend, keep_until=keep_until)
        body = {"metadata": {"uid": uid}, "spec": spec}
        return await self._patch(key, body, uid=uid, manager=PERSON_MANAGER)

    async def save(
        self,
        key: Key,
        snapshot: Snapshot | None,
        *,
        uid: str,
        epoch: int,
        version: str | None = None,
    ) -> JupyterKernel:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(_Outrun):
                return await self._save(key, snapshot, uid=uid, epoch=epoch, version=version)
        return await self._save(key, snapshot, uid=uid, epoch=epoch, version=version)

    async def _save(
        self, key: Key, snapshot: Snapshot | None, *, uid: str, epoch: int, version: str | None
    ) -> JupyterKernel:
        kernel = await self.get(key)
        if kernel.metadata.uid != uid:
            raise NotFound(f"JupyterKernel {key} with uid {uid} is gone")
        body = {
            "metadata": {"resourceVersion": kernel.metadata.resource_version},
            "spec": snapshot_patch(kernel, snapshot, epoch=epoch, version=version),
        }
        try:
            patched = await self._client.patch(
                JUPYTER_KERNEL, *key, body, field_manager=GATEWAY_MANAGER
            )
        except Conflict as error:
            raise _Outrun(str(error)) from error
        return parse(JupyterKernel, patched)

    async def patch_activity(self, key: Key, activity: dict[str, Any], *, uid: str) -> None:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(Conflict):
                return await self._patch_activity(key, activity, uid=uid)
        return await self._patch_activity(key, activity, uid=uid)

    async def _patch_activity(self, key: Key, activity: dict[str, Any], *, uid: str) -> None:
        # The API server takes a status whatever uid it is for, so a version is the fence.
        metadata = (await self._client.get(JUPYTER_KERNEL, *key))["metadata"]
        if metadata["uid"] != uid:
            raise NotFound(f"JupyterKernel {key} with uid {uid} is gone")
        body = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "status": {"activity": activity},
        }
        await self._client.patch(
            JUPYTER_KERNEL, *key, body, subresource="status", field_manager=GATEWAY_MANAGER
        )

    async def _patch(
        self, key: Key, body: Object, *, uid: str, manager: str = GATEWAY_MANAGER
    ) -> JupyterKernel:
        """Patch the object with this uid, by default what is the gateway's of it."""
        try:
            patched = await self._client.patch(JUPYTER_KERNEL, *key, body, field_manager=manager)
        except (Conflict, Invalid) as error:
            # A uid that does not match is refused as one or the other; so may be other things.
            current = await self._client.get(JUPYTER_KERNEL, *key)
            if current["metadata"]["uid"] != uid:
                raise NotFound(f"JupyterKernel {key} with uid {uid} is gone") from error
            raise
        return parse(JupyterKernel, patched)

    async def patch_status(
        self, key: Key, status: dict[str, Any], *, version: str
    ) -> JupyterKernel:
        body = {"metadata": {"resourceVersion": version}, "status": status}
        patched = await self._client.patch(
            JUPYTER_KERNEL, *key, body, subresource="status", field_manager=OPERATOR_MANAGER
        )
        return parse(JupyterKernel, patched)


def _change(seen: _Seen, parser: LenientParser) -> Put | Gone | None:
    key, old, new = seen
    if new is None:
        if old is None:
            return None
        uid = old["metadata"]["uid"]
        parser.forget(uid)
        return Gone(key, uid)
    kernel = parser.parse(JupyterKernel, new)
    return None if kernel is None else Put(kernel)
