"""What has been rolled out: Deployments, and the one pod of each of our servers."""

from collections.abc import Callable
from typing import Any

from tests.support.cluster import Cluster, is_observed, is_ready
from tests.support.eventually import eventually

SYSTEM = "elastic-jupyter-system"
OPERATOR = "elastic-jupyter-operator"
#: By kind, what its pods are called.
APPS = {"jupytergateways": "jupyter-gateway", "jupyternotebooks": "jupyter-notebook"}
ROLLED_OUT_WITHIN = 90.0

Object = dict[str, Any]


def is_rolled_out(deployment: Object) -> bool:
    """Whether all pods of a Deployment are of its present spec, and available."""
    status = deployment.get("status", {})
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return is_observed(deployment) and all(
        status.get(count, 0) == deployment["spec"]["replicas"] for count in counts
    )


def server_pod(cluster: Cluster, namespace: str, plural: str, name: str) -> Object:
    """Wait until a notebook or gateway is rolled out; return its one Ready pod.

    While an edit of either, or of its Deployment, is under way, a Ready pod may be one that goes.
    """

    def look() -> Object | str:
        owner = cluster.get(namespace, plural, name)
        if owner is None or not is_observed(owner):
            return f"nothing is reported yet of {plural}/{name}"
        [ready] = [one for one in owner["status"]["conditions"] if one["type"] == "Ready"]
        if ready["status"] != "True":
            return f"{plural}/{name}: {ready}"
        return _rolled_out(cluster, namespace, name, name=APPS[plural], instance=name)

    return _pod(look, what=f"the roll-out of {plural}/{name}")


def operator_pod(cluster: Cluster) -> Object:
    """Wait until the operator is rolled out; return its one Ready pod."""
    return _pod(
        lambda: _rolled_out(cluster, SYSTEM, OPERATOR, name=OPERATOR),
        what="the roll-out of the operator",
    )


def _pod(look: Callable[[], Object | str], *, what: str) -> Object:
    """Wait for a pod; ``look`` returns what is missing where there is none yet."""
    seen = eventually(
        look, lambda seen: not isinstance(seen, str), within=ROLLED_OUT_WITHIN, what=what
    )
    assert not isinstance(seen, str)
    return seen


def _rolled_out(cluster: Cluster, namespace: str, server: str, **labels: str) -> Object | str:
    """Return the one Ready pod of a Deployment, or what its roll-out lacks."""
    deployment = cluster.get(namespace, "deployments", server) or {}
    if not deployment or not is_rolled_out(deployment):
        return f"deployments/{server}: {deployment.get('status')}"
    pods = cluster.list(namespace, "pods", **labels)
    if len(pods) != 1 or not is_ready(pods[0]):
        return f"Ready or not: {[(pod['metadata']['name'], is_ready(pod)) for pod in pods]}"
    return pods[0]
