"""What the commands show of a kernel: read from its object, or from what is left of it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.base import Condition
from elastic_jupyter.api.kernel import Activity, JupyterKernel, Phase, Queue, Wake, WhenIdle
from elastic_jupyter.gateway import sessions
from elastic_jupyter.gateway.sessions import KernelSession
from elastic_jupyter.policy import accelerators, kernel_status, notices, usage, wakes
from elastic_jupyter.policy.report import moment, timestamp
from elastic_jupyter.policy.usage import Usage

#: The phases of what has no object: a kernel that sleeps until its next cell.
RECLAIMED, STOPPED = "Reclaimed", "Stopped"
#: Which of them it is by what its tombstone says; anything else says why it could not be started.
_ASLEEP = {
    "": RECLAIMED,
    notices.RELEASED: RECLAIMED,
    notices.DELETED: STOPPED,
    notices.INTERRUPTED: STOPPED,
}
#: What ``to_json`` tells of times that go on.
_OF_THE_CLOCK = ("idleSeconds", "gpuHoursUsed", "gpuHoursGivenBack")
#: The phase of what no reconciler has looked at yet.
NEW = "New"


@dataclass(frozen=True)
class KernelView:
    """One kernel. Times are aware UTC.

    ``id`` is Jupyter's; of a kernel that was made by hand without one it is the object's name.
    ``gpus`` are what its pod or process asks for; ``usage`` has what it used and gave back until
    now. ``reason`` and ``message`` say why it is in its phase; ``since`` is when it came to it, as
    far as that is known. ``keep_limit`` is the latest moment to which ``keep_until`` can move
    ``reclaim_at``; ``left_running``, ``unsavable``, ``save_failed`` and ``when_idle`` are as the
    gateway said them (``status.activity``); ``wake`` is what came back when what runs woke.
    ``kernel`` is its object, None when it sleeps.
    """

    id: str
    name: str
    phase: str
    user: str
    notebook: str
    spec: str
    gpus: tuple[accelerators.Request, ...]
    usage: Usage
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    place: Queue | None = None
    busy: bool = False
    last_activity: datetime | None = None
    reclaim_at: datetime | None = None
    keep_until: datetime | None = None
    suspend: bool = False
    keep_limit: datetime | None = None
    left_running: tuple[str, ...] = ()
    unsavable: str = ""
    save_failed: str = ""
    when_idle: WhenIdle | None = None
    wake: Wake | None = None
    kernel: JupyterKernel | None = None


def of_kernel(kernel: JupyterKernel, *, now: datetime) -> KernelView:
    """Return the view of an object."""
    spec, status = kernel.spec, kernel.status
    activity = status.activity if status else None
    phase = status.phase if status else None
    name, annotations = kernel.metadata.name or "", kernel.metadata.annotations or {}
    condition = _condition(kernel)
    gpus = _gpus(spec.template)
    used = usage.usage_of(kernel)
    since = usage.running_since(kernel)
    if since is not None:
        ran = usage.after_run(used, gpus=usage.gpus(spec.template), since=since, until=now)
        used = Usage(ran.used, ran.given_back)
    runs = kernel_status.is_running(phase)
    of_run = activity if runs and activity else Activity()
    return KernelView(
        id=spec.kernel_id or name,
        name=name,
        phase=phase.value if phase else NEW,
        user=spec.user or "",
        notebook=_path(sessions.read(annotations.get(names.ANNOTATION_SESSIONS)))
        or (spec.notebook_ref.name if spec.notebook_ref else ""),
        spec=spec.kernel_spec_name or "",
        gpus=gpus,
        usage=_until(used, usage.gpus(spec.template), now),
        reason=(condition.reason if condition else None) or "",
        message=(condition.message if condition else None) or "",
        since=since or (status.completion_time or status.start_time if status else None),
        place=status.queue if status and phase is Phase.QUEUED else None,
        busy=bool(of_run.busy),
        last_activity=of_run.last_activity,
        reclaim_at=of_run.reclaim_at,
        keep_until=spec.keep_until,
        suspend=bool(spec.suspend),
        keep_limit=of_run.keep_limit,
        left_running=tuple(of_run.left_running or ()),
        unsavable=of_run.unsavable or "",
        save_failed=kernel_status.save_failed(kernel) if runs else "",
        when_idle=of_run.when_idle,
        wake=wakes.wake_of(kernel, epoch=status.epoch) if runs and status else None,
        kernel=kernel,
    )


def of_tombstone(kernel_id: str, tombstone: Mapping[str, Any], *, now: datetime) -> KernelView:
    """Return the view of a kernel of which there is no more than what is remembered.

    Raises ``KeyError``, ``TypeError`` or ``ValueError`` when it is something else.
    """
    used = usage.from_json(tombstone.get("usage"))
    template = tombstone["template"] or {}
    if not isinstance(template, Mapping):
        raise TypeError("template is no object")
    last = tombstone.get("lastExecution")
    paths = tuple(KernelSession.of(one) for one in tombstone["sessions"])
    reason = _text(tombstone["reason"])
    return KernelView(
        id=kernel_id,
        name=_text(tombstone["name"]),
        phase=RECLAIMED if notices.is_unsaved(reason) else _ASLEEP.get(reason, Phase.FAILED.value),
        user=_text(tombstone["user"]),
        notebook=_path(paths) or _text(tombstone["notebook"]["name"]),
        spec=_text(tombstone["spec"]),
        gpus=_gpus(template),
        usage=_until(used, usage.gpus(template), now),
        reason=reason,
        since=used.asleep_since or moment(tombstone["at"]),
        last_activity=moment(last) if last else None,
    )


def to_json(view: KernelView, *, now: datetime) -> dict[str, Any]:
    """Return what ``--output json`` prints: every key always, null for what is not known."""
    place = view.place
    idle = None if view.busy or view.last_activity is None else now - view.last_activity
    return {
        "id": view.id,
        "name": view.name,
        "phase": view.phase,
        "reason": view.reason or None,
        "message": view.message or None,
        "since": _time(view.since),
        "user": view.user or None,
        "notebook": view.notebook or None,
        "kernelSpec": view.spec or None,
        "gpus": {request.resource: request.amount for request in view.gpus},
        "queue": {"position": place.position, "length": place.length} if place else None,
        "busy": view.busy,
        "lastActivity": _time(view.last_activity),
        "idleSeconds": None if idle is None else round(idle.total_seconds()),
        "reclaimAt": _time(view.reclaim_at),
        "keepUntil": _time(view.keep_until),
        "suspend": view.suspend,
        "keepLimit": _time(view.keep_limit),
        "leftRunning": list(view.left_running),
        "unsavable": view.unsavable or None,
        "saveFailed": view.save_failed or None,
        "whenIdle": view.when_idle and view.when_idle.value,
        "restored": view.wake.restored if view.wake else [],
        "lost": [one.to_dict() for one in view.wake.lost] if view.wake else [],
        "gpuHoursUsed": _hours(view.usage.used),
        "gpuHoursGivenBack": _hours(view.usage.given_back),
    }


def without_clock(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``to_json`` says but for what changes with nothing but the time."""
    return {key: value for key, value in document.items() if key not in _OF_THE_CLOCK}


def short_ids(views: Iterable[KernelView]) -> dict[str, str]:
    """Return by id what is enough to name each kernel: eight characters, where that is one."""
    ids = [view.id for view in views]
    return {one: one[:8] if sum(o.startswith(one[:8]) for o in ids) == 1 else one for one in ids}


def _until(used: Usage, gpus: int, now: datetime) -> Usage:
    """Return the usage with the sleep that goes on."""
    return usage.after_sleep(used, gpus=gpus, until=now)


def _gpus(template: Mapping[str, Any]) -> tuple[accelerators.Request, ...]:
    spec = template.get("spec")
    return accelerators.requests(spec) if isinstance(spec, Mapping) else ()


def _text(word: Any) -> str:
    if not isinstance(word, str):
        raise TypeError(f"{word!r} is no text")
    return word


def _path(kept: sessions.Sessions) -> str:
    """Return the document that was opened last."""
    return next((session.path for session in reversed(kept) if session.path), "")


def _condition(kernel: JupyterKernel) -> Condition | None:
    """Return what says why the kernel is in its phase: how it ended, else why it runs or not."""
    said = (kernel.status.conditions if kernel.status else None) or []
    by_type = {one.type: one for one in said}
    for kind in ("Failed", "Succeeded"):
        if kind in by_type and by_type[kind].status == "True":
            return by_type[kind]
    return by_type.get("Running")


def _hours(span: timedelta) -> float:
    return round(span / timedelta(hours=1), 4)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
