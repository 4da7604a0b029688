"""What a gateway and a kernel may do in the cluster: design 6, asked of the API server."""

import pytest
from tests.support.cluster import Cluster
from tests.support.team import GATEWAY, SYSTEM, Team, kernel_name

ALLOWED = {
    ("jupyterkernels.kubeflow.tkestack.io", verb)
    for verb in ("get", "list", "watch", "create", "patch", "update", "delete")
} | {
    (f"{plural}.kubeflow.tkestack.io", verb)
    for plural in ("jupyterkernelspecs", "jupyterkerneltemplates")
    for verb in ("get", "list", "watch")
}
VERBS = ("get", "list", "watch", "create", "patch", "update", "delete", "deletecollection")
RESOURCES = (
    *("pods", "pods/log", "pods/exec", "secrets", "configmaps", "services", "serviceaccounts"),
    *("persistentvolumeclaims", "events", "nodes", "namespaces"),
    *("deployments.apps", "roles.rbac.authorization.k8s.io", "leases.coordination.k8s.io"),
    *("rolebindings.rbac.authorization.k8s.io", "jupyternotebooks.kubeflow.tkestack.io"),
    *("jupytergateways.kubeflow.tkestack.io", "jupyterkernels.kubeflow.tkestack.io"),
    *("jupyterkernelspecs.kubeflow.tkestack.io", "jupyterkerneltemplates.kubeflow.tkestack.io"),
)


def may(cluster: Cluster, verb: str, resource: str, *, namespace: str, account: str) -> bool:
    """Ask the API server, as ``kubectl auth can-i`` does, whether an account may do something."""
    plain, _, subresource = resource.partition("/")
    plural, _, group = plain.partition(".")
    plural, _, name = plural.partition(":")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": plural,
                "subresource": subresource,
                "name": name,
            },
        },
    }
    return bool(cluster.create(review)["status"].get("allowed"))


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_gateway_may_do_what_is_on_its_list_and_nothing_else(team: Team, resource: str) -> None:
    account = f"{team.namespace}:{GATEWAY}"
    allowed = {
        (resource, verb)
        for verb in VERBS
        if may(team.cluster, verb, resource, namespace=team.namespace, account=account)
    }
    assert allowed == {pair for pair in ALLOWED if pair[0] == resource}


def test_a_gateway_reads_the_one_secret_that_is_its_memory(team: Team) -> None:
    account = f"{team.namespace}:{GATEWAY}"

    def secret(name: str, verb: str = "get") -> bool:
        return may(team.cluster, verb, f"secrets:{name}", namespace=team.namespace, account=account)

    assert secret(f"{GATEWAY}-tombstones")
    assert secret(f"{GATEWAY}-tombstones", "patch")
    assert not secret(f"{GATEWAY}-master-key"), "it is mounted, and needs no right"
    assert not secret("nb-gateway-token")


def test_a_gateway_has_no_rights_in_another_namespace(team: Team) -> None:
    account = f"{team.namespace}:{GATEWAY}"
    for resource in ("jupyterkernels.kubeflow.tkestack.io", "secrets", "pods"):
        assert not may(team.cluster, "get", resource, namespace=SYSTEM, account=account)


def test_a_kernel_holds_no_token_of_the_cluster_and_is_not_root(team: Team) -> None:
    with team.server.notebook() as tab:
        code = "import os; os.path.exists('/var/run/secrets/kubernetes.io'), os.getuid()"
        assert tab.run(code, within=60).result == "(False, 1000)"
        pod = team.pod(tab)
        assert pod is not None
        assert pod["metadata"]["name"] == kernel_name(tab)
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["restartPolicy"] == "Never"
