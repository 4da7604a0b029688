"""JupyterGateway: serves the kernels of a team's notebooks."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from elastic_jupyter.api.base import (
    AGE,
    INT32,
    INT64,
    NAME_OF_A_SERVICE,
    READY,
    REASON,
    Column,
    Json,
    Model,
    Name,
    Resource,
    Status,
    rules,
)
from elastic_jupyter.api.embedded import POD_TEMPLATE, RESOURCES
from elastic_jupyter.api.reclaim import Reclaim
from elastic_jupyter.api.volume import QUANTITY, AccessMode

#: Seconds a kernel may be idle where ``cullIdleTimeout`` is absent.
DEFAULT_CULL_IDLE_TIMEOUT = 3600
#: Seconds between two looks at idle kernels where ``cullInterval`` is absent.
DEFAULT_CULL_INTERVAL = 10
#: Seconds in the phase Pending where ``launchTimeoutSeconds`` is absent.
DEFAULT_LAUNCH_TIMEOUT = 600
#: Size of the claim for snapshots where ``snapshot.size`` is absent.
DEFAULT_SNAPSHOT_SIZE = "10Gi"


#: Name of a kernel spec, as Jupyter allows it: the built-in ones of Enterprise Gateway have
#: underscores, and capitals.
KernelName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._-]+$")]


class From(StrEnum):
    """The namespaces whose notebooks a gateway serves."""

    ALL = "All"
    SAME = "Same"
    SELECTOR = "Selector"


class SelectorOperator(StrEnum):
    """How a label and the values of a requirement relate."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(Model):
    """One thing that must hold of the labels."""

    key: Annotated[str, Field(max_length=317, description="Name of the label.")]
    operator: SelectorOperator = Field(
        description="How label and values relate: In, NotIn, Exists or DoesNotExist."
    )
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] | None = (
        Field(default=None, description="Values of In and NotIn.")
    )


class LabelSelector(Model):
    """Selects by labels; all of it must hold, and what is empty selects everything."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        default=None,
        description="Labels and the values that they must have.",
        json_schema_extra={"maxProperties": 64},
    )
    match_expressions: Annotated[list[LabelSelectorRequirement], Field(max_length=64)] | None = (
        Field(default=None, description="What must hold of the labels.")
    )


class AllowedNamespaces(Model):
    """Where the notebooks are that a gateway serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "(self.from == 'Selector') == has(self.selector)",
                    "message": "spec.allowedNamespaces.selector is needed with from: Selector, and "
                    "with that alone",
                }
            ]
        }
    )

    from_: From = Field(
        alias="from",
        description="``All``; ``Same``: the gateway's own namespace only; ``Selector``: its own "
        "and those whose labels ``selector`` selects.",
    )
    selector: LabelSelector | None = Field(
        default=None, description="Labels of the namespaces, with ``from: Selector``."
    )


EnvName = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Start(StrEnum):
    """When a kernel that is opened asks for its resources."""

    ON_CREATE = "OnCreate"
    ON_FIRST_EXECUTE = "OnFirstExecute"


class SnapshotStorage(Model):
    """Where the variables of kernels are saved that sleep."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.store) || (!has(self.size) && !has(self.className) && "
                "!has(self.accessMode))",
                "spec.snapshot.size, className and accessMode are of a claim that is made, not of "
                "spec.snapshot.store",
            ),
            *(
                (
                    f"!has(self.{field}) || !has(oldSelf.{field}) || "
                    f"self.{field} == oldSelf.{field}",
                    f"spec.snapshot.{field} cannot change once the claim is made",
                )
                for field in ("size", "className", "accessMode")
            ),
        )
    )

    store: Annotated[str, Field(max_length=1024, pattern=r"^s3://[^/]+(/.*)?$")] | None = Field(
        default=None,
        description="URL of a bucket, ``s3://bucket/prefix``, below which each gateway has a "
        "folder; its credentials come with environment variables of ``spec.template``. Default: "
        "the PersistentVolumeClaim ``<gateway>-snapshots``, which is made, and deleted with the "
        "gateway.",
    )
    max_bytes: Annotated[int, Field(ge=1, le=2**53)] | None = Field(
        default=None,
        description="The most that the saved variables of one kernel may have, compressed; a "
        "kernel that has more runs on. Default: no limit but the store's.",
        json_schema_extra=INT64,
    )
    size: Annotated[str, Field(pattern=QUANTITY, max_length=32)] | None = Field(
        default=None, description=f"Size of the claim; default {DEFAULT_SNAPSHOT_SIZE}."
    )
    class_name: Name | None = Field(
        default=None, description="StorageClass of the claim; default: the cluster's."
    )
    access_mode: AccessMode | None = Field(
        default=None,
        description="ReadWriteOnce (default) or ReadWriteMany, with which the gateway's next pod "
        "may be on another node than the one before.",
    )


class LogLevel(StrEnum):
    """How much the gateway logs."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class GatewaySpec(Model):
    """What a team wants of its gateway."""

    kernels: Annotated[list[KernelName], Field(max_length=256)] | None = Field(
        default=None,
        description="Names of the JupyterKernelSpecs on offer; where absent or empty, all of this "
        "namespace and the built-in ``python3``. The condition KernelsMissing names those that do "
        "not exist.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    default_kernel: KernelName | None = Field(
        default=None,
        description="Name of the kernel spec that is started where none is asked for; where absent "
        "or not on offer: ``python3``, else the first of ``kernels``.",
    )
    cull_idle_timeout: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = Field(
        default=None,
        description="Seconds without an execution after which a kernel is stopped and its GPU "
        f"given back, whatever tabs are open; default {DEFAULT_CULL_IDLE_TIMEOUT}; 0 or less: "
        "never.",
        json_schema_extra=INT32,
    )
    cull_interval: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None,
        description=f"Seconds between two looks for idle kernels; default {DEFAULT_CULL_INTERVAL}. "
        "For kernels that are never stopped say so with ``cullIdleTimeout: 0``.",
        json_schema_extra=INT32,
    )
    log_level: LogLevel | None = Field(
        default=None, description="Least level of the gateway's log messages; default INFO."
    )
    resources: Json | None = Field(
        default=None,
        description="Compute resources of the gateway's container (ResourceRequirements); default: "
        "a request of 50m of CPU, so that kernels that start do not hold up other users.",
        json_schema_extra=RESOURCES,
    )
    image: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None,
        description="Image of the gateway; default: the operator's. Images of Enterprise Gateway "
        "are replaced by the operator's, see the condition ImageReplaced.",
    )
    template: Json | None = Field(
        default=None,
        description="What the gateway's pods have beside what the operator gives them "
        "(PodTemplateSpec): labels, annotations, nodeSelector, tolerations, affinity, "
        "imagePullSecrets, more volumes and containers. Its first container is the gateway's; "
        "``image`` and ``resources`` above and the operator's own environment variables win over "
        "it.",
        json_schema_extra=POD_TEMPLATE,
    )
    cluster_role: Name | None = Field(
        default=None,
        description="Name of a ClusterRole that the gateway's ServiceAccount is bound to in this "
        "namespace, beside its own Role. Only what the operator's allow-list names is bound, see "
        "the condition ClusterRoleBound.",
    )
    allowed_env: Annotated[list[EnvName], Field(max_length=64)] | None = Field(
        default=None,
        description="Names of environment variables that a notebook server hands on to its "
        "kernels, beside ``KERNEL_*``. Whoever writes to the notebook sets them, so think before "
        "you allow a name like LD_PRELOAD.",
    )
    allowed_namespaces: AllowedNamespaces | None = Field(
        default=None,
        description="Namespaces whose JupyterNotebooks may use this gateway. Who may create one "
        "there runs code in this namespace, within its quota and with what its kernel templates "
        "hold. Default: all, as the original.",
    )
    launch_timeout_seconds: Annotated[int, Field(ge=1, le=86400)] | None = Field(
        default=None,
        description="Seconds that a kernel may be Pending: from its wish, or its turn in the queue "
        "where it asks for a GPU, to its first answer, pulling its image included; default "
        f"{DEFAULT_LAUNCH_TIMEOUT}.",
        json_schema_extra=INT32,
    )
    queue_timeout_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None,
        description="Seconds that a kernel may wait in the queue for a GPU; default and 0: no "
        "limit.",
        json_schema_extra=INT32,
    )
    reclaim: Reclaim | None = Field(
        default=None, description="What becomes of a kernel that is idle for too long."
    )
    start: Start | None = Field(
        default=None,
        description="``OnCreate`` (default): a kernel asks for its pod when it is opened; "
        "``OnFirstExecute``: with the first execution.",
    )
    snapshot: SnapshotStorage | None = Field(
        default=None,
        description="Where variables are saved, with ``reclaim.policy: Hibernate`` here or in a "
        "JupyterKernelSpec.",
    )


class KernelCounts(Model):
    """Number of kernels of the gateway in each phase."""

    queued: int = Field(default=0, description="Kernels that wait for a GPU.")
    pending: int = Field(default=0, description="Kernels whose pod is being started.")
    running: int = Field(default=0, description="Kernels whose container runs.")
    asleep: int = Field(
        default=0, description="Kernels without a pod until something is executed in them."
    )
    failed: int = Field(default=0, description="Kernels that ended.")


class GatewayStatus(Status):
    """What is: the status of the gateway's Deployment, and ours."""

    replicas: int | None = Field(
        default=None, description="Number of gateway pods.", json_schema_extra=INT32
    )
    updated_replicas: int | None = Field(
        default=None,
        description="Number of gateway pods of the present spec.",
        json_schema_extra=INT32,
    )
    ready_replicas: int | None = Field(
        default=None, description="Number of gateway pods that answer.", json_schema_extra=INT32
    )
    available_replicas: int | None = Field(
        default=None,
        description="Number of gateway pods that answer for long enough.",
        json_schema_extra=INT32,
    )
    unavailable_replicas: int | None = Field(
        default=None, description="Number of gateway pods still to come.", json_schema_extra=INT32
    )
    collision_count: int | None = Field(
        default=None,
        description="Count of hash collisions of the Deployment.",
        json_schema_extra=INT32,
    )
    kernels: KernelCounts | None = Field(
        default=None, description="Number of kernels in each phase."
    )


class JupyterGateway(Resource):
    """Serves Jupyter kernels to notebooks; each kernel is a JupyterKernel in this namespace."""

    model_config = ConfigDict(json_schema_extra=rules(NAME_OF_A_SERVICE))
    plural: ClassVar[str] = "jupytergateways"
    short_names: ClassVar[tuple[str, ...]] = ("jgw",)
    columns: ClassVar[tuple[Column, ...]] = (
        READY,
        REASON,
        Column(name="Running", type="integer", json_path=".status.kernels.running"),
        Column(name="Queued", type="integer", json_path=".status.kernels.queued"),
        Column(
            name="Idle limit",
            type="integer",
            json_path=".spec.cullIdleTimeout",
            description="Seconds; empty: 3600.",
        ),
        AGE,
    )

    kind: Literal["JupyterGateway"] = "JupyterGateway"
    spec: GatewaySpec = Field(default_factory=GatewaySpec)
    status: GatewayStatus | None = None
