"""Jupyter's kernel provisioner that makes a JupyterKernel instead of a process.

``launch_kernel`` writes the wish and waits for the facts. It never touches a pod. Registered as
``elastic-jupyter`` under ``jupyter_client.kernel_provisioners``.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import AlreadyExists, LaunchFailed, NotFound, Unavailable
from elastic_jupyter.gateway.facts import Facts
from elastic_jupyter.gateway.retry import insist
from elastic_jupyter.policy.keys import connection_key
from elastic_jupyter.runtime.backoff import Backoff
from elastic_jupyter.store.protocol import Key

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: How long a create is tried again while the store does not answer, s. A notebook server gives up
#: on a POST after 42 s.
CREATE_PATIENCE = 20.0


class JupyterKernelProvisioner(KernelProvisionerBase):
    """Starts and stops the JupyterKernel of one kernel manager (``parent``)."""

    uid: str | None = None
    # Whether another gateway had created what was to be created.
    _found = False
    _undoing: asyncio.Task[None] | None = None

    @property
    def manager(self) -> "ElasticKernelManager":
        """The kernel manager that this provisioner works for."""
        return cast("ElasticKernelManager", self.parent)

    @property
    def key(self) -> Key:
        """Where the JupyterKernel is."""
        return self.manager.key

    @property
    def has_process(self) -> bool:
        """True while we hold a JupyterKernel (jupyter_client's word is for a local process)."""
        return self.uid is not None

    @property
    def undoes(self) -> bool:
        """Whether a launch that was cancelled may still have an object, which goes."""
        return self._undoing is not None and not self._undoing.done()

    async def poll(self) -> int | None:
        """Return None while the kernel lives, else an exit code. Served from the watch."""
        facts = self.manager.facts
        return None if self.uid and not (facts and facts.ended) else 1

    async def wait(self) -> int | None:
        """Return at once: there is no process to reap, the reconciler does that."""
        return await self.poll()

    async def send_signal(self, signum: int) -> None:
        """Do nothing: no signal crosses pods; an interrupt goes over the control channel."""

    async def kill(self, restart: bool = False) -> None:
        """Delete the JupyterKernel; the reconciler stops the pod with 2 s of grace.

        When that fails it is tried again in the background: an object that stays holds a GPU.
        Should this process end before, its successor takes the kernel over.
        """
        if self.uid is not None:
            uid, self.uid = self.uid, None
            await self._delete(uid)

    async def _delete(self, uid: str) -> None:
        manager = self.manager
        manager.retired.add(uid)
        await manager.mapping.settle(
            partial(manager.store.delete, self.key, uid=uid), what=f"deleting JupyterKernel {uid}"
        )
        manager.mapping.drop_snapshots(uid)

    async def terminate(self, restart: bool = False) -> None:
        """Same as ``kill``."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Do nothing: what belongs to the object goes with it."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Pass the arguments on. The base is not called: it would add this process' environment."""
        return {"cmd": [], **kwargs}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Create the object and wait for its address.

        Returns ip, ports, transport, signature scheme and key (bytes). Raises ``LaunchFailed`` with
        the reconciler's reason, or a ``StoreError`` when the object is refused.
        """
        await self.ask_for(kwargs["wish"])
        facts = await self.manager.wait_for_facts(lambda facts: facts.reachable)
        return connection_info(str(facts.pod_ip), self.manager.master_key, facts.uid)

    async def ask_for(self, wish: JupyterKernel) -> None:
        """Create the object unless there is one. Raises as ``launch_kernel`` does."""
        if self.uid is not None:
            return
        await self._undone()
        create = asyncio.ensure_future(self._create(wish))
        try:
            kernel = await asyncio.shield(create)
        except asyncio.CancelledError:
            self._undoing = self.manager.mapping.spawn(self._undo(create))
            raise
        self.uid = kernel.metadata.uid
        if self._found:
            self.manager.share()
        self.manager.on_accepted(Facts.of(kernel))

    async def _undone(self) -> None:
        """Return when a cancelled launch has left nothing: its object has the name of the next."""
        if self._undoing is not None:
            done, _ = await asyncio.wait((self._undoing,), timeout=CREATE_PATIENCE)
            if not done:
                raise LaunchFailed(f"JupyterKernel {self.key} of before is not deleted yet")
            self._undoing = None

    async def _undo(self, create: "asyncio.Future[JupyterKernel]") -> None:
        """Delete what a cancelled launch still created: nobody wants it any more."""
        try:
            uid = (await create).metadata.uid
        except LaunchFailed:  # there was no answer, and it may be there all the same
            what = f"looking whether JupyterKernel {self.key} was created"
            uid = await insist(self._existing, what=what, log=self.log)
        if uid and uid not in self.manager.retired:
            await self._delete(uid)

    async def _existing(self) -> str | None:
        with contextlib.suppress(NotFound):
            return (await self.manager.store.get(self.key)).metadata.uid
        return None

    async def _create(self, wish: JupyterKernel) -> JupyterKernel:
        deadline = asyncio.get_running_loop().time() + CREATE_PATIENCE
        backoff = Backoff(base=0.1, ceiling=2.0)
        attempt, answered, self._found = 0, True, False
        while True:
            try:
                return await self.manager.store.create(wish)
            except AlreadyExists:
                existing = await self.manager.store.get(self.key)
                uid = existing.metadata.uid or ""
                if uid not in self.manager.retired:
                    self._found = answered  # else it is ours: the answer to the create was lost
                    return existing
                await self.manager.store.delete(self.key, uid=uid)
            except Unavailable as error:
                answered = False
                if asyncio.get_running_loop().time() > deadline:
                    raise LaunchFailed(f"the kernel could not be asked for: {error}") from error
            await asyncio.sleep(backoff.delay(attempt))
            attempt += 1


def connection_info(ip: str, master_key: bytes, uid: str) -> KernelConnectionInfo:
    """Return how to reach the kernel object ``uid`` at ``ip``."""
    return cast(
        "KernelConnectionInfo",
        {
            "ip": ip,
            "transport": "tcp",
            "signature_scheme": "hmac-sha256",
            "key": connection_key(master_key, uid).encode(),
            **names.PORTS,
        },
    )


def now_stamp() -> str:
    """Return the present as annotations have it: RFC 3339 with microseconds, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
