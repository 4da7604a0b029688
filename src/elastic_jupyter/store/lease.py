"""The handover from one gateway process to the next, on a Lease that the operator made."""

import asyncio
import contextlib

from elastic_jupyter import logs
from elastic_jupyter.clock import Clock, SystemClock
from elastic_jupyter.errors import StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import LEASE
from elastic_jupyter.kube.reflector import BACKOFF

log = logs.get(__name__)


class KubernetesLease:
    """``HandoverLease`` on a Lease. Needs get, watch and patch on it by name, but no list."""

    def __init__(
        self, client: Client, namespace: str, name: str, *, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._clock = clock or SystemClock()

    async def take(self, identity: str) -> None:
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": identity, "acquireTime": now, "renewTime": now}
        await self._client.patch(LEASE, self._namespace, self._name, {"spec": spec})

    async def wait_taken_by_other(self, identity: str) -> None:
        attempt = 0
        while True:
            try:
                if await self._follow(identity):
                    return
                attempt = 0  # the server ended the watch in order
            except StoreError as error:
                log.warning("watching the lease failed, will try again", error=error)
                attempt += 1
            await asyncio.sleep(BACKOFF.delay(attempt))

    async def _follow(self, identity: str) -> bool:
        """Watch until another holder is seen (True) or the server ends the watch (False)."""
        # Without a version the present state comes first: nothing that happened between two
        # watches is missed, and no right to list is needed.
        events = self._client.watch(
            LEASE, self._namespace, field_selector=f"metadata.name={self._name}"
        )
        async with contextlib.aclosing(events):
            async for event in events:
                holder = (event.object.get("spec") or {}).get("holderIdentity")
                if event.type in ("ADDED", "MODIFIED") and holder not in (None, "", identity):
                    return True
        return False
