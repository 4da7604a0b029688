"""What the status of a child Deployment says about its owner. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator import server_pod
from elastic_jupyter.policy.report import AVAILABLE, READY, Condition

#: Numbers of ``apps/v1`` DeploymentStatus that the original showed in the gateway's status, too.
COUNTS = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "collisionCount",
)


def ready(deployment: Object | None, pods: Iterable[Object], *, when_down: str) -> Condition:
    """Return the condition Ready: the rollout of the present spec is complete, and its pod answers.

    ``pods`` are those of the Deployment: the newest that does not answer tells why. ``when_down``
    says what a Deployment that somebody has scaled to 0 means for its user.
    """
    if deployment is None:
        return Condition(READY, False, "DeploymentMissing", "its Deployment does not exist yet")
    status = deployment.get("status") or {}
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return Condition(READY, False, "Progressing", "its Deployment has a new spec")
    wanted = deployment["spec"].get("replicas", 1)
    if wanted != 1:
        scale = f"kubectl scale deployment {deployment['metadata']['name']} --replicas 1"
        if wanted == 0:
            return Condition(READY, False, "ScaledDown", f"scaled to 0: {when_down}; {scale}")
        text = f"scaled to {wanted}, but only one pod at a time can serve; {scale}"
        return Condition(READY, False, "TooManyReplicas", text)
    if {status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")} == {1}:
        return Condition(READY, True, "Available")
    failure = _condition(status, "ReplicaFailure")  # a quota or a policy refuses the pod
    if failure.get("status") == "True":
        return Condition(
            READY, False, failure.get("reason") or "ReplicaFailure", failure.get("message") or ""
        )
    trouble = server_pod.trouble(pods)
    if trouble:
        return Condition(READY, False, *trouble)
    progressing = _condition(status, "Progressing")
    if progressing.get("status") == "False":
        return Condition(
            READY,
            False,
            progressing.get("reason") or "NotProgressing",
            progressing.get("message") or "",
        )
    return Condition(READY, False, "Progressing", "its pod does not answer yet")


def available(deployment: Object | None) -> Condition:
    """Return the condition Available: a pod answers, be it one of an earlier spec."""
    if counts(deployment)["availableReplicas"]:
        return Condition(AVAILABLE, True, "PodAnswers")
    return Condition(AVAILABLE, False, "NoPodAnswers", "no pod answers; see the condition Ready")


def counts(deployment: Object | None) -> dict[str, int | None]:
    """Return the Deployment's numbers, None for one that it does not have."""
    status = (deployment or {}).get("status") or {}
    return {name: status.get(name) for name in COUNTS}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}
