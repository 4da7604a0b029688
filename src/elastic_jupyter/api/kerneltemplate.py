"""JupyterKernelTemplate: the pod that a kernel spec becomes."""

from typing import ClassVar, Literal

from pydantic import Field

from elastic_jupyter.api.base import (
    AGE,
    READY,
    Column,
    Json,
    Model,
    Resource,
    Status,
)
from elastic_jupyter.api.embedded import POD_TEMPLATE


class KernelTemplateSpec(Model):
    """The pod."""

    template: Json = Field(
        description="Pod of the kernel (PodTemplateSpec). Its first container is the kernel's, and "
        "its restartPolicy is Never whatever is said here. Unknown keys of its metadata become "
        "labels.",
        json_schema_extra=POD_TEMPLATE,
    )


class JupyterKernelTemplate(Resource):
    """A pod template that JupyterKernelSpecs of this namespace refer to."""

    plural: ClassVar[str] = "jupyterkerneltemplates"
    short_names: ClassVar[tuple[str, ...]] = ("jkt",)
    columns: ClassVar[tuple[Column, ...]] = (
        READY,
        Column(name="Image", type="string", json_path=".spec.template.spec.containers[0].image"),
        Column(
            name="GPU",
            type="string",
            json_path=r".spec.template.spec.containers[0].resources.limits.nvidia\.com/gpu",
        ),
        AGE,
    )

    kind: Literal["JupyterKernelTemplate"] = "JupyterKernelTemplate"
    spec: KernelTemplateSpec
    status: Status | None = None
