"""JupyterKernelSpec: what a user picks in the launcher."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from elastic_jupyter.api.base import (
    AGE,
    INT32,
    READY,
    REASON,
    Column,
    Json,
    Model,
    ObjectReference,
    Resource,
    Status,
)
from elastic_jupyter.api.embedded import ENV_VAR, RESOURCES
from elastic_jupyter.api.reclaim import ReclaimOfSpec

Argument = Annotated[str, Field(max_length=4096)]


class KernelSpecSpec(Model):
    """What the kernel is and which pod it gets."""

    language: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Programming language; default ``python``."
    )
    display_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Name in the launcher; default: the name of the object."
    )
    image: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None,
        description="Image of the kernel; wins over the template's. Kernel images of Enterprise "
        "Gateway are replaced by the operator's.",
    )
    env: Annotated[list[Json], Field(max_length=256)] | None = Field(
        default=None,
        description="Environment variables of the kernel (EnvVar); win over the template's.",
        json_schema_extra={"items": ENV_VAR},
    )
    command: Annotated[list[Argument], Field(max_length=256)] | None = Field(
        default=None,
        description="Arguments that start the kernel, with ``{connection_file}`` for the path of "
        "its connection file; default ``python -m ipykernel_launcher -f {connection_file}``. A "
        "command of Enterprise Gateway's launchers is ignored, see the condition CommandIgnored.",
    )
    class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None,
        description="Accepted and without effect: it named the process proxy class of Enterprise "
        "Gateway, and every kernel is a JupyterKernel here.",
    )
    template: ObjectReference | None = Field(
        default=None,
        description="The JupyterKernelTemplate that gives the pod, in this namespace.",
    )
    resources: Json | None = Field(
        default=None,
        description="Compute resources of the kernel (ResourceRequirements), for example a limit "
        "of nvidia.com/gpu: 1; win over the template's.",
        json_schema_extra=RESOURCES,
    )
    debugger: bool | None = Field(
        default=None,
        description="Whether JupyterLab offers its debugger; default: where ``command`` is of "
        "ipykernel, which has one.",
    )
    cull_idle_timeout: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = Field(
        default=None,
        description="Seconds without an execution after which a kernel of this spec is stopped and "
        "its GPU given back; wins over the gateway's, also for kernels that run; 0 or less: never.",
        json_schema_extra=INT32,
    )
    reclaim: ReclaimOfSpec | None = Field(
        default=None,
        description="What becomes of a kernel of this spec that is idle for too long.",
    )


class JupyterKernelSpec(Resource):
    """A kind of kernel that gateways of this namespace offer."""

    plural: ClassVar[str] = "jupyterkernelspecs"
    short_names: ClassVar[tuple[str, ...]] = ("jks",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Display name", type="string", json_path=".spec.displayName"),
        READY,
        REASON,
        Column(name="Template", type="string", json_path=".spec.template.name"),
        Column(name="Image", type="string", json_path=".spec.image", priority=1),
        AGE,
    )

    kind: Literal["JupyterKernelSpec"] = "JupyterKernelSpec"
    spec: KernelSpecSpec = Field(default_factory=KernelSpecSpec)
    status: Status | None = None
