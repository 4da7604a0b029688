"""JupyterKernel: keeps its pod and connection Secret as the life cycle says.

Children: the Secret ``<name>-connection`` and the bare pod ``<name>``, both of the
incarnation (uid, epoch). Writes all of the status but ``activity``. Woken by the kernel, its pod,
its Secret, the gateway's master key, and the queue when a place changes.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from elastic_jupyter import logs
from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import MAX_EPOCH, JupyterKernel, Phase
from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.events import EventRecorder
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, POD, SECRET, Key, Kind, Object, key_of
from elastic_jupyter.operator import kernel_refusal, sight, slow_start
from elastic_jupyter.operator.children import (
    BLOCKED_RETRY,
    FIELD_MANAGER,
    controller_uid,
    covers,
    living_uid,
    restored,
)
from elastic_jupyter.operator.kernel_index import KernelIndex
from elastic_jupyter.operator.objects import storage
from elastic_jupyter.operator.objects.gateway import master_key
from elastic_jupyter.operator.objects.kernel import (
    GRACE_SECONDS,
    identity,
    image_choice,
    make_connection_secret,
    make_pod,
    master_digest,
)
from elastic_jupyter.operator.own_writes import OwnWrites
from elastic_jupyter.policy import kernel_status, lifecycle, queue, refusals
from elastic_jupyter.policy.images import Choice, Images
from elastic_jupyter.policy.kernel_status import Told
from elastic_jupyter.policy.keys import address_token, connection_key, digest
from elastic_jupyter.policy.lifecycle import Action, Sight, Sighting
from elastic_jupyter.policy.queue import Place, Refused
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.parsing import parse
from elastic_jupyter.store.protocol import KernelStore
from elastic_jupyter.store.report import report

#: Seconds until a decision on a kernel that somebody else has written meanwhile is made again. The
#: watch tells what was written within milliseconds.
_STALE_RETRY = 0.02

_GATEWAY_NOT_FOUND = "GatewayNotFound"
_PREVIOUS_POD = "PreviousPodTerminating"
_KEY_REPLACED = "KeyReplaced"
_KEY_REPLACED_TEXT = (
    "its gateway has a new master key, and a kernel that was started with the old one can be "
    "reached by nobody: it was ended, and its variables are gone"
)
_ALIVE = (Sight.WAITING, Sight.STARTING, Sight.STALLED, Sight.RUNNING)

log = logs.get(__name__)


@dataclass(frozen=True)
class KernelCaches:
    """Live views of what the reflectors know."""

    kernels: Mapping[Key, Object]
    notebooks: Mapping[Key, Object]
    pods: Mapping[Key, Object]
    secrets: Mapping[Key, Object]


@dataclass(frozen=True)
class _Seen:
    """A kernel and its pod of this epoch. ``made``: the status names a pod of this epoch."""

    kernel: JupyterKernel
    epoch: int
    made: bool
    pod: Sighting

    @property
    def phase(self) -> Phase | None:
        return self.kernel.status.phase if self.kernel.status else None


class KernelReconciler:
    """Makes JupyterKernels true."""

    def __init__(
        self,
        *,
        client: Client,
        store: KernelStore,
        caches: KernelCaches,
        kernels: KernelIndex,
        recorder: EventRecorder,
        clock: Clock,
        images: Images,
        place_of: Callable[[Key], Place | Refused | None],
    ) -> None:
        self._client = client
        self._store = store
        self._caches = caches
        self._kernels = kernels
        self._recorder = recorder
        self._clock = clock
        self._images = images
        self._place_of = place_of
        self._own = OwnWrites()
        # Pods made for (uid, epoch) that the status does not name yet.
        self._made: dict[Key, tuple[str, int]] = {}
        # Pods that are gone and had said why, as they were last seen.
        self._gone: dict[Key, Object] = {}
        # Uids of pods that were made and deleted again before anybody was told of them.
        self._taken_back: dict[Key, str] = {}

    async def reconcile(self, key: Key) -> Result:
        """Look at one kernel once."""
        seen = await self._observe(key)
        if seen is None:
            self._own.forget(key)
            self._made.pop(key, None)
            self._gone.pop(key, None)
            self._taken_back.pop(key, None)
            await self._remove_orphans(key)
            return DONE
        hindrance: StoreError | None = None
        action = kernel_status.verdict(seen.kernel, seen.pod.sight).action
        if action is Action.START:
            seen = await self._start(key, seen)
        elif seen.pod.sight in _ALIVE and action is Action.NONE:
            try:
                seen = await self._keep_secret(seen)
            except StoreError as error:
                hindrance = error  # news of the pod do not wait for its Secret
        result = await self._tell(key, seen)
        if hindrance is not None:
            raise hindrance
        return result

    async def _tell(self, key: Key, seen: _Seen) -> Result:
        """Report what was seen of a kernel, and clean up after one that has ended."""
        place = self._place_of(key) if seen.pod.sight is Sight.WAITING else None
        if isinstance(place, Refused):
            refused = Sighting(Sight.STARTING, queue.GATE_REFUSED, place.message)
            seen, place = replace(seen, pod=refused), None
        if seen.pod.sight is Sight.STALLED and not self._patience(seen.kernel):
            seen = replace(seen, pod=kernel_status.given_up(seen.pod))
        elif slow_start.is_starting(seen.pod):
            seen = replace(seen, pod=await self._explained(key, seen.pod))
        phase = kernel_status.verdict(seen.kernel, seen.pod.sight).phase
        told = Told(phase, seen.epoch, seen.made, seen.pod, image=self._image(seen.kernel))
        if seen.pod.sight is Sight.WAITING and not kernel_status.over(phase):
            if place is None:
                return DONE  # the queue has not looked at it yet; it wakes us when it has
            told = replace(told, place=place)
        try:
            await self._report(key, seen.kernel, told)
        except Conflict:
            return Result(_STALE_RETRY)
        if kernel_status.over(phase):
            await self._clean_up(key, seen.kernel)
        return self._result(seen.kernel, told)

    def pod_gone(self, key: Key, pod: Object) -> None:
        """Take note of the last that was seen of a pod. Called when it is gone."""
        if sight.end_of(pod):
            self._gone[key] = pod

    # -- observe

    async def _observe(self, key: Key) -> _Seen | None:
        cached = self._caches.kernels.get(key)
        if cached is None or cached["metadata"].get("deletionTimestamp"):
            return None
        kernel = self._own.newest(key, parse(JupyterKernel, cached))
        pod = self._caches.pods.get(key)
        epoch = kernel_status.epoch_of(kernel)
        phase = kernel.status.phase if kernel.status else None
        if kernel.spec.suspend and (phase is None or kernel_status.is_resting(phase)):
            epoch = max(epoch, min(self._begun(key, kernel, pod), epoch + 1, MAX_EPOCH))
        made = bool(kernel.status and kernel.status.pod_name)
        made = made or self._made.get(key) == (kernel.metadata.uid, epoch)
        if pod is not None and pod["metadata"]["uid"] == self._taken_back.get(key):
            pod = None
        if made and not _is_over(kernel):
            if pod is None:
                pod = await self._live_pod(key)  # is it gone, or not in the cache?
            if pod is not None:
                pod = await self._recognisable(pod, kernel, epoch)
        if pod is not None and _is_incarnation(pod, kernel, epoch):
            return _Seen(kernel, epoch, True, sight.look(pod))
        if made:
            conditions = kernel.status.to_dict().get("conditions") if kernel.status else None
            last = self._gone.get(key)
            if last is not None and not _is_incarnation(last, kernel, epoch):
                last = None
            return _Seen(kernel, epoch, True, sight.lost(conditions or [], last))
        return _Seen(kernel, epoch, False, Sighting(Sight.NEVER_MADE))

    def _begun(self, key: Key, kernel: JupyterKernel, pod: Object | None) -> int:
        """Return the latest epoch of a kernel that has, or had, a pod; 0: there is none.

        A wake may be taken back before anybody was told of its epoch, and no other may have that:
        it would take the end of this one's pod for its own.
        """
        uid, epoch = self._made.get(key, ("", 0))
        begun = epoch if uid == kernel.metadata.uid else 0
        if pod is not None and controller_uid(pod) == kernel.metadata.uid:
            label = (pod["metadata"].get("labels") or {}).get(names.LABEL_EPOCH, "")
            begun = max(begun, int(label) if label.isdecimal() else 0)
        return begun

    async def _live_pod(self, key: Key) -> Object | None:
        try:
            return await self._client.get(POD, *key)
        except NotFound:
            return None

    async def _recognisable(self, pod: Object, kernel: JupyterKernel, epoch: int) -> Object | None:
        """Give a pod the labels or owner back that it lost; without, nobody sees how it ends."""
        labels = pod["metadata"].get("labels") or {}
        if labels.get(names.LABEL_EPOCH) not in (None, str(epoch)):
            return pod
        wanted = {"metadata": identity(kernel.metadata.name or "", kernel, epoch)}
        try:
            return await restored(self._client, POD, wanted, pod)
        except NotFound:
            return None

    async def _explained(self, key: Key, seen: Sighting) -> Sighting:
        pod = self._caches.pods.get(key)
        if pod is None:
            return seen
        return await slow_start.explain(self._client, pod, seen, now=self._clock.now())

    # -- act

    async def _start(self, key: Key, seen: _Seen) -> _Seen:
        """Make Secret and pod; return what is seen then. May run again after any crash."""
        try:
            pod = make_pod(
                seen.kernel,
                epoch=seen.epoch,
                ours=self._images,
                shared_claim=self._shared_claim(seen.kernel),
            )
            found = await self._make_children(seen, pod)
        except Invalid as error:
            return replace(seen, pod=Sighting(Sight.REFUSED, error.reason, str(error)))
        except Forbidden as error:
            refusal = refusals.judge(str(error))
            refused = Sight.NEVER_MADE if refusal.passing else Sight.REFUSED
            return replace(seen, pod=Sighting(refused, refusal.reason, str(error)))
        made = found.sight not in (Sight.NEVER_MADE, Sight.REFUSED)
        if made:
            self._made[key] = (seen.kernel.metadata.uid or "", seen.epoch)
        return replace(seen, pod=found, made=made)

    async def _make_children(self, seen: _Seen, pod: Object) -> Sighting:
        if refused := kernel_refusal.refusal(seen.kernel, self._siblings(seen.kernel)):
            return refused
        secret = self._connection_secret(seen)
        if secret is None:
            gateway, namespace = seen.kernel.spec.gateway_ref, seen.kernel.metadata.namespace
            text = (
                f"spec.gatewayRef: JupyterGateway {gateway.name if gateway else ''} does not exist "
                f"in namespace {namespace}, or has no master key to be used"
            )
            return Sighting(Sight.NEVER_MADE, _GATEWAY_NOT_FOUND, text)
        if seen.phase is None:
            hindrance = await self._create_at_once(secret, pod, seen)
        else:  # something was in the way before
            hindrance = await self._create(SECRET, secret, seen)
            hindrance = hindrance or await self._create(POD, pod, seen)
        return hindrance or sight.look({**pod, "status": {}})

    async def _create_at_once(self, secret: Object, pod: Object, seen: _Seen) -> Sighting | None:
        """Create both children, as ``_create`` does each; no pod stays that has no Secret.

        The kubelet asks for the Secret 100 ms or more after the pod was made; were it not there, it
        would ask again only after seconds.
        """
        kept, made = await asyncio.gather(
            self._create(SECRET, secret, seen),
            self._create(POD, pod, seen),
            return_exceptions=True,
        )
        if isinstance(kept, Sighting | Invalid | Forbidden) and made is None:
            await self._take_back(pod, seen)
        for outcome in (kept, made):
            if isinstance(outcome, BaseException):
                raise outcome
        return cast("Sighting | None", kept or made)

    async def _take_back(self, pod: Object, seen: _Seen) -> None:
        """Delete a pod whose Secret may not be: it could not start."""
        key = key_of(pod)
        there = await self._live_pod(key)
        if there is None or not _is_incarnation(there, seen.kernel, seen.epoch):
            return
        self._taken_back[key] = uid = there["metadata"]["uid"]
        with contextlib.suppress(NotFound, Conflict):
            await self._client.delete(POD, *key, uid=uid, grace_seconds=0)

    def _siblings(self, kernel: JupyterKernel) -> Iterable[Object]:
        gateway = kernel.spec.gateway_ref
        if gateway is None:
            return ()
        return self._kernels.of_gateway(Key(kernel.metadata.namespace or "", gateway.name))

    async def _keep_secret(self, seen: _Seen) -> _Seen:
        """Make the pod's Secret as it was made; say so if nobody can know that one's key."""
        kernel = seen.kernel
        by_hand = kernel.spec.gateway_ref is None
        if by_hand and seen.pod.sight is Sight.RUNNING:
            return seen  # its key was random, and it has read it
        wanted = self._connection_secret(seen)
        if wanted is None:
            return seen  # until its gateway has a master key again
        secret = self._caches.secrets.get(key_of(wanted))
        if secret is None:
            await self._create(SECRET, wanted, seen)
            return seen
        if by_hand or not _is_incarnation(secret, kernel, seen.epoch):
            return seen
        if master_digest(secret) not in (None, master_digest(wanted)):
            return replace(seen, pod=Sighting(Sight.FAILED, _KEY_REPLACED, _KEY_REPLACED_TEXT))
        if not covers(secret, wanted):  # somebody has edited it
            await self._client.apply(SECRET, wanted, field_manager=FIELD_MANAGER)
        return seen

    async def _create(self, kind: Kind, obj: Object, seen: _Seen) -> Sighting | None:
        """Create a child, or find that it is there already; return what is in the way, if so."""
        key = key_of(obj)
        for _ in range(2):
            try:
                await self._client.create(kind, obj, field_manager=FIELD_MANAGER)
                return None
            except AlreadyExists:
                pass
            try:
                other = await self._client.get(kind, *key)
            except NotFound:
                continue
            if _is_incarnation(other, seen.kernel, seen.epoch):
                await restored(self._client, kind, obj, other)
                return None
            if not _is_of_a_kernel(other):
                text = f"a {kind} named {key.name} exists that is not this kernel's; delete it"
                return Sighting(Sight.NEVER_MADE, "NameTaken", text)
            await self._delete(kind, other)
            if kind is POD:  # takes its grace period, and its end wakes us
                break
        text = f"the previous {kind} {key.name} is being deleted"
        return Sighting(Sight.NEVER_MADE, _PREVIOUS_POD, text)

    def _image(self, kernel: JupyterKernel) -> Choice:
        return image_choice(kernel, self._images)

    def _connection_secret(self, seen: _Seen) -> Object | None:
        """Return the kernel's Secret; None while its gateway has no usable master key."""
        kernel, epoch = seen.kernel, seen.epoch
        gateway = kernel.spec.gateway_ref
        if gateway is None:  # made by hand: whoever may read the Secret connects
            return make_connection_secret(kernel, epoch=epoch, key=secrets.token_hex(32))
        name = names.master_key_secret_name(gateway.name)
        secret = self._caches.secrets.get(Key(kernel.metadata.namespace or "", name))
        master = master_key(secret)
        if master is None:
            return None
        uid = kernel.metadata.uid or ""
        return make_connection_secret(
            kernel,
            epoch=epoch,
            key=connection_key(master, uid),
            token=address_token(master, uid, epoch),
            master_digest=digest(master),
        )

    def _shared_claim(self, kernel: JupyterKernel) -> str | None:
        """Return the claim of the notebook's files that the kernel has, too, if any."""
        reference = kernel.spec.notebook_ref
        if reference is None or reference.namespace != kernel.metadata.namespace:
            return None  # a volume is of one namespace
        found = self._caches.notebooks.get(Key(reference.namespace, reference.name))
        if found is None or found["metadata"]["uid"] != reference.uid:
            return None
        return storage.shared_claim(parse(JupyterNotebook, found))

    # -- report

    async def _report(self, key: Key, kernel: JupyterKernel, told: Told) -> None:
        after = await report(self._store, key, kernel, told, now=self._clock.now())
        if after is None:
            return
        self._own.wrote(key, before=kernel, after=after)
        self._made.pop(key, None)
        old = kernel.status.phase if kernel.status else None
        if told.phase is not old:
            log.info("phase changed", old=old, new=told.phase, reason=told.seen.reason)
        for event in kernel_status.events(kernel, told):
            await self._recorder.event(
                kernel.to_dict(), type=event.type, reason=event.reason, message=event.message
            )

    def _patience(self, kernel: JupyterKernel) -> float:
        """Return for how many seconds a stalled kernel is still waited for."""
        now = self._clock.now()
        left = (kernel_status.stalled_since(kernel) or now) + lifecycle.STALL_PATIENCE - now
        return max(left.total_seconds(), 0.0)

    def _result(self, kernel: JupyterKernel, told: Told) -> Result:
        if told.seen.sight is Sight.STALLED:
            return Result(self._patience(kernel))
        if told.phase is Phase.PENDING and told.seen.sight is Sight.STARTING:
            return Result(slow_start.PAUSE)
        # What the gateway and the previous pod do is told by the watch.
        told_by_watch = told.seen.reason in (_GATEWAY_NOT_FOUND, _PREVIOUS_POD)
        blocked = told.seen.sight is Sight.NEVER_MADE and not kernel_status.over(told.phase)
        if blocked and not told_by_watch:
            return Result(BLOCKED_RETRY)
        return DONE

    # -- clean up

    async def _clean_up(self, key: Key, kernel: JupyterKernel) -> None:
        """Remove pod and Secret of a kernel that has ended or rests and stays."""
        for kind, child in self._children(key):
            if controller_uid(child) == kernel.metadata.uid:
                await self._delete(kind, child)

    async def _remove_orphans(self, key: Key) -> None:
        """Remove what is left of a kernel that is gone; ownerReferences are the backstop."""
        children = [(kind, child) for kind, child in self._children(key) if _is_of_a_kernel(child)]
        if not children:
            return
        living = await living_uid(self._client, JUPYTER_KERNEL, key)
        for kind, child in children:
            if controller_uid(child) != living:
                await self._delete(kind, child)

    def _children(self, key: Key) -> list[tuple[Kind, Object]]:
        secret = Key(key.namespace, names.connection_secret_name(key.name))
        found = ((POD, self._caches.pods.get(key)), (SECRET, self._caches.secrets.get(secret)))
        return [(kind, child) for kind, child in found if child is not None]

    async def _delete(self, kind: Kind, child: Object) -> None:
        metadata = child["metadata"]
        grace = GRACE_SECONDS if kind is POD else None
        if kind is POD and sight.is_lost_with_its_node(child):
            grace = 0  # by force: nobody else would, and the name is needed for the next pod
        if metadata.get("deletionTimestamp") and (
            grace is None or (metadata.get("deletionGracePeriodSeconds") or 0) <= grace
        ):
            return  # on its way
        try:
            await self._client.delete(
                kind, *key_of(child), uid=metadata["uid"], grace_seconds=grace
            )
        except (NotFound, Conflict):
            return  # gone, or another one has the name
        log.info("deleted", kind=kind, name=metadata["name"])


def _is_over(kernel: JupyterKernel) -> bool:
    """Say whether no pod of this epoch is to be there; one that is woken has one to come."""
    phase = kernel.status.phase if kernel.status else None
    if phase is None or (kernel_status.is_resting(phase) and not kernel.spec.suspend):
        return False
    return kernel_status.over(phase)


def _is_incarnation(child: Object, kernel: JupyterKernel, epoch: int) -> bool:
    labels = child["metadata"].get("labels") or {}
    return controller_uid(child) == kernel.metadata.uid and (
        labels.get(names.LABEL_EPOCH) == str(epoch)
    )


def _is_of_a_kernel(child: Object) -> bool:
    owners = child["metadata"].get("ownerReferences") or ()
    return any(
        owner.get("controller")
        and owner["kind"] == JUPYTER_KERNEL.kind
        and owner["apiVersion"].startswith(f"{names.GROUP}/")
        for owner in owners
    )
