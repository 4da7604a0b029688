"""What the status of a child Deployment says about its owner. Pure."""

from collections.abc import Mapping
from typing import Any

from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.report import READY, Condition

#: Numbers of ``apps/v1`` DeploymentStatus that the original showed in the gateway's status, too.
COUNTS = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "collisionCount",
)


def ready(deployment: Object | None) -> Condition:
    """Return the condition Ready: a pod of the present spec answers."""
    if deployment is None:
        return Condition(READY, False, "DeploymentMissing", "its Deployment does not exist yet")
    status = deployment.get("status") or {}
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return Condition(READY, False, "Progressing", "its Deployment has a new spec")
    if status.get("readyReplicas") and status.get("updatedReplicas"):
        return Condition(READY, True, "Available")
    failure = _condition(status, "ReplicaFailure")  # a quota or a policy refuses the pod
    if failure.get("status") == "True":
        return Condition(
            READY, False, failure.get("reason") or "ReplicaFailure", failure.get("message") or ""
        )
    progressing = _condition(status, "Progressing")
    if progressing.get("status") == "False":
        return Condition(
            READY,
            False,
            progressing.get("reason") or "NotProgressing",
            progressing.get("message") or "",
        )
    return Condition(READY, False, "Progressing", "its pod does not answer yet")


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
