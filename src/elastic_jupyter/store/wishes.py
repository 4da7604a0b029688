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

    Raises ``Conflict`` when the kernel's present incarnation is not of this ``epoch``, and where
    another gateway was faster: with a rest of this incarnation, which is not taken back, or with
    the removal of an older snapshot, which is not written again over what has run since.
    """
    present = kernel_status.epoch_of(kernel)
    if present != epoch:
        raise Conflict(
            f"JupyterKernel {kernel.metadata.name} has come to epoch {present}, not {epoch}"
        )
    named = kernel.spec.snapshot
    if snapshot is None:
        if kernel.spec.suspend and named is not None and named.epoch == epoch:
            raise Conflict(f"JupyterKernel {kernel.metadata.name} has been put to rest")
        return {"snapshot": None}
    older = snapshot.id is not None and not snapshot.id.startswith(f"{epoch}-")
    if older and (named is None or named.id != snapshot.id):
        raise Conflict(f"JupyterKernel {kernel.metadata.name} has its variables back")
    return {"suspend": True, "snapshot": {"id": None, **snapshot.to_dict()}}
