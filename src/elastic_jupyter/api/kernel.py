"""JupyterKernel: one running or wanted kernel, the only truth about it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from elastic_jupyter.api.base import (
    AGE,
    INT32,
    INT64,
    Column,
    Conditions,
    Json,
    Message,
    Model,
    Name,
    Reference,
    Resource,
    rules,
)
from elastic_jupyter.api.embedded import POD_TEMPLATE

#: Jupyter's id of a kernel, which becomes a label.
KernelId = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
]
#: More pods than a kernel can have in its life.
MAX_EPOCH = 2**31 - 1
#: How much of what cells left running is named.
MAX_LEFT_RUNNING = 20
#: So many of the names are kept that came back with a kernel, and of those that did not.
MAX_WAKE_NAMES = 50


class Phase(StrEnum):
    """Where a kernel is in its life (docs/architecture.md)."""

    DORMANT = "Dormant"
    QUEUED = "Queued"
    PENDING = "Pending"
    RUNNING = "Running"
    HIBERNATING = "Hibernating"
    HIBERNATED = "Hibernated"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


class ReclaimPolicy(StrEnum):
    """What becomes of the variables of a kernel whose resources are taken back."""

    DELETE = "Delete"
    HIBERNATE = "Hibernate"


class Fallback(StrEnum):
    """What becomes of an idle kernel whose variables can never be saved."""

    DELETE = "Delete"
    KEEP = "Keep"


class WhenIdle(StrEnum):
    """What becomes of a kernel that is idle for too long, by policy and by what is possible."""

    HIBERNATE = "Hibernate"
    DELETE = "Delete"
    KEEP = "Keep"


class GatewayReference(Model):
    """The JupyterGateway that serves the kernel, in the kernel's namespace."""

    name: Reference = Field(description="Name of the JupyterGateway.")
    namespace: Reference | None = Field(
        default=None, description="Namespace of the JupyterGateway: the kernel's own."
    )


class NotebookReference(Model):
    """The JupyterNotebook that the kernel was started from; may be in another namespace."""

    namespace: Reference = Field(description="Namespace of the JupyterNotebook.")
    name: Reference = Field(description="Name of the JupyterNotebook.")
    uid: Annotated[str, Field(max_length=128)] = Field(
        description="uid of the JupyterNotebook: the kernel is deleted with it."
    )


class Snapshot(Model):
    """What the kernel's variables are while nothing runs. Written by the gateway alone."""

    epoch: Annotated[int, Field(ge=0, le=MAX_EPOCH)] = Field(
        description="The pod that may go: all that it had is in the snapshot. 0: there was none.",
        json_schema_extra=INT64,
    )
    id: Annotated[str, Field(max_length=128, pattern=r"^[0-9]+-[0-9a-f]+$")] | None = Field(
        default=None,
        description="Which snapshot: the epoch that it was taken of, and its digest. Absent: "
        "nothing ever ran.",
    )


def _fixed(field: str) -> tuple[str, str]:
    """Return the rule that a field of ``spec`` stays as it was when the object was made."""
    return (
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"spec.{field} cannot change: a kernel's pod and its key are made of it once; delete the "
        "JupyterKernel and make it again",
    )


NEEDS_GATEWAY = (
    "has(self.gatewayRef) || (!has(self.suspend) && !has(self.keepUntil) && "
    "!has(self.reclaimPolicy) && !has(self.snapshot))",
    "spec.gatewayRef: a gateway heeds spec.suspend, spec.keepUntil and spec.reclaimPolicy and "
    "writes spec.snapshot, and this kernel has none",
)


_FIXED = (
    *("template", "kernelID", "kernelSpecName", "gatewayRef", "notebookRef", "user"),
    "reclaimPolicy",
)


class KernelSpec(Model):
    """What is wanted: written once, by the gateway or by hand.

    ``suspend`` and ``keepUntil`` may change, by anyone with the right; ``snapshot`` is the
    gateway's.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            *map(_fixed, _FIXED),
            NEEDS_GATEWAY,
        )
    )

    template: Json = Field(
        description="Pod of the kernel (PodTemplateSpec). Its first container is the kernel's, and "
        "its restartPolicy is Never whatever is said here. Unknown keys of its metadata become "
        "labels.",
        json_schema_extra=POD_TEMPLATE,
    )
    kernel_id: KernelId | None = Field(
        default=None,
        alias="kernelID",
        description="Jupyter's id of the kernel; where absent, the uid of the object.",
    )
    kernel_spec_name: Name | None = Field(
        default=None, description="Name of the kernel spec that the user picked."
    )
    gateway_ref: GatewayReference | None = Field(
        default=None,
        description="The JupyterGateway that serves the kernel; where absent, nobody connects.",
    )
    notebook_ref: NotebookReference | None = Field(
        default=None, description="The JupyterNotebook that the kernel was started from."
    )
    user: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Name of the user."
    )
    suspend: bool | None = Field(
        default=None,
        description="Give the resources back now, as if the kernel had been idle for too long: a "
        "running cell ends first. With ``reclaimPolicy: Hibernate`` it stays so until the next "
        "execution.",
    )
    keep_until: datetime | None = Field(
        default=None,
        description="Until when an idle kernel is kept, beyond what `cullIdleTimeout` says. It "
        "counts for at most `reclaim.maxExtensionSeconds` of the JupyterGateway, see "
        "`status.activity.keepLimit`; `suspend` wins.",
    )
    reclaim_policy: ReclaimPolicy | None = Field(
        default=None,
        description="What ``suspend`` does: ``Delete`` (default) deletes the JupyterKernel, and "
        "its variables are gone; ``Hibernate`` saves them first, and the JupyterKernel stays.",
    )
    snapshot: Snapshot | None = Field(
        default=None,
        description="What a suspended kernel's variables are, until they are in a kernel again. "
        "Its pod goes when the snapshot is of the pod's epoch.",
    )


class Queue(Model):
    """Place of a kernel among those that wait for the same GPU."""

    position: int = Field(description="Place, counted from 1.", json_schema_extra=INT32)
    length: int = Field(description="Number of waiting kernels.", json_schema_extra=INT32)
    reason: Message | None = Field(
        default=None, description="Why the first of them waits, in the scheduler's words."
    )


class Lost(Model):
    """A variable that did not come back."""

    name: Annotated[str, Field(max_length=128)] = Field(description="Its name.")
    type: Annotated[str, Field(max_length=128)] = Field(description="Its type.")
    reason: Annotated[str, Field(max_length=256)] = Field(description="Why it is gone.")


class Wake(Model):
    """What came back when the kernel woke, and what did not."""

    epoch: Annotated[int, Field(ge=1, le=MAX_EPOCH)] = Field(
        description="The pod that woke.", json_schema_extra=INT64
    )
    restored: Annotated[
        list[Annotated[str, Field(max_length=128)]], Field(max_length=MAX_WAKE_NAMES)
    ] = Field(description="Names that came back, the first 50.")
    lost: Annotated[list[Lost], Field(max_length=MAX_WAKE_NAMES)] = Field(
        description="What did not come back, the first 50."
    )
    restored_count: int = Field(
        description="Number of all that came back.", json_schema_extra=INT32
    )
    lost_count: int = Field(
        description="Number of all that did not come back.", json_schema_extra=INT32
    )


class Activity(Model):
    """What the gateway saw of the kernel. Written by the gateway alone."""

    last_activity: datetime | None = Field(
        default=None, description="End of the user's last execution, or the kernel's start."
    )
    reclaim_at: datetime | None = Field(
        default=None, description="When the kernel is stopped if nothing is executed until then."
    )
    busy: bool | None = Field(
        default=None, description="Whether a cell runs, as of the gateway's last look."
    )
    connected: bool | None = Field(
        default=None, description="Whether the gateway has a connection to the kernel."
    )
    warned_at: datetime | None = Field(
        default=None,
        description="Since when the reclaim is near, see `reclaim.warningSeconds` of the "
        "JupyterGateway; absent where it is not.",
    )
    keep_limit: datetime | None = Field(
        default=None,
        description="The latest moment to which `spec.keepUntil` can move the reclaim.",
    )
    left_running: Annotated[list[Message], Field(max_length=MAX_LEFT_RUNNING)] | None = Field(
        default=None,
        description="What cells have left running: threads, asyncio tasks, child processes, work "
        "on a GPU. The kernel was about to be reclaimed and is not idle.",
    )
    unsavable: Message | None = Field(
        default=None,
        description="Why the variables cannot be saved, where `reclaimPolicy: Hibernate` asks for "
        "it. What becomes of the kernel instead says `whenIdle`.",
    )
    save_failed: Message | None = Field(
        default=None,
        description="Why the variables could not be saved when the kernel was to give its "
        "resources back. It runs on and keeps them, and saving is tried again at `reclaimAt`.",
    )
    save_failed_at: datetime | None = Field(
        default=None, description="When saving was tried and failed, see `saveFailed`."
    )
    when_idle: WhenIdle | None = Field(
        default=None,
        description="What becomes of the kernel when it is idle for too long: ``Hibernate``, "
        "``Delete``, or ``Keep``: nothing.",
    )
    kernel_info: Json | None = Field(
        default=None,
        description="What the kernel said of itself, to be answered while it sleeps "
        "(kernel_info_reply of Jupyter's messaging protocol).",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    wake: Wake | None = Field(
        default=None, description="What came back with the last wake, and what did not."
    )


class KernelStatus(Model):
    """What is: written by the operator, except ``activity``, which is the gateway's."""

    phase: Phase | None = Field(
        default=None,
        description="Dormant, Queued, Pending, Running, Hibernating, Hibernated, Failed or "
        "Succeeded.",
    )
    pod_name: Name | None = Field(default=None, description="Name of the kernel's pod.")
    pod_ip: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, alias="podIP", description="Address of the kernel's pod, as soon as known."
    )
    epoch: Annotated[int, Field(ge=1, le=MAX_EPOCH)] | None = Field(
        default=None,
        description="Which pod of this kernel it is, counted from 1.",
        json_schema_extra=INT64,
    )
    queue: Queue | None = Field(
        default=None, description="Place in the queue for a GPU; absent where it does not wait."
    )
    conditions: Conditions | None = None
    start_time: datetime | None = Field(
        default=None, description="When the operator first saw the kernel."
    )
    running_since: datetime | None = Field(
        default=None, description="When the kernel first ran; stays after its end."
    )
    completion_time: datetime | None = Field(
        default=None, description="When the kernel ended, or gave its resources back."
    )
    last_reconcile_time: datetime | None = Field(
        default=None, description="When the operator last changed this status."
    )
    activity: Activity | None = Field(
        default=None, description="What the gateway saw of the kernel."
    )


class JupyterKernel(Resource):
    """A Jupyter kernel and its pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "size(self.metadata.name) <= 242",
                "metadata.name: its Secret is called <name>-connection, so it must have at most "
                "242 characters",
            )
        )
    )
    plural: ClassVar[str] = "jupyterkernels"
    short_names: ClassVar[tuple[str, ...]] = ("jk",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Phase", type="string", json_path=".status.phase"),
        Column(
            name="Reason",
            type="string",
            json_path='.status.conditions[?(@.type=="Running")].reason',
        ),
        Column(name="User", type="string", json_path=".spec.user"),
        Column(name="Gateway", type="string", json_path=".spec.gatewayRef.name"),
        Column(
            name="GPU",
            type="string",
            json_path=r".spec.template.spec.containers[0].resources.limits.nvidia\.com/gpu",
        ),
        Column(name="Place", type="integer", json_path=".status.queue.position"),
        Column(
            name="Idle for",
            type="date",
            json_path=".status.activity.lastActivity",
            description="Time since the user's last execution.",
        ),
        Column(name="Spec", type="string", json_path=".spec.kernelSpecName", priority=1),
        Column(name="Pod IP", type="string", json_path=".status.podIP", priority=1),
        Column(name="Epoch", type="integer", json_path=".status.epoch", priority=1),
        Column(
            name="Message",
            type="string",
            json_path='.status.conditions[?(@.type=="Running")].message',
            description="Why it does not run, or may not for long.",
            priority=1,
        ),
        AGE,
    )

    kind: Literal["JupyterKernel"] = "JupyterKernel"
    spec: KernelSpec
    status: KernelStatus | None = None
