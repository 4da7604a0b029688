"""One kernel of the gateway: its launch, loss, reclaim and return under the same kernel id."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from zmq.eventloop.zmqstream import ZMQStream

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel, Phase, Snapshot, Wake, WhenIdle
from elastic_jupyter.errors import (
    AgentFailed,
    Conflict,
    ElasticJupyterError,
    Invalid,
    LaunchFailed,
    NoAgent,
    NotFound,
    SnapshotBroken,
    SnapshotMissing,
    StoreError,
    Unavailable,
)
from elastic_jupyter.gateway import messages, sessions
from elastic_jupyter.gateway.connection import ElasticConnection, new_session
from elastic_jupyter.gateway.facts import Facts
from elastic_jupyter.gateway.front_end import FrontEnds
from elastic_jupyter.gateway.hibernation import Hibernation
from elastic_jupyter.gateway.idleness import Idleness
from elastic_jupyter.gateway.interrupt import interrupt
from elastic_jupyter.gateway.iopub import IOPub
from elastic_jupyter.gateway.notice import Notice
from elastic_jupyter.gateway.parked import ParkedFrontEnds
from elastic_jupyter.gateway.probe import Probe
from elastic_jupyter.gateway.provisioner import JupyterKernelProvisioner, connection_info
from elastic_jupyter.gateway.replay import AWAITED
from elastic_jupyter.gateway.retry import insist
from elastic_jupyter.gateway.returning import Returning
from elastic_jupyter.gateway.sessions import Sessions
from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.gateway.subshells import Subshells
from elastic_jupyter.gateway.touched import Touched
from elastic_jupyter.gateway.wish import Wish
from elastic_jupyter.policy import idle, notices, usage
from elastic_jupyter.policy.keys import address_token
from elastic_jupyter.store.protocol import KernelStore, Key

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernels import ElasticMappingKernelManager

#: How long the reconciler may take to put a kernel to rest that ended as it woke, s.
REST_PATIENCE = 30.0
#: How long a cell of a front end that is away may be on its way before it is heard to run.
ARRIVAL = timedelta(seconds=5)


class ElasticKernelManager(ServerKernelManager):
    """Overrides upstream's start, interrupt, restart and shutdown (jupyter_client 8.10).

    ``super()`` is not called there: upstream waits for a process, polls it and restarts it.
    """

    wish: Wish

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autorestart = False
        self.front_ends = FrontEnds(self)
        self.probe = Probe(self)
        self.notice = Notice(self)
        self.returning = Returning(self)
        self._state = KernelState.STARTING
        self.facts: Facts | None = None
        self.retired: set[str] = set()
        self.epoch = 0
        self.connections: set[ElasticConnection] = set()
        self.parked = ParkedFrontEnds()
        self.touched = Touched()
        self.iopub: IOPub | None = None
        self.kernel_info: Mapping[str, Any] | None = None
        self.hibernation = Hibernation(self)
        self.idleness = Idleness(self)
        self.subshells = Subshells()
        self.kernel_session = "elastic-jupyter"
        self.waiting_text = notices.STARTING
        self.last_execution = datetime.now(UTC)
        self.activity_dirty = False
        #: What the object says of the next reclaim; it changes with the kernel spec, too.
        self.told_reclaim_at: datetime | None = None
        #: Whether the object says that a cell runs.
        self.told_busy = False
        self.telling = asyncio.Lock()
        self._noting = asyncio.Lock()
        # When the incarnation ended whose GPU time is in the wish: the status may say it for long.
        self._counted: datetime | None = None
        self.execution_state = "starting"
        self.last_activity = self.last_execution
        self.reason = ""
        self._executing: set[str] = set()
        # When a cell of a front end that is away was last sent to the kernel.
        self._sent_at: datetime | None = None
        self._busy_unknown = False
        # Whether another gateway may have asked for what is launched, and have cells run in it.
        self._shared = False
        # Whether a kernel that is still to be connected to has variables that no snapshot has.
        self._irreplaceable = False
        # Whether its object is being made that rests from the beginning.
        self._lies_down = False
        #: When its tombstone was written, which may be older than its object.
        self.remembered_at: datetime | None = None
        #: Since when its notebook is not served, as ``UnservedKernels`` keeps it.
        self.unreachable_since: datetime | None = None
        # Whether the launch waits in the queue, and since when by the loop's time.
        self._waited: tuple[bool, float] | None = None
        self._changed = asyncio.Event()
        self._accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._launching: asyncio.Task[None] | None = None
        # One change of the incarnation at a time: reclaim, wake, interrupt, restart, shutdown.
        self._changing = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()

    # -- what the provisioner and the websockets ask

    @property
    def mapping(self) -> ElasticMappingKernelManager:
        """The manager of all kernels."""
        return cast("ElasticMappingKernelManager", self.parent)

    @property
    def store(self) -> KernelStore:
        """Where wishes are written."""
        return self.mapping.store

    @property
    def master_key(self) -> bytes:
        """The gateway's master key."""
        return self.mapping.settings.master_key

    @property
    def key(self) -> Key:
        """Namespace and name of the JupyterKernel."""
        return Key(self.mapping.settings.namespace, self.wish.name)

    @property
    def state(self) -> KernelState:
        """Where the kernel is in its life; front ends are told when it changes."""
        return self._state

    @state.setter
    def state(self, state: KernelState) -> None:
        self._state = state
        self.front_ends.changed()

    @property
    def wake(self) -> Wake | None:
        """What came back with the present incarnation; None: it did not sleep before."""
        facts, woke = self.facts, self.hibernation.wake
        if facts is None or facts.uid in self.retired:
            return None
        return woke if woke is not None and woke.epoch == facts.epoch else facts.wake

    @property
    def asleep(self) -> bool:
        """Whether nothing runs until an execution asks for it."""
        return self.state in (KernelState.ASLEEP, KernelState.RECLAIMED, KernelState.FAILED)

    @property
    def sleeps(self) -> bool:
        """Whether its variables are saved, or being saved: it wakes with them."""
        return self.hibernation.saves or self._has_snapshot

    @property
    def variables(self) -> str | None:
        """The name of the variables that come with its wake; None: cells may run."""
        facts = self.facts
        return facts.variables if facts is not None and facts.uid not in self.retired else None

    @property
    def awaits_comms(self) -> bool:
        """Whether comms come back with it, as far as it is known."""
        return self.sleeps and not self.hibernation.has_no_comms

    @property
    def busy(self) -> bool:
        """Whether the user's code runs; true, too, while a recovered kernel has not said."""
        return bool(self._executing) or self._busy_unknown

    def on_accepted(self, facts: Facts) -> None:
        """Note that the store took the object; called by the provisioner."""
        if self.facts is None or self.facts.uid != facts.uid:
            self.facts = facts
        if not self._accepted.done():
            self._accepted.set_result(None)

    async def wait_for_end(self) -> None:
        """Raise ``LaunchFailed`` with the reason when this incarnation ends, however late."""
        await self.wait_for_facts(lambda _: False, limited=False)

    async def wait_for_facts(
        self, wanted: Callable[[Facts], bool], *, limited: bool = True
    ) -> Facts:
        """Return the first facts of this incarnation that are ``wanted``.

        Raises ``LaunchFailed`` with the reason when it ends before; where the wait is ``limited``,
        also when the limit of the present phase has passed.
        """
        while True:
            facts = self.facts
            if facts is not None and facts.uid in self.retired:
                raise LaunchFailed(notices.DELETED)
            if facts is not None and facts.ended:
                raise LaunchFailed(facts.reason)
            if facts is not None and wanted(facts):
                return facts
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._deadline(facts) if limited else None):
                    await self._changed.wait()
            except TimeoutError:
                raise LaunchFailed(self._too_late(facts)) from None

    def _deadline(self, facts: Facts | None) -> float | None:
        """Return until when to wait in the present phase, by the loop's time; None: no limit.

        Each phase has its own limit. A recovered kernel has none: it ran already, and may compute
        without a word.
        """
        queued = _is_queued(facts)
        if self._waited is None or self._waited[0] is not queued:
            self._waited = (queued, asyncio.get_running_loop().time())
        limit = self._limit(facts)
        return self._waited[1] + limit if limit and not self._busy_unknown else None

    def _limit(self, facts: Facts | None) -> float:
        settings = self.mapping.settings
        limit = settings.queue_timeout if _is_queued(facts) else settings.launch_timeout
        return limit.total_seconds()

    def _too_late(self, facts: Facts | None) -> str:
        field = "queueTimeoutSeconds" if _is_queued(facts) else "launchTimeoutSeconds"
        return (
            f"the kernel did not start within {self._limit(facts):.0f} s ({field} of "
            f"JupyterGateway {self.mapping.settings.name}): {self.waiting_text}"
        )

    # -- facts from the watch

    def on_facts(self, facts: Facts) -> None:
        """Take the newest status of the object (from the watch)."""
        if facts.uid in self.retired or self._is_old(facts):
            return
        if self.asleep and (self.facts is None or facts.uid != self.facts.uid):
            if not self._make_provisioner().undoes:
                self.resume_from(facts)  # another gateway of ours woke it
            return
        before, self.facts = self.facts, facts.after(self.facts)
        facts = self.facts
        self.epoch = max(self.epoch, facts.epoch)
        if facts.disturbance and not (before and before.disturbance == facts.disturbance):
            for connection in list(self.connections):
                connection.warn(notices.disturbed(facts.disturbance))
        if self.state is KernelState.STARTING and facts.waiting != self.waiting_text:
            self._show_waiting(facts.waiting)
        self._changed.set()
        if self.state is KernelState.RUNNING and facts.ended:
            self.lose(facts.reason)
        elif self.state is KernelState.RUNNING and facts.rests:
            self._fall_asleep()  # another gateway of ours saved it
        elif self.state is KernelState.ASLEEP and before and before.suspend and not facts.suspend:
            self.touch()
            self.begin(shared=True)  # somebody else wakes it
        elif self.state is KernelState.FAILED and facts.rests:
            # What is saved of it was named, here or by another gateway of ours.
            if self._has_snapshot:
                self.notice.text = None  # it says that the variables are gone
            self._rest()
        elif self.state is KernelState.STARTING and self._irreplaceable and facts.rests:
            self._cancel_launch()  # another gateway of ours saved it before this one heard it
            self._fall_asleep()
        elif self._runs_for_another(before):
            self._join()
        wished = (before.suspend, before.keep_until) if before else (False, None)
        if (facts.suspend, facts.keep_until) != wished:
            self.spawn(self._heed())
        self.front_ends.changed()

    def _runs_for_another(self, before: Facts | None = None) -> bool:
        """Whether another gateway may have cells run in the kernel that is launched.

        ``before``: what was told last; where that named a snapshot, the other one has restored it.
        """
        facts, launched = self.facts, self.state is KernelState.STARTING and self._launching
        if facts is None or not launched or not self._shared or self._irreplaceable:
            return False
        restored = before is not None and before.uid == facts.uid and before.snapshot is not None
        return facts.snapshot is None and (facts.runs or restored)

    def _join(self) -> None:
        """Connect to a kernel that may compute already, since another gateway had it launched."""
        self._cancel_launch()
        for connection in list(self.connections):
            connection.detach()
        self.touch()
        self._busy_unknown = True
        self.returning.woke_with = None
        self.begin(shared=True)

    def _show_waiting(self, text: str) -> None:
        self.waiting_text = text
        self.front_ends.changed()
        for connection in list(self.connections):
            connection.show_waiting(text)

    def _is_old(self, facts: Facts) -> bool:
        """Say whether these were overtaken: by the watch, or by the answer to a write of ours."""
        known = self.facts
        return known is not None and known.uid == facts.uid and facts.version < known.version

    def take_address(self, address: str, *, epoch: int, token: str) -> bool:
        """Take the address that this incarnation tells itself, long before its pod's status does.

        Returns False when the token is not that of (uid, epoch): somebody else, or an earlier one.
        """
        facts = self.facts
        if facts is None or facts.uid in self.retired or facts.ended or epoch < facts.epoch:
            return False
        want = address_token(self.master_key, facts.uid, epoch)
        if not hmac.compare_digest(token.encode(), want.encode()):
            return False
        if not facts.pod_ip or epoch > facts.epoch:
            self.facts = replace(facts, pod_ip=address, epoch=epoch)
            self._changed.set()
        return True

    def on_gone(self, uid: str) -> None:
        """Note that the object ``uid`` is gone; nothing to do when we deleted it ourselves."""
        if self.facts is None or self.facts.uid != uid or uid in self.retired:
            return
        self.wish = self._after_run()
        if self._has_snapshot and self.state is not KernelState.RUNNING:  # it goes with it
            self.notice.text = notices.replaced(notices.DELETED)
        self.retired.add(uid)
        self.mapping.drop_snapshots(uid)
        self._changed.set()
        if self.state is KernelState.RUNNING:
            self.lose(notices.DELETED, gone=True)
        elif self.state in (KernelState.FAILED, KernelState.ASLEEP):
            self.state, self.reason = KernelState.RECLAIMED, notices.DELETED
            self.spawn(self._remember_lost())

    def lose(self, reason: str, *, gone: bool = False) -> None:
        """End what is in flight with ``reason``; the next execution gets a new kernel."""
        self.log.warning("kernel %s ended: %s", self.kernel_id, reason)
        self.idleness.forget_failure()
        self.parked.leave(self.notice)
        self._leave()
        self.state = KernelState.RECLAIMED if gone else KernelState.FAILED
        self.reason = reason
        self.notice.text = notices.replaced(reason)
        self._fail("KernelDied", f"The kernel ended: {reason}")
        self.wish = self._after_run()
        self.spawn(self._remember_lost() if gone else self._note_usage())

    async def _remember_lost(self) -> None:
        async with self._changing:
            if self.state is not KernelState.RUNNING and self.kernel_id in self.mapping.kernels:
                await self.mapping.remember(self)

    def _after_run(self) -> Wish:
        """Return the wish with the GPU time of the incarnation that ends, once."""
        facts = self.facts if self.facts and self.facts.uid not in self.retired else None
        if facts is not None and facts.ended_at and facts.ended_at == self._counted:
            facts = None
        used = usage.after_run(
            self.wish.usage,
            gpus=usage.gpus(self.wish.template),
            since=facts.running_since if facts else None,
            until=(facts.ended_at if facts else None) or datetime.now(UTC),
        )
        return self.wish.with_usage(used)

    async def _note_usage(self) -> None:
        """Write the GPU time on the object: of a kernel that ended, or is asked for again."""
        uid = self._make_provisioner().uid
        if uid is None or not usage.gpus(self.wish.template):
            return
        async with self._noting:  # what is written last is the latest
            said = {names.ANNOTATION_GPU_USAGE: usage.annotation(self.wish.usage)}
            with contextlib.suppress(StoreError):
                await self.store.annotate(self.key, said, uid=uid)

    # -- launch

    def begin(self, *, shared: bool = False) -> None:
        """Ask for the kernel in the background; ``accepted`` tells when the store took it.

        ``shared``: its object was there before, so another gateway may launch it, too.
        """
        if self._accepted.done():
            self._accepted = asyncio.get_running_loop().create_future()
        self.state = KernelState.STARTING
        self.execution_state = "starting"
        self.waiting_text = notices.STARTING
        self._waited = None
        self._shared, self._irreplaceable = shared, self._busy_unknown
        self._counted = self.facts.ended_at if self.facts else None
        # Whoever had it woken may not have come to note that.
        since = self.facts.running_since if self.facts and self.facts.runs else None
        awake = usage.after_sleep(
            self.wish.usage,
            gpus=usage.gpus(self.wish.template),
            until=since or datetime.now(UTC),
        )
        self.wish = self.wish.with_usage(awake)
        self._launching = self.spawn(self._launch())

    def begin_asleep(self) -> None:
        """Make the object of a kernel that gets its pod with its first execution."""
        self.state = KernelState.STARTING
        self._lies_down = True
        self.kernel_info = self.mapping.kernel_info(self.wish)
        self._launching = self.spawn(self._lie_down())

    async def _lie_down(self) -> None:
        try:
            await self._make_provisioner().ask_for(self.wish.build(self.epoch, asleep=True))
        except ElasticJupyterError as error:
            self._launching = None
            self._refuse(error)
            return
        self._launching, self._lies_down = None, False
        self._rest()

    def share(self) -> None:
        """Note that another gateway asked for what is launched before this one did."""
        self._shared = True

    async def accepted(self) -> None:
        """Return when the store took the object. Raises why it did not."""
        await asyncio.shield(self._accepted)

    def _refuse(self, error: Exception) -> None:
        """Tell who waits for the store to take the object that it will not."""
        if not self._accepted.done():
            self._accepted.set_exception(error)
            self._accepted.exception()  # read here: nobody may be waiting

    def resume_from(self, facts: Facts) -> None:
        """Continue with an object that exists already: after a restart of the gateway."""
        self.facts = facts
        self.epoch = max(self.epoch, facts.epoch)
        self.returning.take_over(facts.variables)
        self._make_provisioner().uid = facts.uid
        self.wish = self.wish.with_usage(facts.usage)
        if facts.last_activity:
            self.last_execution = facts.last_activity
        self.kernel_info = facts.kernel_info or self.kernel_info
        if facts.rests or (facts.suspend and facts.phase is None):
            if facts.rests and facts.usage.asleep_since is None:  # nobody has noted it yet
                self.wish = self._after_run()
                self.spawn(self._note_usage())
            self.kernel_info = self.kernel_info or self.mapping.kernel_info(self.wish)
            self._rest()
            return
        if facts.ended and self._has_snapshot:  # on its way back
            if facts.usage.asleep_since is None:
                self.wish = self._after_run()
            self.state = KernelState.ASLEEP
            self.execution_state = "idle"
            self.spawn(self._rest_again())
            return
        if facts.ended:
            self.state = KernelState.FAILED
            self.execution_state = "idle"
            self.reason = facts.reason
            self.notice.text = notices.replaced(facts.reason)
            if facts.usage.asleep_since is None:  # it ended while no gateway listened
                self.wish = self._after_run()
                self.spawn(self._note_usage())
            return
        self._busy_unknown = facts.runs and not facts.nothing_ran
        self.told_busy = facts.busy
        self.waiting_text = facts.waiting
        self.begin(shared=True)
        self.release_if_asked()

    async def _launch(self) -> None:
        try:
            await self._connect()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, ElasticJupyterError):
                self.log.warning("kernel %s could not be launched: %s", self.kernel_id, error)
            else:
                self.log.exception("kernel %s could not be launched", self.kernel_id)
            self._launching = None
            self._refuse(error)
            self.wish = self._after_run()
            self.state = KernelState.FAILED
            self.execution_state = "idle"
            self.reason = str(error)
            # A conflict: another gateway of ours, or a release, has it rest.
            rests = isinstance(error, Conflict) and self._shared
            saved = self._has_snapshot or rests
            if self._irreplaceable and self._shared and not saved:
                self.notice.text = notices.replaced(self.reason)
            text = await self._not_woken(error) if saved else str(error)
            self._fail("KernelStartError", text)
            async with self._changing:
                if self.state is KernelState.FAILED:
                    await (self._sleep_on() if saved else self._bury())

    async def _not_woken(self, error: Exception) -> str:
        if isinstance(error, SnapshotMissing | SnapshotBroken):
            names = await self.hibernation.names(cast(Facts, self.facts))
            return notices.not_to_be_woken(str(error), names)
        return notices.not_woken(str(error))

    async def _bury(self) -> None:
        """Delete the object of a kernel that never ran; the client has been told why."""
        try:
            if self.facts is not None and self.kernel_id in self.mapping.kernels:
                await self.mapping.remember(self)
        finally:
            await self._make_provisioner().kill()

    async def _connect(self) -> None:
        provisioner = self._make_provisioner()
        self._load(await provisioner.launch_kernel([], wish=self.wish.build(self.epoch)))
        if self._runs_for_another():
            self._busy_unknown = self._irreplaceable = True
        recovered = self._busy_unknown
        # One that computes answers on its control channel, but for those that never do, as R's.
        answers = await self._wait_for_answer(*(("control", "shell") if recovered else ("shell",)))
        iopub = IOPub(self.connect_iopub(), key=self.session.key, observe=self._observe)
        try:
            await self.probe.subscribe(iopub, channel=answers)
            before = iopub.ring.next
            await self._restore()
            waiting = [one for one in self.connections if one.waits]
            if len(waiting) > 1:  # in the order in which they came
                await asyncio.gather(*(one.reach() for one in waiting))
        except BaseException:
            iopub.close()
            if self._launching is asyncio.current_task():  # else they may be the next launch's
                for connection in self.connections:
                    connection.detach()
            raise
        self.iopub = iopub
        self.mapping.note_kernel_info(self.wish, self.kernel_info)
        self.state = KernelState.RUNNING
        self.execution_state = "idle"
        self.reason = ""
        self._launching = None
        self.idleness.begin(recovered=recovered)
        if recovered:
            self.subshells.unknown()
            self.spawn(self.probe.learn_subshells())
            self.spawn(self._learn_whether_busy())
        else:
            self.subshells.begin()
            self.touch()
        if self.notice.text is None:
            self.spawn(self.mapping.forget(self))
        self.log.info("kernel %s runs (epoch %d)", self.kernel_id, self.epoch)
        self._forward_waiting(lambda connection: connection.attach(iopub.of_comms(before)))
        self.release_if_asked()

    def _forward_waiting(self, forward: Callable[[ElasticConnection], None]) -> None:
        """Give the kernel what waited for it: ``forward`` does for a front end that is here.

        What was done to widgets comes first, whoever did it, and then who waited longest.
        """
        iopub = self.iopub
        if iopub is None:  # it ended meanwhile
            return
        for connection in self._by_arrival():
            forward(connection)
        if self.parked.forward(
            self.connect_channel,
            self.session,
            self.touched,
            redirect=self.subshells.redirect,
            iopub_from=iopub.ring.next,
        ):
            self._sent_at = datetime.now(UTC)
            self.touch()
        if self.parked.listening:
            iopub.ring.limit(AWAITED)

    async def _restore(self) -> None:
        """Give a kernel that has just started its variables back, before anything runs in it.

        Only when they are there is the snapshot no longer what the kernel's variables are.
        """
        await self.wait_for_facts(lambda facts: not facts.goes)
        if self.returning.woke_with is not None:
            # Whoever took it away has cells run. From here on the kernel is heard to run them.
            get = partial(self.store.get, self.key)
            what = f"reading whether kernel {self.kernel_id} has run"
            found = await insist(get, what=what, log=self.log, passing=Unavailable)
            self.returning.woke_with = Facts.of(found).variables
        facts = cast(Facts, self.facts)
        if facts.snapshot is None:
            self._irreplaceable = True
            return
        if facts.to_restore:
            self._show_waiting(notices.RESTORING)
            notice = await self.hibernation.restore(facts, *facts.to_restore)
            if notice is None:
                self.returning.woke_with = None
            else:
                self.notice.text = notices.with_left(notice, facts.left_running)
        self._irreplaceable = True
        await self._write_down(None, facts)

    @property
    def _cells_wait(self) -> bool:
        """Whether an execution waits for the kernel, of a front end that is here or away."""
        return self.parked.waiting or any(connection.waits for connection in self.connections)

    def _by_arrival(self) -> list[ElasticConnection]:
        """Return the websockets in the order in which their held executions began to come.

        Those without any come last: what was done to widgets goes with the first, and only within
        one connection is it certain to arrive before a cell.
        """
        return sorted(self.connections, key=lambda one: (not one.waits, one.waits_since))

    def _take(self, kernel: JupyterKernel) -> None:
        """Take what the store answered, unless the watch was faster and has told more."""
        facts = Facts.of(kernel)
        if self._is_old(facts):
            return
        self.facts = facts.after(self.facts)
        self._changed.set()
        self.front_ends.changed()

    @property
    def _has_snapshot(self) -> bool:
        """Whether the variables are saved and in no kernel: not even its end loses them."""
        facts = self.facts
        if facts is None or facts.uid in self.retired or facts.snapshot is None:
            return False
        return facts.snapshot.id is not None

    def _make_provisioner(self) -> JupyterKernelProvisioner:
        if self.provisioner is None:
            self.provisioner = JupyterKernelProvisioner(kernel_id=self.kernel_id, parent=self)
        return cast(JupyterKernelProvisioner, self.provisioner)

    def _load(self, info: Mapping[str, Any]) -> None:
        for name in ("ip", "shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"):
            setattr(self, name, info[name])
        self.session = new_session(info["key"])

    async def _wait_for_answer(self, *channels: str) -> str:
        """Wait until the kernel answers on one of the channels, and return on which.

        Replaces upstream's ``wait_for_ready``. Raises ``LaunchFailed`` when it ends before.
        """
        ended = asyncio.ensure_future(self.wait_for_facts(lambda _: False))
        answered = asyncio.ensure_future(self.probe.first_answer(*channels))
        try:
            await asyncio.wait((answered, ended), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                ended.result()
            channel, reply = answered.result()
        finally:
            for future in (answered, ended):
                future.cancel()
            await asyncio.wait((answered, ended))
        self.kernel_info = reply["content"]
        self.kernel_session = reply["header"]["session"]
        return channel

    async def _learn_whether_busy(self) -> None:
        """Ask on shell, which answers only when the user's code has ended.

        When it ended is not known of what ran at last: its idle time counts from now.
        """
        ran = self.facts is not None and self.facts.busy
        asked = datetime.now(UTC)
        await self.probe.wait_until_idle()
        self._busy_unknown = False
        self.idleness.greet()
        if ran or datetime.now(UTC) - asked > timedelta(seconds=1):
            self.touch()
        self._tell_the_end()
        self.release_if_asked()

    # -- activity

    def touch(self) -> None:
        """Note that the user has just executed something."""
        self.last_execution = self.last_activity = datetime.now(UTC)
        self.activity_dirty = True
        self.front_ends.changed()

    def _observe(self, header: dict[str, Any], parent: dict[str, Any], content: bytes) -> None:
        if header["msg_type"] != "status" or parent.get("msg_type") != "execute_request":
            return
        state = self.session.unpack(content)["execution_state"]
        if state == "busy":
            self._executing.add(parent["msg_id"])
            self.returning.hear_run(parent.get("session"))
        elif state == "idle":
            self._executing.discard(parent["msg_id"])
            self._busy_unknown = False
        self.execution_state = "busy" if self._executing else "idle"
        self.touch()
        self._tell_the_end()
        self.release_if_asked()

    def _tell_the_end(self) -> None:
        """Have the object not say any longer that a cell runs which has ended.

        That one runs can wait for the next round: most have ended by then.
        """
        self.front_ends.changed()
        if self.told_busy and not self.busy:
            self.spawn(self.mapping.cull_kernel_if_idle(self.kernel_id))

    def verdict(self, now: datetime) -> idle.Verdict:
        """Say whether the kernel is to be reclaimed now."""
        facts = self.facts
        suspend = facts is not None and facts.suspend
        # A cell may be on its way to the kernel, or its reply on the way back.
        asked = suspend and (
            any(connection.executes for connection in self.connections)
            or (self._sent_at is not None and now - self._sent_at < ARRIVAL)
        )
        failure = self.idleness.failure
        return idle.decide(
            idle.Activity(
                self.busy or asked,
                self.last_execution,
                left_running_at=self.idleness.left_running_at,
                stays=self.idleness.outcome is WhenIdle.KEEP,
                unreachable_since=self.unreachable_since,
                keep_until=facts.keep_until if facts else None,
                suspend=suspend,
                warned_at=self.idleness.warned_at,
                save_again_at=failure.again_at if failure else None,
            ),
            self.mapping.limits(self.wish.spec_name),
            now=now,
        )

    # -- reclaim, wake, stop

    async def reclaim(self) -> None:
        """Give the GPU back; websockets stay open. By policy Delete the object goes.

        The tombstone comes first. While it cannot be written the kernel runs on, and the next round
        of the culler tries again; so it does when the user executes something meanwhile. Does
        nothing unless the kernel runs.
        """
        async with self._changing:
            if self.state is not KernelState.RUNNING or self.mapping.hands_over:
                return
            verdict = self.verdict(datetime.now(UTC))
            if verdict.action is not idle.Action.RECLAIM:  # as it was when this was asked for
                return
            released = verdict.reason == idle.RELEASED
            reason = notices.RELEASED if released else ""
            if self.idleness.outcome is WhenIdle.HIBERNATE:
                unsaved = await self._hibernate(released=released)
                if unsaved is None:
                    return
                if self.idleness.learn(unsaved) is WhenIdle.KEEP and not released:
                    await self._stay_awake(released=False)
                    return
            if self.idleness.unsavable is not None:
                reason = notices.unsaved(self.idleness.unsavable, released=released)
            try:
                await self.mapping.remember(self, self._after_run(), reason=reason)
            except Invalid as error:  # another round would not change it, and a GPU is held
                self.log.error(
                    "kernel %s is reclaimed, and unknown after this gateway's end: %s",
                    self.kernel_id,
                    error,
                )
            now = datetime.now(UTC)
            runs = self.state is KernelState.RUNNING
            if not runs or self._cells_wait or self.verdict(now).action is not idle.Action.RECLAIM:
                await self.mapping.forget(self)
                if self.state is KernelState.RUNNING:
                    self._forward_waiting(ElasticConnection.forward_held)
                return
            self.state = KernelState.RECLAIMED
            self.reason = reason
            self.parked.leave(self.notice)
            notice = (
                notices.replaced(reason) if reason else notices.reclaimed(now - self.last_execution)
            )
            self.notice.text = notices.with_left(notice, self.idleness.left_running)
            self.parked.fail("KernelStopped", "The kernel was stopped while nobody was connected.")
            await self._stop()

    async def _hibernate(self, *, released: bool) -> str | None:
        """Save the variables, then let the reconciler take the pod; None: it sleeps, or runs on.

        Else why its variables cannot be saved, now or ever. An execution that arrives during the
        save cancels it.
        """
        facts = cast(Facts, self.facts)
        if facts.goes:  # another gateway of ours has just saved it
            return None
        try:
            async with self.hibernation.holding():
                if facts.snapshot is not None:  # of before: it is not what would be lost now
                    self._take(
                        await self.store.save(self.key, None, uid=facts.uid, epoch=facts.epoch)
                    )
                if not facts.suspend:
                    self._take(await self.store.wish(self.key, uid=facts.uid, suspend=True))
                snapshot = await self.hibernation.save()
                # One that has ended just now rests when the snapshot is named.
                if snapshot is not None and self.state in (KernelState.RUNNING, KernelState.FAILED):
                    await self._write_down(snapshot, facts)
                    self.hibernation.named()
                    if self.state is KernelState.RUNNING:
                        self._ask_to_shut_down()
                        self._fall_asleep()
                    return None
            self.log.info("kernel %s goes on: its save was cancelled", self.kernel_id)
        except NoAgent as error:
            return str(error)
        except (AgentFailed, StoreError) as error:
            if isinstance(error, Conflict) and await self._was_saved(facts.uid):
                return None
            self.log.warning("kernel %s is not saved: %s", self.kernel_id, error)
            if self.state is KernelState.RUNNING:
                self.idleness.save_failed(str(error), released=released)
        except LaunchFailed as error:  # it has ended, which is told elsewhere
            self.log.warning("kernel %s is not saved: %s", self.kernel_id, error)
        if self.state is KernelState.RUNNING:
            await self._stay_awake(released=released)
        return None

    async def _was_saved(self, uid: str) -> bool:
        """Look whether another gateway of ours has just saved it, before the watch tells."""
        with contextlib.suppress(StoreError):
            kernel = await self.store.get(self.key)
            if kernel.metadata.uid == uid and Facts.of(kernel).goes:
                self._take(kernel)
                return True
        return False

    async def _write_down(self, snapshot: Snapshot | None, facts: Facts) -> None:
        """Write which snapshot there is, None: that there is none any more.

        Raises a ``StoreError`` when it is certain that it is not written.

        Where no answer came it may be written, now or later: then the reconciler takes the pod, and
        what would run until then is in no snapshot. So it is written until there is an answer.
        """
        save = partial(self.store.save, self.key, snapshot, uid=facts.uid, epoch=facts.epoch)
        what = f"writing down the snapshot of kernel {self.kernel_id}"
        self._take(await insist(save, what=what, log=self.log, passing=Unavailable))

    async def _stay_awake(self, *, released: bool) -> None:
        """Go on with the kernel that was not saved, and with what was held meanwhile."""
        facts = cast(Facts, self.facts)
        if not released and not facts.goes:
            with contextlib.suppress(StoreError):  # else it hibernates after its cell
                self._take(await self.store.wish(self.key, uid=facts.uid, suspend=False))
        self._forward_waiting(ElasticConnection.forward_held)
        self.spawn(self.mapping.cull_kernel_if_idle(self.kernel_id))  # which publishes why

    def _fall_asleep(self) -> None:
        """Let go of an incarnation whose variables are saved; what is held wakes it again."""
        self.log.info("kernel %s sleeps (epoch %d)", self.kernel_id, self.epoch)
        self.wish = self._after_run()
        self.spawn(self._note_usage())
        for connection in list(self.connections):
            connection.fail_unanswered("KernelSlept", notices.SLEPT)
        self.idleness.forget_failure()
        self.parked.leave(self.notice)
        self._leave()
        self._close_control_socket()
        self.spawn(self.hibernation.sweep())
        self._rest()

    def _rest(self) -> None:
        """Wait for an execution; there may be one already."""
        self.state = KernelState.ASLEEP
        self.execution_state = "idle"
        self.reason = ""
        if self._cells_wait:
            for connection in self.connections:
                connection.tell_held(connection.held)
            self.want()

    async def _sleep_on(self) -> None:
        """Have a kernel rest again that did not wake: whatever was made for it may go."""
        self._leave()
        self._close_control_socket()
        self.state = KernelState.ASLEEP
        self.execution_state = "idle"
        self.spawn(self._note_usage())
        facts = cast(Facts, self.facts)
        if self._has_snapshot:
            self.notice.text = None  # it may say that the variables are back
        suspend = partial(self._suspend, facts.uid, was_named=facts.snapshot is not None)
        await self.mapping.settle(
            suspend,
            what=f"suspending kernel {self.kernel_id}",
            later=partial(self._when_nothing_changes, suspend),
        )

    async def _when_nothing_changes(self, call: Callable[[], Awaitable[None]]) -> None:
        """Make a call that a wake, or what else is under way, must not find half done."""
        async with self._changing:
            await call()

    async def _rest_again(self) -> None:
        async with self._changing:
            if self.state is KernelState.ASLEEP:
                await self._sleep_on()

    async def _suspend(self, uid: str, *, was_named: bool) -> None:
        """Write that nothing is to run, unless the kernel is wanted again meanwhile.

        ``was_named``: its object named a snapshot. Where it names none any more, another gateway
        has woken it, and what has run since is in the kernel alone.
        """
        with contextlib.suppress(NotFound):
            while self.state is KernelState.ASLEEP:
                kernel = await self.store.get(self.key)
                facts = Facts.of(kernel)
                if facts.uid != uid:
                    return
                if facts.snapshot is None and (
                    was_named or (facts.runs and self._others_may_launch)
                ):
                    self._take(kernel)
                    if self.state is KernelState.ASLEEP:
                        self._join()
                    return
                kept = facts.snapshot.id if facts.snapshot else None
                snapshot = Snapshot(epoch=facts.epoch, id=kept)
                version = kernel.metadata.resource_version
                with contextlib.suppress(Conflict):  # it is not what was read any more
                    self._take(
                        await self.store.save(
                            self.key, snapshot, uid=uid, epoch=facts.epoch, version=version
                        )
                    )
                    return

    def want(self) -> None:
        """An execution asks for the kernel: launch it unless that is under way."""
        if self.asleep:
            self.log.info("kernel %s is asked for again", self.kernel_id)
            # One that failed to wake may not have gone to sleep again yet.
            wakes = self.state is KernelState.ASLEEP or self._has_snapshot
            self.spawn(self._wake() if wakes else self._start_again())
            self.state = KernelState.STARTING
            self.waiting_text = notices.STARTING

    async def _wake(self) -> None:
        async with self._changing:
            await self._unsuspend()

    async def _unsuspend(self) -> None:
        """Take the wish back that nothing runs; the snapshot is restored when something does.

        Needs the lock ``_changing``.
        """
        if self.state is not KernelState.STARTING:
            return
        uid = cast(Facts, self.facts).uid
        try:
            await self._at_rest()
            self._take(await self.store.wish(self.key, uid=uid, suspend=False))
        except (StoreError, TimeoutError) as error:
            why = str(error) or "it has not ended yet"
            self.log.warning("kernel %s could not be asked for: %s", self.kernel_id, why)
            if isinstance(error, NotFound):  # which the watch tells in a moment
                self.on_gone(uid)
            await self._stay_asleep(why)
            return
        self.begin(shared=True)
        self.spawn(self._note_usage())
        self.release_if_asked()  # since that wish, and told before its answer

    async def _stay_asleep(self, why: str) -> None:
        """End what waits for a kernel that could not be asked for."""
        facts = cast(Facts, self.facts)
        if facts.uid in self.retired:
            self.state, self.reason = KernelState.RECLAIMED, notices.DELETED
            self._fail("KernelStartError", f"The kernel ended: {notices.DELETED}")
            self.spawn(self._remember_lost())
            return
        self.state = KernelState.ASLEEP
        self._fail("KernelStartError", notices.not_woken(why))
        if not facts.rests:  # a launch that failed may have left it so
            await self._sleep_on()

    async def _at_rest(self) -> None:
        """Return once the incarnation before is over.

        Before that it would end as the next one, or stay as it ended. Raises ``TimeoutError`` when
        the reconciler does not say so, ``NotFound`` when the object goes.
        """
        async with asyncio.timeout(REST_PATIENCE):
            while (facts := cast(Facts, self.facts)).suspend and not facts.rests:
                if facts.uid in self.retired:
                    raise NotFound(f"JupyterKernel {self.key} is gone")
                self._changed.clear()
                await self._changed.wait()

    async def _start_again(self) -> None:
        async with self._changing:
            # It may have been named while this waited.
            await (self._unsuspend() if self._has_snapshot else self._replace())

    async def _replace(self) -> None:
        """Have a new object in the place of one that has ended; needs the lock ``_changing``."""
        try:
            self.wish = self.wish.kept_until(None)  # it was of the incarnation before
            if self.wish.template is None:
                self.wish = self.mapping.renew(self.wish)
            await self._remember_between(self.reason)
            await self._stop()
        except ElasticJupyterError as error:
            self.state = KernelState.FAILED
            self.reason = str(error)
            self._fail("KernelStartError", str(error))
            return
        self.begin()

    async def _remember_between(self, reason: str) -> None:
        """Have a gateway know the kernel that comes while this one replaces its object.

        ``reason``: why its user finds a new one. Without a tombstone it goes on all the same.
        """
        if self._make_provisioner().uid is not None:
            try:
                await self.mapping.remember(self, reason=reason)
            except StoreError as error:
                self.log.warning("kernel %s is not remembered: %s", self.kernel_id, error)

    async def _stop(self) -> None:
        """Ask the kernel to end and delete its object; the reconciler takes the pod away."""
        self._leave()
        self._cancel_launch()
        self.wish = self._after_run()
        provisioner = self._make_provisioner()
        if provisioner.uid is not None:
            if self.facts and self.facts.pod_ip and not self.facts.ended:
                self._ask_to_shut_down()
            await provisioner.kill()
        self._close_control_socket()

    def _cancel_launch(self) -> None:
        if self._launching is not None:
            self._launching.cancel()
            self._launching = None

    def _ask_to_shut_down(self) -> None:
        facts = cast(Facts, self.facts)
        self._load(connection_info(cast(str, facts.pod_ip), self.master_key, facts.uid))
        self._connect_control_socket()
        self.session.send(
            self._control_socket, self.session.msg("shutdown_request", {"restart": False})
        )

    def _leave(self) -> None:
        """Let go of the running incarnation's sockets."""
        for connection in list(self.connections):
            connection.detach()
        if self.iopub is not None:
            self.parked.settle(self.iopub.ring, self.session)
            self.iopub.close()
            self.iopub = None
        self._executing.clear()
        self._busy_unknown = False
        self._irreplaceable = False
        self.returning.woke_with = None
        self.execution_state = "idle"

    async def interrupt_kernel(self) -> None:  # type: ignore[override]
        """Interrupt the running cell, or cancel the wait for a kernel."""
        facts = self.facts
        runs = self.state is KernelState.RUNNING
        if not runs and self._busy_unknown and facts and facts.pod_ip:
            # It ran before this gateway did, and may compute: the cell is meant, not the kernel.
            self._load(connection_info(facts.pod_ip, self.master_key, facts.uid))
            self._fail("KeyboardInterrupt", notices.WAIT_INTERRUPTED)
            runs = True
        if runs:
            self.spawn(interrupt(self, uid=self._make_provisioner().uid))
            return
        await self._give_up(
            "KeyboardInterrupt", notices.WAIT_INTERRUPTED, reason=notices.INTERRUPTED
        )

    def release_if_asked(self) -> None:
        """Look whether a kernel that is to be released has come to its cell's end."""
        if self._is_to_go():
            self.spawn(self._heed())

    def _is_to_go(self) -> bool:
        """Whether its release was asked for: of this incarnation, not of one that went already."""
        facts = self.facts
        if facts is None or self._lies_down:
            return False
        return facts.suspend and facts.uid not in self.retired

    def _launches_in_vain(self) -> bool:
        """Whether it is launched though its release was asked for.

        A wake first takes that wish back. One whose variables are in no snapshot is released when
        it runs.
        """
        return self._launching is not None and not self._may_have_run and self._is_to_go()

    @property
    def _may_have_run(self) -> bool:
        """Whether what is launched may have variables that are in no snapshot.

        Another gateway may have had cells run in it before its status says that it runs.
        """
        facts = self.facts
        if self._irreplaceable:
            return True
        if facts is None or facts.uid in self.retired or facts.snapshot is not None or facts.rests:
            return False
        return self._others_may_launch and not _is_queued(facts)

    @property
    def _others_may_launch(self) -> bool:
        """Whether another gateway may launch it, too: it may have before, or does from now on."""
        return self._shared or self.mapping.hands_over

    async def ask(self, *, suspend: bool | None = None, keep_until: datetime | None = None) -> None:
        """Write what its user wishes of the present incarnation, and heed it.

        Raises ``StoreError``.
        """
        uid = cast(Facts, self.facts).uid
        self._take(await self.store.wish(self.key, uid=uid, suspend=suspend, keep_until=keep_until))
        self.spawn(self._heed())

    async def _heed(self) -> None:
        """Do what ``spec`` wishes of the present incarnation, as far as it can be done now."""
        if self.state is KernelState.RUNNING:
            await self.mapping.cull_kernel_if_idle(self.kernel_id)
        elif self._launches_in_vain() and not self._busy_unknown:
            await self._give_up(
                "KernelReleased",
                notices.NOT_RUN,
                reason=notices.RELEASED,
                if_still=self._launches_in_vain,
            )

    async def _give_up(
        self, ename: str, evalue: str, *, reason: str, if_still: Callable[[], bool] = lambda: True
    ) -> None:
        """Ask no longer for a kernel that does not run yet; what waits for it ends with an error.

        ``reason``: why its user finds a new one. Nothing is done unless ``if_still`` says so once
        no other change is under way: a restart may have replaced the kernel that was meant.
        """
        async with self._changing:
            if self.state is not KernelState.STARTING or not if_still():
                return
            if self._may_have_run:  # it goes on without what waits for it
                self._fail(ename, evalue)
                return
            self._cancel_launch()
            self._fail(ename, evalue)
            if self.wish.hibernates and self._make_provisioner().uid is not None:
                self.wish = self._after_run()
                await self._sleep_on()
                return
            self.state = KernelState.RECLAIMED
            self.reason = reason
            self.wish = self._after_run()
            self.execution_state = "idle"
            try:
                await self.mapping.remember(self)
            finally:
                await self._stop()
                self._refuse(LaunchFailed(reason))

    async def restart_kernel(  # type: ignore[override]
        self, now: bool = False, newports: bool = False, **kw: Any
    ) -> None:
        """Start an empty kernel under the same id; returns when the store took its object.

        Raises ``Invalid``, with the kernel untouched, when its spec's template is no pod any more;
        ``LaunchFailed`` when the wait is interrupted.
        """
        self.hibernation.cancel()
        async with self._changing:
            wish = self.mapping.renew(self.wish)
            keep_until = self._kept_until()
            self._fail("KernelRestarted", "The kernel was restarted.")
            self.touched.take()  # of widgets that are gone
            self.notice.start_anew(notices.DROPPED if self._has_snapshot else None)
            self.state = KernelState.STARTING
            await self._remember_between(notices.RESTARTED)
            await self._stop()
            # The watch may have told of other sessions.
            self.wish = (
                wish.with_sessions(self.wish.sessions)
                .with_usage(self.wish.usage)
                .kept_until(keep_until)
            )
            self.begin()
        await self.accepted()

    def _kept_until(self) -> datetime | None:
        """Return until when the present incarnation is to be kept, where that is yet to come."""
        facts = self.facts
        if facts is None or facts.uid in self.retired or facts.keep_until is None:
            return None
        return facts.keep_until if facts.keep_until > datetime.now(UTC) else None

    async def shutdown_kernel(  # type: ignore[override]
        self, now: bool = False, restart: bool = False
    ) -> None:
        """End the kernel for good and remove its object."""
        self._fail("KernelShutDown", "The kernel was shut down.")
        self.hibernation.cancel()
        async with self._changing:
            await self._stop()
            self._refuse(LaunchFailed("the kernel was shut down"))
        for connection in list(self.connections):
            connection.websocket_handler.close(1000, "the kernel was shut down")
        for task in list(self._background):
            if task is not asyncio.current_task():
                task.cancel()

    async def change_sessions(self, change: Callable[[Sessions], Sessions]) -> None:
        """Remember which sessions are on this kernel, where its object or tombstone is.

        An object that is being created is waited for: it has the sessions of before. Raises
        ``Invalid`` when they are too large, ``NotFound`` when the kernel was shut down meanwhile.
        """
        while True:
            async with self._changing:
                creating = self._launching
                if creating is None or self._make_provisioner().uid is not None:
                    kept = change(self.wish.sessions)
                    if kept != self.wish.sessions:
                        await self._keep_sessions(kept)
                        self.wish = self.wish.with_sessions(kept)
                    return
            await asyncio.wait((creating, self._accepted), return_when=asyncio.FIRST_COMPLETED)

    async def _keep_sessions(self, kept: Sessions) -> None:
        if self.kernel_id not in self.mapping.kernels:
            raise NotFound(f"kernel {self.kernel_id} was shut down")
        uid = self._make_provisioner().uid
        if uid is not None:
            with contextlib.suppress(NotFound):  # gone meanwhile: now there is the tombstone
                annotations = {names.ANNOTATION_SESSIONS: sessions.write(kept)}
                await self.store.annotate(self.key, annotations, uid=uid)
                return
        await self.mapping.remember(self, self.wish.with_sessions(kept))

    async def is_alive(self) -> bool:  # type: ignore[override]
        """Return True: a kernel that is listed can be used, whatever its state."""
        return True

    # -- front ends

    def begin_handover(self) -> None:
        """Leave to the next gateway whatever has not begun."""
        self.hibernation.cancel()
        if self.variables is not None:
            self.parked.hand_back()

    def connect_channel(self, channel: str, identity: bytes) -> ZMQStream:
        """Return a stream to the running kernel: ``shell``, ``control`` or ``stdin``."""
        stream: ZMQStream = getattr(self, f"connect_{channel}")(identity=identity)
        return stream

    def _fail(self, ename: str, evalue: str) -> None:
        """End the requests of every front end, also of those that are away."""
        for connection in list(self.connections):
            connection.fail(ename, evalue)
        self.parked.fail(ename, evalue)

    def answer_asleep(self, header: messages.Header) -> list[messages.Said] | None:
        """Return the answer to a request that needs no kernel, or None."""
        return messages.asleep(header, self.kernel_info)

    # -- work in the background

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run a coroutine of this kernel in the background; its errors are logged."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("kernel %s: %r", self.kernel_id, task.exception())


def _is_queued(facts: Facts | None) -> bool:
    return facts is not None and facts.phase is Phase.QUEUED
