"""A node that a test plays the kubelet of, and then stops to.

The API server, the scheduler, the node life cycle controller and the taint manager are the real
ones; only the node's own words are said by the test. The kernel that seems to run there runs in a
pod of the test's on the real node, with the kernel's own Secret: it answers, as that on a node
does which only the control plane has lost.
"""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually

Object = dict[str, Any]
TAINT = {"key": "example.com/ghost", "effect": "NoSchedule"}
#: For the pod of a kernel that is to run there, and to be given up soon after the node is.
FOR_ITS_POD: Object = {
    "nodeSelector": {"example.com/ghost": "true"},
    "tolerations": [
        {**TAINT, "operator": "Exists"},
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 4,
        },
    ],
}


@contextlib.contextmanager
def ghost_node(cluster: Cluster, name: str) -> Iterator[None]:
    """A node that said once that it is ready. Kubernetes loses it after some 50 s."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"example.com/ghost": "true"}},
        "spec": {"taints": [TAINT]},
    }
    cluster.create(node)
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", **times()}
    try:
        patch_status(
            cluster, "node", name, {"capacity": room, "allocatable": room, "conditions": [ready]}
        )
        yield
    finally:
        cluster.delete(None, "nodes", name)


def run_there(cluster: Cluster, namespace: str, kernel: str, *, image: str) -> None:
    """Say that a kernel's pod runs on the ghost; ``image`` has the ipykernel that stands in."""
    stand_in = manifests.plain_pod(
        "stand-in",
        namespace=namespace,
        image=image,
        command=["python", "-m", "ipykernel_launcher", "-f", "/connection/connection.json"],
        volumes=[{"name": "c", "secret": {"secretName": f"{kernel}-connection"}}],
    )
    stand_in["spec"]["containers"][0]["volumeMounts"] = [{"name": "c", "mountPath": "/connection"}]
    cluster.create(stand_in)
    seen = eventually(
        lambda: (
            (cluster.get(namespace, "pods", "stand-in") or {}).get("status", {}).get("podIP"),
            (cluster.get(namespace, "pods", kernel) or {}).get("spec", {}).get("nodeName"),
        ),
        all,
        within=30,
        what="the stand-in's address, and the kernel's node",
    )
    ip = seen[0]
    since = times()["lastTransitionTime"]
    container = {
        "name": "kernel",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "image": image,
        "imageID": "",
        "state": {"running": {"startedAt": since}},
    }
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    status = {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": since,
        "containerStatuses": [container],
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": since} for kind in kinds
        ],
    }
    patch_status(cluster, "pod", kernel, status, "-n", namespace)


def patch_status(cluster: Cluster, kind: str, name: str, status: Object, *args: str) -> None:
    """Write a status, as a kubelet does."""
    body = json.dumps({"status": status})
    cluster.kubectl("patch", kind, name, *args, "--subresource=status", "--type=merge", "-p", body)


def times() -> dict[str, str]:
    """The times of a condition that came about now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"lastTransitionTime": now, "lastHeartbeatTime": now}
