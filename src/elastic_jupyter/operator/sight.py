"""What a pod says about its kernel. The only place that reads the status of a kernel's pod."""

import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.policy import accelerators, queue, scheduling
from elastic_jupyter.policy.lifecycle import Sight, Sighting

#: Reason while a pod is new, is scheduled, and its container is created: one word for all three,
#: so that a quick start needs no status write between the first and the last.
STARTING = "ContainerCreating"
TERMINATING = "Terminating"
DELETED = "PodDeleted"
NODE_LOST = "NodeLost"
#: Why Kubernetes takes pods away (condition DisruptionTarget, 1.34), and what we call it where it
#: gives no reason. A container that does not run yet is waited for with other reasons.
_DISRUPTIONS = frozenset(
    {
        *("PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI"),
        *("DeletionByPodGC", "TerminationByKubelet", "Evicted", NODE_LOST),
    }
)
_DEFAULT_SCHEDULER = "default-scheduler"
_UNSCHEDULABLE = "Unschedulable"
_GATED = "SchedulingGated"
#: What the kubelet says of a container that waiting does not help.
_HOPELESS = frozenset({"ErrImageNeverPull", "InvalidImageName"})
#: Characters of a container's last words that are kept; the kubelet sends 2048 bytes at most.
_LAST_WORDS = 2048


def look(pod: Object) -> Sighting:
    """Read a pod of a kernel; its first container is the kernel's."""
    status = pod.get("status") or {}
    ip = status.get("podIP")
    container = _kernel_container(pod)
    ended = _failed_init_container(pod) or _terminated(container)
    phase = status.get("phase")
    if not ended and phase not in ("Failed", "Succeeded"):
        if not (container.get("state") or {}).get("running"):
            return _waiting(pod, container, ip)
        reason, message = _disturbance(pod)
        # A node that is gone never tells that the container has ended.
        gone = is_lost_with_its_node(pod)
        return Sighting(Sight.FAILED if gone else Sight.RUNNING, reason, message, ip=ip)
    if status.get("reason"):  # Evicted, UnexpectedAdmissionError: of the pod, not of the process
        message = (status.get("message") or "").strip()
        return Sighting(Sight.FAILED, status["reason"], message, ip=ip)
    reason, message = _disturbance(pod)
    if reason == TERMINATING:
        return Sighting(Sight.FAILED, DELETED, "the kernel's pod was deleted", ip=ip)
    if reason and reason != NODE_LOST:
        return Sighting(Sight.FAILED, reason, message, ip=ip)
    return _ended(pod, ended, succeeded=phase == "Succeeded", ip=ip)


def lost(conditions: list[Object], last: Object | None = None) -> Sighting:
    """Return the sight of a pod that is gone; what was last said of it may tell why.

    ``conditions`` are the kernel's; ``last`` is the pod as it was last seen, if anybody saw it go.
    """
    if last is not None and (end := end_of(last)):
        return end
    for condition in conditions:
        if condition["type"] == "Running":
            reason, message = condition.get("reason") or "", condition.get("message") or ""
            ran = condition["status"] == "True" and reason not in ("", "Started", TERMINATING)
            if ran or reason in _DISRUPTIONS:
                return Sighting(Sight.LOST, reason, message)
    return Sighting(Sight.LOST, DELETED, "the kernel's pod was deleted")


def end_of(pod: Object) -> Sighting | None:
    """Return why a pod went that is gone now, None where it did not say it.

    Who deletes a pod may say why in the milliseconds before, as the garbage collector does of those
    whose node is no more.
    """
    seen = look(pod)
    if seen.sight in (Sight.FAILED, Sight.SUCCEEDED):
        return None if seen.reason == DELETED else seen
    reason, message = _disturbance(pod)
    return None if reason in ("", TERMINATING) else Sighting(Sight.LOST, reason, message)


def is_lost_with_its_node(pod: Object) -> bool:
    """Say whether a pod is to go and its node cannot say that it went.

    Such a pod stays until an administrator, or the garbage collector of a deleted node, removes it.
    """
    return bool(pod["metadata"].get("deletionTimestamp")) and _node_is_lost(pod)


def _waiting(pod: Object, container: Object, ip: str | None) -> Sighting:
    if any(disturbance := _disturbance(pod)):
        return Sighting(Sight.STARTING, *disturbance, ip=ip)
    if gates := _gates_of_others(pod):
        some = f"gate{'s' if len(gates) > 1 else ''} {', '.join(gates)}"
        return Sighting(Sight.STARTING, _GATED, f"the pod waits for the scheduling {some}")
    if is_gated(pod):
        return Sighting(Sight.WAITING, "Queued")
    scheduled = _condition(pod, "PodScheduled")
    # The word on a gate that was lifted stays until the scheduler says something else.
    if scheduled.get("status") == "False" and scheduled.get("reason") != _GATED:
        reason = scheduled.get("reason") or _UNSCHEDULABLE
        waits = reason == _UNSCHEDULABLE and waits_in_our_queue(pod)
        message = scheduled.get("message") or ""
        return Sighting(Sight.WAITING if waits else Sight.STARTING, reason, message)
    for candidate in (*(_statuses(pod, "initContainerStatuses")), container):
        waiting = (candidate.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason")
        if reason not in (None, "PodInitializing", STARTING):
            sight = Sight.FAILED if reason in _HOPELESS else Sight.STALLED
            return Sighting(sight, reason, waiting.get("message") or "", ip=ip)
    return Sighting(Sight.STARTING, STARTING, ip=ip)


def _ended(pod: Object, ended: Object, *, succeeded: bool, ip: str | None) -> Sighting:
    code = ended.get("exitCode")
    reason = ended.get("reason") or ("Completed" if succeeded else "Error")
    if code == 0 or (code is None and succeeded):
        return Sighting(Sight.SUCCEEDED, reason, "the kernel's process ended with exit code 0")
    name = ended.get("initContainer")
    who = f"the init container {name}" if name else "the kernel's process"
    if code is None:
        what = "the kernel's pod failed"
    elif reason == "OOMKilled":
        what = _out_of_memory(pod, name)
    else:
        what = f"{who} ended with exit code {code}{_signal(code)}"
    last_words = str(ended.get("message") or "")[-_LAST_WORDS:].strip()
    return Sighting(Sight.FAILED, reason, f"{what}: {last_words}" if last_words else what, ip=ip)


def _out_of_memory(pod: Object, init_container: str | None) -> str:
    containers = pod["spec"].get("initContainers" if init_container else "containers") or []
    name = init_container or containers[0]["name"]
    who = f"the init container {name}" if init_container else "the kernel"
    for container in containers:
        limits = (container.get("resources") or {}).get("limits") or {}
        if container["name"] == name and limits.get("memory"):
            return f"{who} used more memory than its limit of {limits['memory']} and was killed"
    return f"{who} has no memory limit of its own and was killed when the memory ran out"


def _signal(code: int) -> str:
    """Name the signal of an exit code as a shell and the container runtimes form it."""
    try:
        return f" ({signal.Signals(code - 128).name})"
    except ValueError:
        return ""


def _disturbance(pod: Object) -> tuple[str, str]:
    """Return why a pod is being taken away, two empty words if it is not.

    Kubernetes names evictions, preemption and lost nodes in the condition DisruptionTarget.
    """
    disruption = _condition(pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        return disruption.get("reason") or "Evicted", disruption.get("message") or ""
    if _node_is_lost(pod):
        node = pod["spec"].get("nodeName")
        return NODE_LOST, f"node {node} does not answer; the kernel may still run there"
    if pod["metadata"].get("deletionTimestamp"):
        return TERMINATING, "the kernel's pod is being deleted"
    return "", ""


def _node_is_lost(pod: Object) -> bool:
    """Say whether Kubernetes has lost sight of the pod's node.

    It then says that the pod is not Ready, without a reason and without asking the kubelet, which
    would say the same of the containers (MarkPodsNotReady of the node life cycle controller, 1.34).
    """
    ready = _condition(pod, "Ready")
    return (
        ready.get("status") == "False"
        and not ready.get("reason")
        and _condition(pod, "ContainersReady").get("status") == "True"
    )


def waits_in_our_queue(pod: Object) -> bool:
    """Say whether a pod that is not scheduled waits for an accelerator in our queue.

    One that the scheduler cannot place for another reason waits, but is in nobody's way. So does
    one that has the gate of somebody else: no scheduler would look at it.
    """
    labels = pod["metadata"].get("labels") or {}
    wanted = accelerators.requests(pod["spec"])
    if names.LABEL_KUEUE in labels or not wanted or _gates_of_others(pod):
        return False
    said = scheduling_message(pod)
    return not said or scheduling.lacks(said, {request.resource for request in wanted})


def is_gated(pod: Object) -> bool:
    """Say whether the pod still has our scheduling gate."""
    return names.GATE_QUEUE in _gates(pod)


def _gates_of_others(pod: Object) -> list[str]:
    return [gate for gate in _gates(pod) if gate != names.GATE_QUEUE]


def _gates(pod: Object) -> list[str]:
    return [gate["name"] for gate in pod["spec"].get("schedulingGates") or []]


def admitted_at(pod: Object) -> datetime | None:
    """Return since when the pod is the scheduler's to place, None while it has our gate."""
    if is_gated(pod):
        return None
    metadata = pod["metadata"]
    stamp = (metadata.get("annotations") or {}).get(names.ANNOTATION_ADMITTED_AT)
    return moment(stamp) or moment(metadata.get("creationTimestamp"))


def scheduler_of(pod: Object) -> str:
    """Return the name of the scheduler that is to place the pod."""
    return pod["spec"].get("schedulerName") or _DEFAULT_SCHEDULER


def unheard(pod: Object, *, now: datetime) -> bool:
    """Say whether no scheduler has said anything of the pod for too long."""
    scheduled = _condition(pod, "PodScheduled")
    since = admitted_at(pod)
    return (
        (not scheduled or scheduled.get("reason") == _GATED)
        and not pod["spec"].get("nodeName")
        and since is not None
        and queue.is_unheard(since, now=now)
    )


def scheduling_message(pod: Object) -> str:
    """Return what the scheduler last said of a pod that it cannot place.

    Of its own faults (SchedulerError) it speaks, too, but that is no word on the pod.
    """
    scheduled = _condition(pod, "PodScheduled")
    reason = scheduled.get("reason") or _UNSCHEDULABLE  # schedulers of others may give none
    if scheduled.get("status") == "False" and reason == _UNSCHEDULABLE:
        return scheduled.get("message") or reason
    return ""


def _failed_init_container(pod: Object) -> Object:
    """Return how an init container ended that keeps the pod from starting, and its name."""
    restarted = {
        container["name"]
        for container in pod["spec"].get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    for status in _statuses(pod, "initContainerStatuses"):
        ended = _terminated(status)
        if ended.get("exitCode") and status["name"] not in restarted:
            return {**ended, "initContainer": status["name"]}
    return {}


def _terminated(container: Object) -> Object:
    return (container.get("state") or {}).get("terminated") or {}


def scheduled_at(pod: Object) -> datetime | None:
    """Return when the pod got its node."""
    scheduled = _condition(pod, "PodScheduled")
    stamp = scheduled.get("lastTransitionTime")
    return moment(stamp) if scheduled.get("status") == "True" else None


def moment(stamp: str | None) -> datetime | None:
    """Return the time of a stamp, aware; None where there is none, or nothing that is a time."""
    try:
        found = datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None
    if found is not None and found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found


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
