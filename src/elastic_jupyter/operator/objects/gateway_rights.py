"""What a gateway may do: ServiceAccount, Role and bindings.

The Role is the whole list, and no entry more: no pods, and of the Secrets its own two by name.
The operator itself must hold every right in it: Kubernetes lets nobody grant what he does not have.
"""

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common

_RBAC = "rbac.authorization.k8s.io"


def make_service_account(gateway: JupyterGateway) -> Object:
    """Return the identity of the gateway's pods."""
    return {"metadata": _metadata(gateway, _name(gateway))}


def make_role(gateway: JupyterGateway) -> Object:
    """Return the rights of the gateway in its own namespace."""
    return {
        "metadata": _metadata(gateway, _name(gateway)),
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "resources": ["jupyterkernels"],
                "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"],
            },
            {
                "apiGroups": [names.GROUP],
                "resources": ["jupyterkernels/status"],
                "verbs": ["get", "patch", "update"],
            },
            {
                "apiGroups": [names.GROUP],
                "resources": ["jupyterkernelspecs", "jupyterkerneltemplates"],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [names.tombstones_secret_name(_name(gateway))],
                "verbs": ["get", "patch", "update"],
            },
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [names.notebooks_secret_name(_name(gateway))],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": [names.handover_lease_name(_name(gateway))],
                "verbs": ["get", "watch", "patch", "update"],
            },
        ],
    }


def make_role_binding(gateway: JupyterGateway) -> Object:
    """Return the binding of the gateway to its Role."""
    return _binding(gateway, _name(gateway), kind="Role", role=_name(gateway))


def cluster_role_binding_name(gateway: JupyterGateway) -> str:
    """Return the name of the RoleBinding to ``spec.clusterRole``."""
    return f"{_name(gateway)}-cluster-role"


def make_cluster_role_binding(gateway: JupyterGateway) -> Object:
    """Return the binding to the ClusterRole that the gateway names, in its namespace only."""
    return _binding(
        gateway,
        cluster_role_binding_name(gateway),
        kind="ClusterRole",
        role=gateway.spec.cluster_role or "",
    )


def _binding(gateway: JupyterGateway, name: str, *, kind: str, role: str) -> Object:
    return {
        "metadata": _metadata(gateway, name),
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
        "subjects": [
            {
                "kind": "ServiceAccount",
                "name": _name(gateway),
                "namespace": gateway.metadata.namespace,
            }
        ],
    }


def _metadata(gateway: JupyterGateway, name: str) -> Object:
    return common.metadata(name, gateway, common.labels(names.APP_GATEWAY, _name(gateway)))


def _name(gateway: JupyterGateway) -> str:
    return gateway.metadata.name or ""
