"""What may change in the ``spec`` of a JupyterKernel, as the API's JSON."""

from datetime import datetime

from elastic_jupyter.api.base import Json
from elastic_jupyter.api.kernel import JupyterKernel, Snapshot
from elastic_jupyter.errors import Conflict
from elastic_jupyter.policy import kernel_status
from elastic_jupyter.policy.report import timestamp


def spec_patch(*, suspend: bool | None, keep_until: datetime | None) -> Json:
    """Return the merge patch of ``spec``; what is None stays as it is."""
    given = {"suspend": suspend, "keepUntil": keep_until and timestamp(keep_until)}
    return {name: value for name, value in given.items() if value is not None}


def snapshot_patch(
    kernel: JupyterKernel, snapshot: Snapshot | None, *, epoch: int, version: str | None
) -> Json:
    """Return the merge patch of ``spec`` that writes a snapshot, None: removes it.

    Raises ``Conflict`` when the kernel's present incarnation is not of this ``epoch``, when it is
    not of this ``version`` (None: any), and instead of taking back that this incarnation has been
    put to rest.
    """
    known = kernel.metadata.resource_version
    if version not in (None, known):
        raise Conflict(
            f"JupyterKernel {kernel.metadata.name} was changed: it has version {known}, "
            f"not {version}"
        )
    present = kernel_status.epoch_of(kernel)
    if present != epoch:
        raise Conflict(
            f"JupyterKernel {kernel.metadata.name} has come to epoch {present}, not {epoch}"
        )
    if snapshot is None:
        named = kernel.spec.snapshot
        if kernel.spec.suspend and named is not None and named.epoch == epoch:
            raise Conflict(f"JupyterKernel {kernel.metadata.name} has been put to rest")
        return {"snapshot": None}
    return {"suspend": True, "snapshot": {"id": None, **snapshot.to_dict()}}
