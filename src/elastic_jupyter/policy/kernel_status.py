"""The status of a JupyterKernel, from what was decided and seen. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import MAX_EPOCH, JupyterKernel, Phase, ReclaimPolicy, WhenIdle
from elastic_jupyter.policy import lifecycle, notices, wakes
from elastic_jupyter.policy.images import Choice
from elastic_jupyter.policy.lifecycle import STALL_PATIENCE, Sight, Sighting, Verdict, Wanted
from elastic_jupyter.policy.queue import GATE_REFUSED, UNHEARD, Place
from elastic_jupyter.policy.report import (
    IMAGE_REPLACED,
    Condition,
    Event,
    conditions,
    image_replaced,
    merge_patch,
    timestamp,
)
from elastic_jupyter.policy.usage import ran_since

#: What is said of a kernel that rests.
_RESTS = {
    Phase.DORMANT: notices.DORMANT,
    Phase.HIBERNATED: notices.HIBERNATED,
}
STARTED = "Started"
STALLED = "Stalled"
RECLAIM_SOON = "ReclaimSoon"
SAVABLE = "Savable"
SAVE_FAILED = "SaveFailed"
_INSTEAD = {WhenIdle.DELETE: "DeleteInstead", WhenIdle.KEEP: "KeepInstead"}
RESTORED = "Restored"
_EVENTS = {SAVE_FAILED: SAVE_FAILED}


@dataclass(frozen=True)
class Told:
    """What one pass has to say of a kernel. ``pod_made``: this epoch's pod exists or existed."""

    phase: Phase
    epoch: int
    pod_made: bool
    seen: Sighting
    place: Place | None = None
    image: Choice | None = None


def patch(kernel: JupyterKernel, told: Told, *, now: datetime) -> dict[str, Any]:
    """Return the merge patch of the status; empty: it says all that already.

    A field that is None is removed. ``activity`` is the gateway's and never touched.
    """
    old = kernel.status.to_dict() if kernel.status else {}
    resting = is_resting(told.phase)
    if _is_told(old, told) if resting else old.get("phase") in lifecycle.ENDED:
        return {}  # the end is written once
    wakes = is_resting(_phase(kernel)) and not resting
    kept = {} if wakes else old  # what was said of the epoch before is not true of the next
    said = conditions(
        old.get("conditions") or (),
        [*_conditions(kernel, told), *_outlook(kernel, told)],
        now=now,
        generation=kernel.metadata.generation,
    )
    new: dict[str, Any] = {
        "phase": told.phase.value,
        # What never had a pod has no epoch yet.
        "epoch": told.epoch if told.pod_made or not resting else old.get("epoch"),
        "podName": kernel.metadata.name if told.pod_made and not resting else None,
        "podIP": None if resting else told.seen.ip or kept.get("podIP"),
        "queue": _queue(told),
        "conditions": said,
        "startTime": old.get("startTime") or timestamp(now),
        "runningSince": kept.get("runningSince") or _began(kept.get("conditions")) or _began(said),
        "completionTime": timestamp(now) if over(told.phase) else None,
    }
    difference = merge_patch(old, new)
    return {**difference, "lastReconcileTime": timestamp(now)} if difference else {}


def _is_told(old: Mapping[str, Any], told: Told) -> bool:
    """Say whether the status says of a rest what there is to say.

    It does not of a wake that was taken back before it was told, and whose epoch is used.
    """
    new = told.pod_made and told.epoch > (old.get("epoch") or 0)
    return old.get("phase") == told.phase and not new


def _began(said: Iterable[Mapping[str, Any]] | None) -> str | None:
    """Return since when the conditions say that it runs; None: they do not."""
    for one in said or ():
        if one["type"] == "Running" and one["status"] == "True":
            return one.get("lastTransitionTime")
    return None


def verdict(kernel: JupyterKernel, sight: Sight) -> Verdict:
    """Return what follows for a kernel from what is seen of its present incarnation."""
    return lifecycle.decide(_phase(kernel), sight, wanted(kernel, sight))


def wanted(kernel: JupyterKernel, sight: Sight) -> Wanted:
    """Return what ``spec`` wants of the present incarnation, of which ``sight`` is seen.

    Without a snapshot of this very epoch only that goes which was not made: so nobody loses
    variables by a ``suspend``. One that has ended stays so, with its reason.
    """
    spec = kernel.spec
    if not spec.suspend:
        return Wanted.RUN
    saved = spec.snapshot is not None and spec.snapshot.epoch == epoch_of(kernel)
    phase = _phase(kernel)
    unmade = sight is Sight.NEVER_MADE and (phase is None or not is_ended(phase))
    if saved or unmade or is_resting(phase):
        return Wanted.REST_SAVED if spec.snapshot and spec.snapshot.id else Wanted.REST
    activity = kernel.status.activity if kernel.status else None
    savable = activity is None or activity.unsavable is None
    hibernates = savable and spec.reclaim_policy is ReclaimPolicy.HIBERNATE
    return Wanted.SAVE if hibernates else Wanted.RUN


def epoch_of(kernel: JupyterKernel) -> int:
    """Return which incarnation of a kernel is wanted or runs, counted from 1.

    What rests and is wanted again is the next one.
    """
    if kernel.status and kernel.status.epoch:
        wakes = is_resting(kernel.status.phase) and not kernel.spec.suspend
        return min(kernel.status.epoch + wakes, MAX_EPOCH)
    last = (kernel.metadata.annotations or {}).get(names.ANNOTATION_LAST_EPOCH, "")
    # Anybody may write the annotation; int() takes no more than some thousand digits.
    if not last.isdecimal() or len(last) > len(str(MAX_EPOCH)):
        return 1
    return min(int(last) + 1, MAX_EPOCH)


def is_ended(phase: Phase) -> bool:
    """Say whether a phase is an end."""
    return phase in lifecycle.ENDED


def is_running(phase: Phase | None) -> bool:
    """Say whether cells can run in the incarnation in this phase."""
    return phase in lifecycle.RUNNING


def is_resting(phase: Phase | None) -> bool:
    """Say whether nothing runs, and the next execution asks for it."""
    return phase in lifecycle.RESTING


def over(phase: Phase) -> bool:
    """Say whether nothing is left of the incarnation in this phase."""
    return is_ended(phase) or is_resting(phase)


def _phase(kernel: JupyterKernel) -> Phase | None:
    return kernel.status.phase if kernel.status else None


def stalled_since(kernel: JupyterKernel) -> datetime | None:
    """Return since when a container of the kernel cannot be started; None: it was not told yet."""
    for condition in (kernel.status and kernel.status.conditions) or []:
        if condition.type == STALLED:
            return condition.last_transition_time
    return None


def given_up(seen: Sighting) -> Sighting:
    """Return the end of a kernel that was stalled for too long."""
    waited = f"given up after {notices.duration(STALL_PATIENCE)}"
    return replace(seen, sight=Sight.FAILED, message=f"{seen.message} ({waited})".lstrip())


def _queue(told: Told) -> Mapping[str, Any] | None:
    if told.phase is not Phase.QUEUED or told.place is None:
        return None
    place = told.place
    # None removes an older reason: a merge patch would keep it.
    return {
        "position": place.position,
        "length": place.length,
        "reason": place.reason or None,
    }


def _conditions(kernel: JupyterKernel, told: Told) -> list[Condition]:
    said = [_running(told)]
    if told.seen.sight is Sight.STALLED and not is_resting(told.phase):
        said.append(Condition(STALLED, True, told.seen.reason, told.seen.message))
    if told.phase is Phase.FAILED:
        said.append(Condition("Failed", True, told.seen.reason, told.seen.message))
    if told.phase is Phase.SUCCEEDED:
        said.append(Condition("Succeeded", True, told.seen.reason, told.seen.message))
    said += _not_restored(kernel, told)
    if told.image and told.image.replaced:
        said.append(image_replaced(told.image))
    return said


def _outlook(kernel: JupyterKernel, told: Told) -> list[Condition]:
    """Return what the gateway says will become of a kernel that has run for a while.

    What it said of the incarnation before is still there when the next one begins.
    """
    status = kernel.status
    activity = status.activity if status else None
    if status is None or activity is None:
        return []
    if not (is_running(told.phase) and is_running(status.phase)):
        return []
    said = []
    began, warned = status.running_since, activity.warned_at
    failed = save_failed(kernel)
    if failed:
        text = notices.save_again(failed, activity.reclaim_at)
        said.append(Condition(SAVABLE, False, SAVE_FAILED, text))
    if {told.phase, status.phase} != {Phase.RUNNING}:
        return said
    if activity.unsavable is not None and activity.when_idle in _INSTEAD:
        text = f"{activity.unsavable}: {notices.INSTEAD[activity.when_idle]}"
        said.append(Condition(SAVABLE, False, _INSTEAD[activity.when_idle], text))
    if activity.reclaim_at is not None and began is not None and warned and warned >= began:
        kernel_id = kernel.spec.kernel_id or kernel.metadata.name or ""
        text = notices.reclaimed_soon(kernel_id, activity.reclaim_at)
        said.append(Condition(RECLAIM_SOON, True, "IdleTimeout", text))
    return said


def save_failed(kernel: JupyterKernel) -> str:
    """Return why the variables of what runs could not be saved; empty: that was not tried."""
    activity = kernel.status.activity if kernel.status else None
    began = ran_since(kernel)
    if activity is None or activity.save_failed_at is None or began is None:
        return ""
    return (activity.save_failed or "") if activity.save_failed_at >= began else ""


def _not_restored(kernel: JupyterKernel, told: Told) -> list[Condition]:
    wake = wakes.wake_of(kernel, epoch=told.epoch)
    if wake is None or not wake.lost or is_resting(told.phase):
        return []
    return [Condition(RESTORED, False, "NotRestored", f"{wakes.gone(wake)}.")]


def _running(told: Told) -> Condition:
    if is_resting(told.phase):
        return Condition("Running", False, told.phase.value, _RESTS[told.phase])
    if told.phase is Phase.HIBERNATING and not told.seen.reason:
        return Condition("Running", True, told.phase.value)
    if is_running(told.phase):
        return Condition("Running", True, told.seen.reason or STARTED, told.seen.message)
    if told.phase is Phase.QUEUED and told.place:
        place = told.place
        where = f"{notices.place(place.position, place.length)} in the queue"
        text = f"{where}; {place.reason}" if place.reason else where
        return Condition("Running", False, "Queued", text)
    return Condition("Running", False, told.seen.reason, told.seen.message)


def events(kernel: JupyterKernel, told: Told) -> list[Event]:
    """Return what is worth an Event in the step from the old status to what is told."""
    old = kernel.status.phase if kernel.status else None
    known = {one.type: one for one in (kernel.status and kernel.status.conditions) or []}
    seen = told.seen
    found: list[Event] = []
    if is_resting(told.phase):
        if told.phase is Phase.HIBERNATED and old is not told.phase:
            found.append(Event("Normal", "Hibernated", _RESTS[told.phase]))
    elif told.phase is Phase.FAILED and old is not Phase.FAILED:
        found.append(Event("Warning", seen.reason, seen.message))
    elif told.phase is Phase.QUEUED and old is not Phase.QUEUED and told.place:
        reason = told.place.reason or "it waits for its turn to get a GPU"
        found.append(Event("Normal", "Queued", reason))
    elif _is_bad_news(seen) and not (
        # The reason of what is stalled changes with every attempt.
        STALLED in known
        if seen.sight is Sight.STALLED
        else "Running" in known and known["Running"].reason == seen.reason
    ):
        found.append(Event("Warning", seen.reason, seen.message))
    found += [_foretold(one) for one in _outlook(kernel, told) if one.type not in known]
    if RESTORED not in known:
        lost = _not_restored(kernel, told)
        found += [Event("Warning", one.reason, one.message) for one in lost]
    if told.image and told.image.replaced and IMAGE_REPLACED not in known:
        found.append(Event("Warning", IMAGE_REPLACED, image_replaced(told.image).message))
    return found


def _foretold(one: Condition) -> Event:
    if one.type == SAVABLE:
        return Event("Warning", _EVENTS.get(one.reason, "NotSavable"), one.message)
    return Event("Normal", one.type, one.message)


def _is_bad_news(seen: Sighting) -> bool:
    """Say whether what is seen of a kernel that has not ended is worth a warning."""
    if seen.sight in (Sight.NEVER_MADE, Sight.RUNNING):
        return bool(seen.reason)  # something is in the way, or takes the pod away
    return (
        seen.sight is Sight.STALLED
        or seen.reason in (GATE_REFUSED, UNHEARD)
        or seen.reason.startswith(("Unschedulable", "Failed"))
    )
