"""All kernels of the gateway: watch, recovery, starts and the culling of idle ones.

A JupyterKernel object is the only truth about a kernel. Whatever this process knows can be read
again from the objects and the tombstones, and is, after each of its starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import zmq.asyncio
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web
from traitlets import DottedObjectName, Instance, default

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import Fallback, JupyterKernel, Phase, ReclaimPolicy
from elastic_jupyter.errors import ElasticJupyterError, Invalid, StoreError
from elastic_jupyter.gateway import sessions
from elastic_jupyter.gateway.config import GatewayConfig
from elastic_jupyter.gateway.facts import Facts
from elastic_jupyter.gateway.kernel import ElasticKernelManager
from elastic_jupyter.gateway.kernelspecs import CatalogKernelSpecManager
from elastic_jupyter.gateway.retry import insist
from elastic_jupyter.gateway.sessions import KernelSession
from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.gateway.transfers import Transfers
from elastic_jupyter.gateway.unserved import UnservedKernels
from elastic_jupyter.gateway.wish import Wish, allowed_env, sessions_of
from elastic_jupyter.policy import idle, notices
from elastic_jupyter.policy.report import precise
from elastic_jupyter.policy.tokens import NotebookIdentity
from elastic_jupyter.store.protocol import Gone, KernelStore, Put, ServedNotebooks, TombstoneStore

#: A kernel that was reclaimed is listed this long for a front end that comes back.
TOMBSTONE_AGE = timedelta(days=7)
#: How long recovery waits for running kernels to answer before the gateway serves, s.
RECOVERY_PATIENCE = 10.0
#: Kernels whose end is remembered; the watch is behind by milliseconds.
MAX_SHUT_DOWN = 1000
#: libzmq's default of 1,023 sockets is enough for some 170 connected kernels.
MAX_SOCKETS = 65_535


class ElasticMappingKernelManager(AsyncMappingKernelManager):
    """Overrides upstream's start, shutdown, list, model and culler (jupyter_server 2.21).

    ``bind`` gives it its stores before ``run`` is called; ``super()`` is not called in the
    overrides: upstream starts processes and drops kernels that are not alive.
    """

    kernel_manager_class = DottedObjectName("elastic_jupyter.gateway.kernel.ElasticKernelManager")
    context = Instance(zmq.asyncio.Context)

    settings: GatewayConfig
    store: KernelStore
    tombstones: TombstoneStore
    unserved: UnservedKernels
    transfers: Transfers | None
    recovered: asyncio.Event

    @default("context")
    def _context_default(self) -> zmq.asyncio.Context:
        self._created_context = True
        context = zmq.asyncio.Context()
        context.max_sockets = MAX_SOCKETS
        return context

    def bind(
        self,
        settings: GatewayConfig,
        *,
        store: KernelStore,
        tombstones: TombstoneStore,
        notebooks: ServedNotebooks,
        transfers: Transfers | None,
    ) -> None:
        """Give the manager its configuration and stores; ``transfers`` None: no kernel is saved."""
        self.settings, self.store, self.tombstones = settings, store, tombstones
        self.transfers = transfers
        #: What the latest kernel of a spec said of itself, with which image, for those that never
        #: ran.
        self._kernel_infos: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self.unserved = UnservedKernels(self, notebooks)
        self.recovered = asyncio.Event()
        #: Whether this gateway is to end, and the next one takes over.
        self.hands_over = False
        self._fewer = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()
        # The watch may still tell of them after they have gone.
        self._shut_down: deque[str] = deque(maxlen=MAX_SHUT_DOWN)

    @property
    def default_kernel_name(self) -> str:  # type: ignore[override]
        """The kernel that is started where none is asked for. Upstream: a fixed trait."""
        return self.specs.default_name()

    @property
    def probes(self) -> zmq.asyncio.Context:
        """The ZMQ context of short-lived sockets."""
        return cast(zmq.asyncio.Context, self.context)

    @property
    def specs(self) -> CatalogKernelSpecManager:
        """The kernel specs on offer."""
        return cast(CatalogKernelSpecManager, self.kernel_spec_manager)

    @property
    def kernels(self) -> Mapping[str, ElasticKernelManager]:
        """All kernels by id."""
        return cast(Mapping[str, ElasticKernelManager], self._kernels)

    # -- watch and recovery

    async def run(self) -> None:
        """Follow the JupyterKernels of this gateway; never returns."""
        settings = self.settings
        first: dict[str, JupyterKernel] | None = {}
        async for change in self.store.watch(settings.namespace, gateway=settings.name):
            match change:
                case Put(kernel) if first is not None:
                    first[kernel.metadata.name or ""] = kernel
                case Put(kernel):
                    self._take(kernel)
                case Gone(_, uid):
                    for manager in list(self.kernels.values()):
                        manager.on_gone(uid)
                    self._fewer.set()
                    self.unserved.look()
                case _ if first is not None:
                    await self._recover(first.values())
                    first = None

    async def _recover(self, found: Iterable[JupyterKernel]) -> None:
        load = insist(self.tombstones.load, what="reading the tombstones", log=self.log)
        tombstones = await load
        for kernel in sorted(found, key=_seniority):
            self._take(kernel)
        for kernel_id in tombstones.keys() & self.kernels.keys():
            self._notice_untold(self._get(kernel_id), tombstones[kernel_id])
        await self._raise_tombstones(tombstones)
        waiting = [
            manager._launching
            for manager in self.kernels.values()
            if manager._launching and manager.facts and manager.facts.phase is Phase.RUNNING
        ]
        if waiting:
            await asyncio.wait(waiting, timeout=RECOVERY_PATIENCE)
        self.log.info("recovered %d kernels", len(self.kernels))
        self.recovered.set()
        self.spawn(self._drop_orphans())

    def _take(self, kernel: JupyterKernel) -> None:
        kernel_id, gateway = kernel.spec.kernel_id, kernel.spec.gateway_ref
        if not kernel_id or kernel_id in self._shut_down:
            return
        ours = (self.settings.name, None), (self.settings.name, self.settings.namespace)
        if gateway is None or (gateway.name, gateway.namespace) not in ours:
            return  # the label says that it is ours, and its key is another gateway's
        manager = self.kernels.get(kernel_id)
        if manager is not None:
            if manager.wish.name == kernel.metadata.name:
                manager.wish = manager.wish.with_sessions(sessions_of(kernel))
                manager.on_facts(Facts.of(kernel))
            return  # another object with this kernel's id, which the operator refuses
        wish = Wish.of(kernel, gateway=self.settings.name, gateway_uid=self.settings.uid)
        self._add(wish).resume_from(Facts.of(kernel))

    def _notice_untold(self, manager: ElasticKernelManager, tombstone: Mapping[str, Any]) -> None:
        """Have a kernel that came back say so where the gateway before may not have come to it.

        A tombstone of the same epoch was written by one that did not come to the reclaim.
        """
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if int(tombstone["epoch"]) < manager.epoch and not manager.asleep:
                manager.notice.text = _notice(tombstone, manager.wish)

    async def _raise_tombstones(self, tombstones: Mapping[str, Mapping[str, Any]]) -> None:
        now = datetime.now(UTC)
        for kernel_id, tombstone in tombstones.items():
            if kernel_id in self.kernels:
                continue
            try:
                at = datetime.fromisoformat(tombstone["at"])
                old = _too_old(at, now)
                if not old:
                    self._raise_tombstone(kernel_id, tombstone, at)
            except (KeyError, TypeError, ValueError) as error:
                self.log.error("the tombstone of kernel %s is not read: %r", kernel_id, error)
                continue
            if old:
                await self._forget_for_good(kernel_id)

    def _raise_tombstone(self, kernel_id: str, tombstone: Mapping[str, Any], at: datetime) -> None:
        """List a kernel again that was reclaimed ``at``."""
        settings = self.settings
        wish = Wish.of_tombstone(
            kernel_id,
            tombstone,
            namespace=settings.namespace,
            gateway=settings.name,
            uid=settings.uid,
        )
        epoch, notice = int(tombstone["epoch"]), _notice(tombstone, wish)
        manager = self._add(wish.with_policy(self.policy(wish.spec_name)))
        manager.state = KernelState.RECLAIMED
        manager.remembered_at = at
        manager.execution_state = "idle"
        manager.epoch = epoch
        manager.kernel_info = tombstone.get("kernelInfo")
        manager.notice.text = notice

    async def remember(
        self,
        manager: ElasticKernelManager,
        wish: Wish | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        """Write the tombstone of a kernel whose object goes.

        ``wish`` and ``reason``: what it is to say in the place of the manager's own.

        Of what is too large for the store the most that fits. Raises ``Invalid`` when nothing does.
        """
        manager.remembered_at = datetime.now(UTC)
        about: dict[str, Any] = {
            "epoch": manager.epoch,
            "reason": manager.reason if reason is None else reason,
            "at": manager.remembered_at.isoformat(),
            "lastExecution": manager.last_execution.isoformat(),
            "leftRunning": list(manager.idleness.left_running),
        }
        info = manager.kernel_info
        if info is not None:
            about["kernelInfo"] = json.loads(json.dumps(info, default=str))
        refusal = Invalid("")
        for tombstone in (wish or manager.wish).tombstones(**about):
            try:
                await self.tombstones.put(manager.kernel_id, tombstone)
                return
            except Invalid as error:
                self.log.warning("less of a kernel is remembered: %s", error)
                refusal = error
        raise refusal

    async def forget(self, manager: ElasticKernelManager) -> None:
        """Remove the tombstone of a kernel that has its object again, and has said so."""
        await self.tombstones.remove(manager.kernel_id)

    async def _forget_for_good(self, kernel_id: str) -> None:
        """Remove a tombstone, in the end: one that stays lists its kernel after the next start."""
        remove = partial(self.tombstones.remove, kernel_id)
        await self.settle(remove, what=f"forgetting kernel {kernel_id}")

    # -- what sleeps

    def note_kernel_info(self, wish: Wish, info: Mapping[str, Any] | None) -> None:
        """Remember what a kernel said of itself."""
        if info is not None:
            self._kernel_infos[wish.spec_name] = (wish.image, info)

    def kernel_info(self, wish: Wish) -> Mapping[str, Any]:
        """Return what such a kernel would say of itself; before one did, its spec does."""
        image, info = self._kernel_infos.get(wish.spec_name, (None, {}))
        return info if image == wish.image else self.specs.kernel_info(wish.spec_name)

    def drop_snapshots(self, uid: str) -> None:
        """Remove, in the background, what was saved of a kernel whose object is gone."""
        if self.transfers is not None and uid:
            self.spawn(self._drop(uid))

    async def _drop(self, uid: str) -> None:
        transfers = cast(Transfers, self.transfers)
        remove = partial(asyncio.to_thread, transfers.store.remove, uid)
        await insist(remove, what=f"removing the snapshots of {uid}", log=self.log)

    async def _drop_orphans(self) -> None:
        """Remove what was saved of kernels that went while no gateway was there."""
        if self.transfers is None:
            return
        saved = await asyncio.to_thread(self.transfers.store.uids)
        living = {manager.facts.uid for manager in self.kernels.values() if manager.facts}
        for uid in set(saved) - living:
            self.drop_snapshots(uid)

    # -- start and stop

    async def start_kernel(  # type: ignore[override]
        self, *, kernel_name: str, identity: NotebookIdentity, env: Mapping[str, Any]
    ) -> str:
        """Ask for a new kernel; return its id once the store took the object.

        Raises ``web.HTTPError``: 400 for an unknown kernel spec or one whose template is no pod,
        400 or 403 with the cluster's reason when the object is refused, 503 when the store does
        not answer.
        """
        if not self.specs.knows(kernel_name):
            raise web.HTTPError(
                400,
                f"no kernel spec {kernel_name!r}; this gateway has "
                + ", ".join(sorted(self.specs.names())),
            )
        kernel_id = str(uuid.uuid4())
        try:
            allowed = allowed_env(env, also=self.settings.allowed_env)
            manager = self._add(self._wish(kernel_id, kernel_name, identity, allowed))
            if self.settings.lazy:
                manager.begin_asleep()
            else:
                manager.begin()
            await manager.accepted()
        except ElasticJupyterError as error:
            if kernel_id in self.kernels:
                if manager.remembered_at is not None:  # it was interrupted
                    await self.shutdown_kernel(kernel_id)
                else:
                    self.remove_kernel(kernel_id)
            message = f"the kernel was not accepted: {error}"
            raise web.HTTPError(error.http_status, message) from error
        return kernel_id

    def _add(self, wish: Wish) -> ElasticKernelManager:
        manager = cast(
            ElasticKernelManager,
            self.kernel_manager_factory(
                parent=self,
                log=self.log,
                kernel_name=wish.spec_name,
                kernel_id=wish.kernel_id,
                kernel_spec_manager=self.kernel_spec_manager,
            ),
        )
        manager.wish = wish
        self._kernels[wish.kernel_id] = manager
        self._kernel_connections[wish.kernel_id] = 0
        return manager

    def _wish(
        self,
        kernel_id: str,
        spec_name: str,
        identity: NotebookIdentity,
        env: Mapping[str, str],
    ) -> Wish:
        settings = self.settings
        return Wish(
            name=names.kernel_object_name(identity.user, kernel_id),
            namespace=settings.namespace,
            gateway=settings.name,
            gateway_uid=settings.uid,
            kernel_id=kernel_id,
            spec_name=spec_name,
            identity=identity,
            env=env,
            template=self._template(spec_name, identity, kernel_id, env) or {},
            policy=self.policy(spec_name),
        )

    def _template(
        self, spec_name: str, identity: NotebookIdentity, kernel_id: str, env: Mapping[str, str]
    ) -> dict[str, Any] | None:
        own = {"KERNEL_USERNAME": identity.user, "KERNEL_ID": kernel_id}
        return self.specs.pod_template(spec_name, env={**env, **own})

    def renew(self, wish: Wish) -> Wish:
        """Return the wish with today's policy and template, or this as it was when that is gone.

        Raises ``Invalid`` when there is neither.
        """
        template = self._template(wish.spec_name, wish.identity, wish.kernel_id, wish.env)
        if template is None and wish.template is None:
            raise Invalid(
                f"the kernel's pod template was too large to be remembered, and kernel spec "
                f"{wish.spec_name} is gone: choose another kernel"
            )
        wish = wish.with_policy(self.policy(wish.spec_name))
        return wish if template is None else wish.with_template(template)

    async def shutdown_kernel(  # type: ignore[override]
        self, kernel_id: str, now: bool = False, restart: bool = False
    ) -> None:
        """End a kernel for good: object, pod, Secret, tombstone and websockets go."""
        manager = self._get(kernel_id)
        self._shut_down.append(kernel_id)
        await manager.shutdown_kernel(now=now, restart=restart)
        self.remove_kernel(kernel_id)
        self._kernel_connections.pop(kernel_id, None)
        await self._forget_for_good(kernel_id)

    async def restart_kernel(  # type: ignore[override]
        self, kernel_id: str, now: bool = False
    ) -> None:
        """Give an empty kernel under the same id."""
        await self._get(kernel_id).restart_kernel(now=now)

    async def interrupt_kernel(self, kernel_id: str) -> None:  # type: ignore[override]
        """Interrupt the cell, or the wait for a kernel. Upstream refuses the latter."""
        await self._get(kernel_id).interrupt_kernel()

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """Do nothing: a gateway that ends leaves its kernels as they are."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that outlives its kernel; an error is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._worked)
        return task

    def begin_handover(self) -> None:
        """Take nothing back from now on: the next gateway does, which has the cells, too."""
        self.hands_over = True
        for manager in self.kernels.values():
            manager.begin_handover()

    async def settle(
        self,
        call: Callable[[], Awaitable[None]],
        *,
        what: str,
        later: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Make a call of the store; when it fails, again in the background until it does not.

        ``later``: what is called there, where that differs.
        """
        try:
            await call()
        except StoreError as error:
            self.log.warning("%s failed and will be tried again: %s", what, error)
            self.spawn(insist(later or call, what=what, log=self.log))

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("background work failed: %r", task.exception())

    # -- REST models

    def kernel_model(self, kernel_id: str) -> dict[str, Any]:
        """Return the REST model.

        ``last_activity`` has microseconds always: the notebook server's parser fails without them
        (jupyter_server 2.21).
        """
        manager = self._get(kernel_id)
        return {
            "id": kernel_id,
            "name": manager.wish.spec_name,
            "last_activity": precise(manager.last_activity),
            "execution_state": manager.execution_state,
            "connections": self._kernel_connections.get(kernel_id, 0),
            "reason": manager.reason,
        }

    def list_for(self, identity: NotebookIdentity) -> list[dict[str, Any]]:
        """Return the models of one notebook's kernels."""
        return [
            self.kernel_model(kernel_id)
            for kernel_id, manager in self.kernels.items()
            if manager.wish.identity.uid == identity.uid
        ]

    def sessions_for(self, identity: NotebookIdentity) -> list[dict[str, str]]:
        """Return the sessions of one notebook, each with its ``kernel_id``."""
        return [
            {**session, "kernel_id": kernel_id}
            for kernel_id, manager in self.kernels.items()
            if manager.wish.identity.uid == identity.uid
            for session in sessions.to_json(manager.wish.sessions)
        ]

    async def keep_session(self, kernel_id: str, session: KernelSession) -> None:
        """Remember that a session is on this kernel, and on no other of its notebook.

        When this fails half-way the session is on two kernels, never on none.
        """
        joined = self._get(kernel_id)
        await joined.change_sessions(lambda kept: sessions.with_session(kept, session))
        for left in list(self.kernels.values()):
            if left is not joined and left.wish.identity.uid == joined.wish.identity.uid:
                await left.change_sessions(lambda kept: sessions.without_session(kept, session.id))

    def owns(self, identity: NotebookIdentity, kernel_id: str) -> bool:
        """Say whether the kernel is the notebook's own."""
        manager = self.kernels.get(kernel_id)
        return manager is not None and manager.wish.identity.uid == identity.uid

    def _get(self, kernel_id: str) -> ElasticKernelManager:
        return cast(ElasticKernelManager, self.get_kernel(kernel_id))

    # -- culling

    async def cull_for_ever(self) -> None:
        """Look at every kernel each ``cull_interval``: reclaim idle ones, publish activity.

        One that takes long to be saved, or does not answer, holds up none of the others.
        """
        looks: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(self.settings.cull_interval.total_seconds())
                looks = {one: look for one, look in looks.items() if not look.done()}
                for kernel_id in self.kernels.keys() - looks.keys():
                    looks[kernel_id] = group.create_task(self._look_at(kernel_id))

    async def _look_at(self, kernel_id: str) -> None:
        try:
            if kernel_id in self.kernels:
                await self.cull_kernel_if_idle(kernel_id)
        except Exception:
            self.log.exception("kernel %s could not be looked at", kernel_id)

    def limits(self, spec_name: str) -> idle.Limits:
        """Return how long a kernel of this spec may be idle: what the spec says, or the gateway."""
        own, settings = self.specs.idle_timeout(spec_name), self.settings
        timeout = settings.cull_idle_timeout if own is None else own
        return idle.Limits(timeout, warning=settings.warning, extension=settings.max_extension)

    def policy(self, spec_name: str) -> ReclaimPolicy:
        """Return what becomes of the variables of a kernel of this spec that is reclaimed."""
        return self.specs.reclaim(spec_name).policy or self.settings.policy

    def fallback(self, spec_name: str) -> Fallback:
        """Return what becomes of such a kernel where its variables should be saved and never can"""
        return self.specs.reclaim(spec_name).fallback or self.settings.fallback

    def initialize_culler(self) -> None:
        """Do nothing: ``cull_for_ever`` takes the place of upstream's callback."""

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """Reclaim one kernel if it is idle; called by ``cull_for_ever`` and ``cull_kernels``.

        One that sleeps too long is forgotten.
        """
        manager = self._get(kernel_id)
        now = datetime.now(UTC)
        manager.returning.trim(now)
        remembered = manager.remembered_at
        if manager.state is KernelState.RECLAIMED and remembered and _too_old(remembered, now):
            await self.shutdown_kernel(kernel_id)
        if manager.state is not KernelState.RUNNING or self.unserved.include(manager):
            return
        verdict = await manager.idleness.judge()
        if manager.state is not KernelState.RUNNING:
            return
        old = manager.activity_dirty or verdict.reclaim_at != manager.told_reclaim_at
        reclaim = verdict.action is idle.Action.RECLAIM
        # What a release leaves behind is read when the kernel wakes.
        if (old and not reclaim) or manager.idleness.has_news(verdict):
            await self._publish_activity(manager, verdict)
        if reclaim:
            self.log.info("kernel %s is reclaimed: %s", kernel_id, verdict.reason)
            await manager.reclaim()

    async def _publish_activity(self, manager: ElasticKernelManager, verdict: idle.Verdict) -> None:
        async with manager.telling:  # what is told last is the latest
            manager.activity_dirty, manager.told_reclaim_at = False, verdict.reclaim_at
            manager.told_busy = manager.busy
            manager.front_ends.changed()
            activity: dict[str, Any] = {
                "lastActivity": precise(manager.last_execution),
                "busy": manager.busy,
                "connected": True,
                "reclaimAt": precise(verdict.reclaim_at) if verdict.reclaim_at else None,
                **manager.idleness.tell(verdict),
            }
            if manager.wake is not None and manager.facts and manager.facts.wake is None:
                activity["wake"] = manager.wake.to_dict()
            if manager.wish.hibernates and manager.kernel_info:
                activity["kernelInfo"] = json.loads(json.dumps(manager.kernel_info, default=str))
            uid = manager.facts.uid if manager.facts else ""
            with contextlib.suppress(StoreError):  # the next round tells it again
                await self.store.patch_activity(manager.key, activity, uid=uid)
                return
            manager.activity_dirty = True

    async def until_none_runs(self) -> None:
        """Return when no kernel runs any more, as when the whole gateway is deleted."""
        while self.any_running():
            await self._fewer.wait()
            self._fewer.clear()

    def any_running(self) -> bool:
        """Say whether a kernel would miss this gateway."""
        return any(manager.state is KernelState.RUNNING for manager in self.kernels.values())


def _notice(tombstone: Mapping[str, Any], wish: Wish) -> str:
    """Return what the user is told in the kernel after the one that is remembered."""
    reason, lost = str(tombstone["reason"]), str(tombstone.get("lost") or "")
    notice = notices.replaced(reason) if reason else notices.reclaimed(None)
    notice = notices.with_left(notice, tombstone.get("leftRunning") or ())
    return notices.remade(notice, lost, wish.spec_name) if lost else notice


def _seniority(kernel: JupyterKernel) -> tuple[datetime, str]:
    """Return the order in which kernels of the same id have a right to it."""
    metadata = kernel.metadata
    return metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC), metadata.name or ""


def _too_old(remembered: datetime, now: datetime) -> bool:
    return now - remembered > TOMBSTONE_AGE
