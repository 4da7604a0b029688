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


def snapshot_patch(kernel: JupyterKernel, snapshot: Snapshot | None, *, epoch: int) -> Json:
    """Return the merge patch of ``spec`` that writes a snapshot, None: removes it.

    Raises ``Conflict`` when the kernel's present incarnation is not of this ``epoch``.
    """
    present = kernel_status.epoch_of(kernel)
    if present != epoch:
        raise Conflict(
            f"JupyterKernel {kernel.metadata.name} has come to epoch {present}, not {epoch}"
        )
    if snapshot is None:
        return {"snapshot": None}
    return {"suspend": True, "snapshot": {"id": None, **snapshot.to_dict()}}
