"""When and how idle kernels give their resources back: of gateways, and of kernel specs."""

from typing import Annotated

from pydantic import Field

from elastic_jupyter.api.base import INT32, Model
from elastic_jupyter.api.kernel import Fallback, ReclaimPolicy

#: Seconds between the warning and the reclaim where ``warningSeconds`` is absent.
DEFAULT_WARNING = 60
#: Seconds where ``maxExtensionSeconds`` is absent.
DEFAULT_MAX_EXTENSION = 4 * 3600


class ReclaimOfSpec(Model):
    """What becomes of a kernel of this spec that is idle for too long; wins over the gateway's."""

    policy: ReclaimPolicy | None = Field(
        default=None,
        description="``Delete``: the kernel ends, and its variables are gone. ``Hibernate``: its "
        "variables are saved, its pod goes, and the next execution in an open notebook finds them "
        "in a new pod; this needs ``elastic-jupyter-agent`` in the kernel's image, and "
        "``spec.snapshot`` or ``reclaim.policy: Hibernate`` in its JupyterGateway. Default: the "
        "gateway's. Kernels keep the policy that they were made with until a restart.",
    )
    fallback: Fallback | None = Field(
        default=None,
        description="What becomes of a kernel that should hibernate and never can: one of another "
        "language, or without the agent. ``Delete``: it ends, and its variables are gone; "
        "``Keep``: it is not reclaimed however long it is idle. Its user reads it as soon as it is "
        "known. Default: the gateway's.",
    )


class Reclaim(Model):
    """What becomes of a kernel that is idle for too long."""

    policy: ReclaimPolicy | None = Field(
        default=None,
        description="``Delete`` (default): the kernel ends, and its variables are gone. "
        "``Hibernate``: its variables are saved, its pod goes, and the next execution in an open "
        "notebook finds them in a new pod; this needs ``elastic-jupyter-agent`` in the kernel's "
        "image, see ``fallback``. Kernels keep the policy that they were made with until a "
        "restart.",
    )
    fallback: Fallback | None = Field(
        default=None,
        description="What becomes of a kernel that should hibernate and never can: one of another "
        "language, or without the agent. ``Delete`` (default): it ends, and its variables are "
        "gone; ``Keep``: it is not reclaimed however long it is idle. Its user reads it as soon as "
        "it is known.",
    )
    warning_seconds: Annotated[int, Field(ge=0, le=86400)] | None = Field(
        default=None,
        description="Seconds before its reclaim at which a kernel gets the condition and the Event "
        "ReclaimSoon, at most half of its idle time; default "
        f"{DEFAULT_WARNING}; 0: no warning.",
        json_schema_extra=INT32,
    )
    max_extension_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None,
        description="Seconds that ``keepUntil`` of a JupyterKernel, and so ``elastic-jupyter "
        "extend``, can keep it at most beyond its idle time; default "
        f"{DEFAULT_MAX_EXTENSION}; 0: not at all.",
        json_schema_extra=INT32,
    )
