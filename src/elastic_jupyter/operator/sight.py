"""What a pod says about its kernel. The only place that reads the status of a kernel's pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.policy import accelerators
from elastic_jupyter.policy.lifecycle import Sight

#: Reason while a pod is new, is scheduled, and its container is created: one word for all three,
#: so that a quick start needs no status write between the first and the last.
STARTING = "ContainerCreating"
TERMINATING = "Terminating"
LOST = "PodLost"
#: Characters of a container's last words that are kept; the kubelet sends 2048 bytes at most.
_LAST_WORDS = 2048


@dataclass(frozen=True)
class PodSight:
    """A pod as the life cycle sees it. ``ip`` is set as soon as the pod has one."""

    sight: Sight
    reason: str = ""
    message: str = ""
    ip: str | None = None


def look(pod: Object) -> PodSight:
    """Read a pod of a kernel; its first container is the kernel's."""
    status = pod.get("status") or {}
    ip = status.get("podIP")
    container = _kernel_container(pod)
    ended = (container.get("state") or {}).get("terminated")
    phase = status.get("phase")
    if ended is None and phase not in ("Failed", "Succeeded"):
        if (container.get("state") or {}).get("running"):
            return PodSight(Sight.RUNNING, *_disturbance(pod), ip=ip)
        return _waiting(pod, container, ip)
    disturbed = _disturbance(pod)
    if disturbed[0]:
        return PodSight(Sight.FAILED, *disturbed, ip=ip)
    if status.get("reason"):  # Evicted, UnexpectedAdmissionError: of the pod, not of the process
        return PodSight(Sight.FAILED, status["reason"], status.get("message") or "", ip=ip)
    return _ended(pod, ended or {}, succeeded=phase == "Succeeded", ip=ip)


def lost(conditions: list[Object]) -> PodSight:
    """Return the sight of a pod that is gone; what was last said of it may tell why."""
    for condition in conditions:
        if condition["type"] == "Running" and condition["status"] == "True":
            reason, message = condition.get("reason") or "", condition.get("message") or ""
            if reason not in ("", "Started", TERMINATING):
                return PodSight(Sight.LOST, reason, message)
    return PodSight(Sight.LOST, LOST, "the kernel's pod was deleted")


def _waiting(pod: Object, container: Object, ip: str | None) -> PodSight:
    if pod["metadata"].get("deletionTimestamp"):
        return PodSight(Sight.STARTING, *_disturbance(pod), ip=ip)
    if is_gated(pod):
        return PodSight(Sight.WAITING, "Queued")
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        sight = Sight.STARTING
        if scheduled.get("reason") == "Unschedulable" and waits_in_our_queue(pod):
            sight = Sight.WAITING
        reason, message = scheduled.get("reason") or STARTING, scheduled.get("message") or ""
        # The scheduler's word on a gate outlives the gate for some milliseconds.
        if reason != "SchedulingGated" or pod["spec"].get("schedulingGates"):
            return PodSight(sight, reason, message)
    for candidate in (*(_statuses(pod, "initContainerStatuses")), container):
        waiting = (candidate.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", STARTING):
            return PodSight(Sight.STARTING, waiting["reason"], waiting.get("message") or "", ip=ip)
    return PodSight(Sight.STARTING, STARTING, ip=ip)


def _ended(pod: Object, ended: Object, *, succeeded: bool, ip: str | None) -> PodSight:
    code = ended.get("exitCode")
    reason = ended.get("reason") or ("Completed" if succeeded else "Error")
    last_words = str(ended.get("message") or "")[-_LAST_WORDS:].strip()
    if code == 0 or (code is None and succeeded):
        return PodSight(Sight.SUCCEEDED, reason, "the kernel's process ended with exit code 0")
    what = f"the kernel's process ended with exit code {code}"
    if reason == "OOMKilled":
        limit = _memory_limit(pod)
        what = f"the kernel used more memory than its limit{limit} and was killed"
    return PodSight(Sight.FAILED, reason, f"{what}: {last_words}" if last_words else what, ip=ip)


def _disturbance(pod: Object) -> tuple[str, str]:
    """Return why a pod is being taken away, two empty words if it is not.

    Kubernetes names evictions, preemption and lost nodes in the condition DisruptionTarget.
    """
    disruption = _condition(pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        return disruption.get("reason") or "Evicted", disruption.get("message") or ""
    if pod["metadata"].get("deletionTimestamp"):
        return TERMINATING, "the kernel's pod is being deleted"
    return "", ""


def waits_in_our_queue(pod: Object) -> bool:
    """Say whether a pod that is not scheduled waits for an accelerator in our queue."""
    labels = pod["metadata"].get("labels") or {}
    return names.LABEL_KUEUE not in labels and bool(accelerators.requests(pod["spec"]))


def is_gated(pod: Object) -> bool:
    """Say whether the pod still has our scheduling gate."""
    gates = pod["spec"].get("schedulingGates") or []
    return any(gate.get("name") == names.GATE_QUEUE for gate in gates)


def scheduling_message(pod: Object) -> str:
    """Return what the scheduler last said of a pod that it cannot place."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return scheduled.get("message") or ""
    return ""


def _memory_limit(pod: Object) -> str:
    resources = pod["spec"]["containers"][0].get("resources") or {}
    limit = (resources.get("limits") or {}).get("memory")
    return f" of {limit}" if limit else ""


def _kernel_container(pod: Object) -> Object:
    name = pod["spec"]["containers"][0]["name"]
    for status in _statuses(pod, "containerStatuses"):
        if status.get("name") == name:
            return status
    return {}


def _statuses(pod: Object, field: str) -> list[Object]:
    return (pod.get("status") or {}).get(field) or []


def _condition(pod: Object, kind: str) -> Mapping[str, Any]:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}
