"""What a gateway and a kernel may do in the cluster, asked of the API server."""

import json
import uuid
from collections.abc import Iterator

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.rollout import OPERATOR, SYSTEM, operator_pod
from tests.support.team import GATEWAY, Team, a_namespace, kernel_name

ALLOW_LIST = "ELASTIC_JUPYTER_CLUSTER_ROLES"

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


@pytest.fixture
def cluster_roles(cluster: Cluster) -> Iterator[tuple[str, str, str]]:
    """Three ClusterRoles on the operator's list; it may bind the first two."""
    tag = f"ej-{uuid.uuid4().hex[:6]}"
    given = {f"{tag}-configmaps": "configmaps", f"{tag}-endpoints": "endpoints"}
    listed = (*given, f"{tag}-nodes")
    bind = f"{tag}-bind"
    operator = ("-n", SYSTEM, f"deploy/{OPERATOR}")
    for name, resource in {**given, listed[2]: "nodes"}.items():
        cluster.kubectl("create", "clusterrole", name, "--verb=get", f"--resource={resource}")
    cluster.kubectl(
        "create", "clusterrole", bind, "--verb=bind",
        "--resource=clusterroles.rbac.authorization.k8s.io",
        *(f"--resource-name={name}" for name in given),
    )  # fmt: skip
    account = f"--serviceaccount={SYSTEM}:{OPERATOR}"
    cluster.kubectl("create", "clusterrolebinding", bind, f"--clusterrole={bind}", account)
    try:
        cluster.kubectl("set", "env", *operator, f"{ALLOW_LIST}={','.join(listed)}")
        operator_pod(cluster)
        yield listed
    finally:
        cluster.kubectl("set", "env", *operator, f"{ALLOW_LIST}-")
        operator_pod(cluster)
        cluster.kubectl("delete", "clusterrolebinding", bind)
        cluster.kubectl("delete", "clusterrole", bind, *listed)


@pytest.mark.alone
def test_a_cluster_role_is_bound_by_list_and_bind_right_and_holds_nothing_up(
    cluster: Cluster, cluster_roles: tuple[str, str, str]
) -> None:
    configmaps, endpoints, nodes = cluster_roles
    with a_namespace(cluster) as namespace:

        def ask(role: str, **spec: str) -> None:
            cluster.apply(namespace, manifests.gateway(GATEWAY, clusterRole=role, **spec))

        def said(status: str, reason: str) -> dict[str, str]:
            def look() -> dict[str, str]:
                gateway = cluster.get(namespace, "jupytergateways", GATEWAY) or {}
                conditions = (gateway.get("status") or {}).get("conditions") or ()
                return {one["type"]: one for one in conditions}.get("ClusterRoleBound", {})

            return eventually(
                look,
                lambda seen: (seen.get("status"), seen.get("reason")) == (status, reason),
                within=60,
                what=f"ClusterRoleBound {status} {reason}",
            )

        def rights() -> set[str]:
            account = f"{namespace}:{GATEWAY}"
            return {
                resource
                for resource in ("configmaps", "endpoints", "nodes")
                if may(cluster, "get", resource, namespace=namespace, account=account)
            }

        ask(configmaps)
        said("True", "Allowed")
        eventually(rights, lambda seen: seen == {"configmaps"}, within=30, what="the first role")
        ask(endpoints)
        eventually(rights, lambda seen: seen == {"endpoints"}, within=30, what="another role")
        said("True", "Allowed")

        ask(nodes, logLevel="DEBUG")
        assert nodes in said("False", "Forbidden")["message"]
        eventually(rights, lambda seen: seen == set(), within=30, what="the end of its rights")
        eventually(
            lambda: json.dumps((cluster.get(namespace, "deployments", GATEWAY) or {}).get("spec")),
            lambda spec: '"DEBUG"' in spec,
            within=30,
            what="the rollout of the rest of the spec",
        )
        ask("cluster-admin")
        assert "allow-list" in said("False", "NotAllowed")["message"]
        assert rights() == set()
