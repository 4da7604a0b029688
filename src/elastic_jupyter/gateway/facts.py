"""What the reconciler said of a kernel, in the form that the gateway works with."""

from dataclasses import dataclass, replace
from datetime import datetime

from elastic_jupyter.api.base import Condition, Json
from elastic_jupyter.api.kernel import JupyterKernel, Phase, Queue, Snapshot, Wake
from elastic_jupyter.policy import kernel_status, notices, wakes
from elastic_jupyter.policy.usage import NOTHING, Usage, ran_since, usage_of


@dataclass(frozen=True)
class Facts:
    """The status of one JupyterKernel. ``(uid, epoch)`` names the incarnation.

    ``waiting``, ``disturbance`` and ``reason`` say why it does not run yet, why it may end soon,
    and why it ended. ``busy``: what a gateway saw last of it was a cell that ran. ``suspend`` and
    ``keep_until`` are wishes of its ``spec``; ``usage`` is the GPU time before this incarnation,
    which holds its GPU from ``running_since`` to ``ended_at``. ``snapshot`` has the variables of a
    kernel that sleeps, or that they were not given back to yet; without an id nothing ever ran.
    ``left_running`` is what its cells left running when it was looked at last, ``unsavable`` why
    its variables cannot be saved.
    ``place`` is that in the queue; ``wake`` is what came back with this incarnation. ``version``
    orders what is told.
    """

    uid: str
    epoch: int
    phase: Phase | None
    pod_ip: str | None
    waiting: str
    disturbance: str
    reason: str
    last_activity: datetime | None
    busy: bool = False
    suspend: bool = False
    keep_until: datetime | None = None
    usage: Usage = NOTHING
    running_since: datetime | None = None
    ended_at: datetime | None = None
    snapshot: Snapshot | None = None
    kernel_info: Json | None = None
    left_running: tuple[str, ...] = ()
    unsavable: str | None = None
    place: Queue | None = None
    wake: Wake | None = None
    version: int = 0

    @classmethod
    def of(cls, kernel: JupyterKernel) -> "Facts":
        """Read the facts of an object as the store returned it."""
        status = kernel.status
        activity = status.activity if status else None
        epoch = kernel_status.epoch_of(kernel)
        return cls(
            uid=kernel.metadata.uid or "",
            epoch=epoch,
            phase=status.phase if status else None,
            pod_ip=status.pod_ip if status else None,
            waiting=_waiting(kernel),
            disturbance=_disturbance(kernel),
            reason=_failure(kernel),
            last_activity=activity.last_activity if activity else None,
            busy=bool(activity and activity.busy),
            suspend=bool(kernel.spec.suspend),
            keep_until=kernel.spec.keep_until,
            usage=usage_of(kernel),
            running_since=ran_since(kernel),
            ended_at=status.completion_time if status else None,
            snapshot=kernel.spec.snapshot,
            kernel_info=activity.kernel_info if activity else None,
            left_running=tuple(activity.left_running or ()) if activity else (),
            unsavable=activity.unsavable if activity else None,
            place=status.queue if status else None,
            wake=wakes.wake_of(kernel, epoch=epoch),
            version=_version(kernel),
        )

    def after(self, older: "Facts | None") -> "Facts":
        """Return these facts with what the status does not say yet, or any more.

        That is the address, which the kernel tells before, and since when it ran.
        """
        if older is None or (older.uid, older.epoch) != (self.uid, self.epoch):
            return self
        # One that is wanted again is the next incarnation already, with times of the one before.
        ran = None if kernel_status.is_resting(older.phase) else older.running_since
        return replace(
            self,
            pod_ip=self.pod_ip or older.pod_ip,
            running_since=self.running_since or ran,
        )

    @property
    def ended(self) -> bool:
        """Whether this incarnation will not answer any more."""
        return self.phase in (Phase.FAILED, Phase.SUCCEEDED)

    @property
    def rests(self) -> bool:
        """Whether nothing runs, and nobody has asked for it."""
        return self.suspend and kernel_status.is_resting(self.phase)

    @property
    def reachable(self) -> bool:
        """Whether there is somebody to connect to who will not go in a moment.

        One that hibernates and is not to, any more, either goes on or has gone.
        """
        if self.phase is Phase.HIBERNATING and not self.suspend:
            return False
        return bool(self.pod_ip)

    @property
    def nothing_ran(self) -> bool:
        """Whether nothing has run in this incarnation, as far as it was written down."""
        if self.snapshot is None:
            return False
        return self.snapshot.id is None or self.to_restore is not None

    @property
    def runs(self) -> bool:
        """Whether cells can run in it, as far as the reconciler said."""
        return kernel_status.is_running(self.phase)

    @property
    def goes(self) -> bool:
        """Whether it ends in a moment, since its variables have just been saved."""
        return self.suspend and self.snapshot is not None and self.snapshot.epoch == self.epoch

    @property
    def variables(self) -> str | None:
        """The name of the variables that come with its wake, which no later ones have.

        None: cells may run. While there is a snapshot, nothing has run since it was taken (ADR
        0017).
        """
        if self.snapshot is None:
            return None
        return self.snapshot.id or f"0-{self.uid}"

    @property
    def to_restore(self) -> tuple[int, str] | None:
        """Epoch and id of the snapshot that this incarnation must get before anything runs in it.

        None: there is none, or this is still the kernel that it was taken of.
        """
        if self.snapshot is None or self.snapshot.id is None:
            return None
        epoch, _, digest = self.snapshot.id.partition("-")
        return (int(epoch), digest) if int(epoch) < self.epoch else None


def _waiting(kernel: JupyterKernel) -> str:
    status = kernel.status
    if status and status.phase is Phase.QUEUED and status.queue:
        return notices.queued(status.queue.position, status.queue.length, status.queue.reason or "")
    for condition in (status.conditions if status else None) or []:
        if condition.type == "Running" and condition.status == "False":
            return notices.pending(condition.reason or "", condition.message or "")
    return notices.STARTING


def _disturbance(kernel: JupyterKernel) -> str:
    """Return why a running kernel's pod is being taken away, or its node is lost."""
    for condition in (kernel.status.conditions if kernel.status else None) or []:
        # A kernel that runs undisturbed has nothing to say.
        if condition.type == "Running" and condition.status == "True" and condition.message:
            return _words(condition)
    return ""


def _failure(kernel: JupyterKernel) -> str:
    for condition in (kernel.status.conditions if kernel.status else None) or []:
        if condition.type in ("Failed", "Succeeded") and condition.status == "True":
            return _words(condition)
    return "it ended without a stated reason"


def _words(condition: Condition) -> str:
    return ": ".join(filter(None, (condition.reason, condition.message)))


def _version(kernel: JupyterKernel) -> int:
    """Return a number that grows with each change; Kubernetes promises it since 1.35 (KEP-5504)."""
    version = kernel.metadata.resource_version or ""
    return int(version) if version.isdecimal() else 0
