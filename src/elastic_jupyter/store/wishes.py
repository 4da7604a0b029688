"""What may change in the ``spec`` of a JupyterKernel, as the API's JSON."""

from datetime import datetime

from elastic_jupyter.api.base import Json
from elastic_jupyter.policy.report import timestamp


def spec_patch(*, suspend: bool | None, keep_until: datetime | None) -> Json:
    """Return the merge patch of ``spec``; what is None stays as it is."""
    given = {"suspend": suspend, "keepUntil": keep_until and timestamp(keep_until)}
    return {name: value for name, value in given.items() if value is not None}
