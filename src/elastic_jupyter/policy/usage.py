"""GPU time of one kernel: what it used while it ran, and gave back while it slept.

An hour of two GPUs is two hours. What counts as a GPU is any accelerator (``accelerators.py``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from elastic_jupyter import untrusted_json
from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.policy import accelerators, lifecycle
from elastic_jupyter.policy.report import moment

_NONE = timedelta(0)
#: More than any kernel has, and far from what a timedelta can hold.
_MOST = timedelta(days=1_000_000)


@dataclass(frozen=True)
class Usage:
    """GPU time of all incarnations but the one that runs.

    ``asleep_since`` (aware UTC) is None while the kernel runs or is asked for.
    """

    used: timedelta = _NONE
    given_back: timedelta = _NONE
    asleep_since: datetime | None = None


NOTHING = Usage()


def gpus(template: Mapping[str, Any] | None) -> int:
    """Return how many accelerators a pod of this PodTemplateSpec holds."""
    spec = (template or {}).get("spec")
    requests = accelerators.requests(spec) if isinstance(spec, Mapping) else ()
    return sum(request.amount for request in requests)


def after_run(usage: Usage, *, gpus: int, since: datetime | None, until: datetime) -> Usage:
    """Return the usage once the incarnation that ran ``since`` (None: never) has ended.

    Nothing changes when that was said already.
    """
    if usage.asleep_since is not None:
        return usage
    ran = _NONE if since is None else max(until - since, _NONE)
    return replace(usage, used=usage.used + gpus * ran, asleep_since=until)


def after_sleep(usage: Usage, *, gpus: int, until: datetime) -> Usage:
    """Return the usage once the kernel is asked for again. What never ran gave nothing back."""
    slept = _NONE
    if usage.asleep_since is not None and usage.used:
        slept = max(until - usage.asleep_since, _NONE)
    return Usage(usage.used, usage.given_back + gpus * slept)


def running_since(kernel: JupyterKernel) -> datetime | None:
    """Return since when the kernel's container runs; None: it does not."""
    runs = kernel.status is not None and kernel.status.phase in lifecycle.RUNNING
    return ran_since(kernel) if runs else None


def ran_since(kernel: JupyterKernel) -> datetime | None:
    """Return since when the kernel's container runs, or ran before its end; None: it never did."""
    status = kernel.status
    if status is None:
        return None
    if status.running_since is not None:
        return status.running_since
    for condition in status.conditions or []:
        if condition.type == "Running" and condition.status == "True":
            return condition.last_transition_time
    return None


def usage_of(kernel: JupyterKernel) -> Usage:
    """Return what the gateway noted on the object."""
    text = (kernel.metadata.annotations or {}).get(names.ANNOTATION_GPU_USAGE)
    try:
        with untrusted_json.reading():
            return from_json(json.loads(text or "{}"))
    except ValueError:  # anybody may write an annotation
        return NOTHING


def annotation(usage: Usage) -> str:
    """Return what ``usage_of`` reads."""
    return json.dumps(to_json(usage))


def to_json(usage: Usage) -> dict[str, Any]:
    """Return the usage with its times in seconds."""
    asleep = usage.asleep_since
    return {
        "used": usage.used.total_seconds(),
        "givenBack": usage.given_back.total_seconds(),
        **({"asleepSince": asleep.isoformat()} if asleep else {}),
    }


def from_json(said: Any) -> Usage:
    """Read back what ``to_json`` returned. Anything else counts for nothing."""
    try:
        asleep = said.get("asleepSince")
        return Usage(
            used=_seconds(said.get("used", 0)),
            given_back=_seconds(said.get("givenBack", 0)),
            asleep_since=None if asleep is None else moment(asleep),
        )
    except (AttributeError, TypeError, ValueError, OverflowError):
        return NOTHING


def _seconds(value: float) -> timedelta:
    span = timedelta(seconds=value)
    if not _NONE <= span <= _MOST:
        raise ValueError("negative, or more than there is")
    return span
