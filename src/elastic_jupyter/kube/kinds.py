"""The kinds of Kubernetes objects that we touch, as data. Imports nothing heavy.

An object is a plain ``dict`` as the API server sent it: nothing is lost that we do not know.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Object: TypeAlias = dict[str, Any]


class Key(NamedTuple):
    """The name of an object among those of its kind. Cluster-wide kinds have namespace ""."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API. ``group`` is "" for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What stands in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return self.kind


def key_of(obj: Object) -> Key:
    """Return the key of an object."""
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


POD = Kind("", "v1", "Pod", "pods")
SECRET = Kind("", "v1", "Secret", "secrets")
SERVICE = Kind("", "v1", "Service", "services")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
PERSISTENT_VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENT = Kind("", "v1", "Event", "events")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")

_OURS = ("kubeflow.tkestack.io", "v1alpha1")
JUPYTER_NOTEBOOK = Kind(*_OURS, "JupyterNotebook", "jupyternotebooks")
JUPYTER_GATEWAY = Kind(*_OURS, "JupyterGateway", "jupytergateways")
JUPYTER_KERNEL_SPEC = Kind(*_OURS, "JupyterKernelSpec", "jupyterkernelspecs")
JUPYTER_KERNEL_TEMPLATE = Kind(*_OURS, "JupyterKernelTemplate", "jupyterkerneltemplates")
JUPYTER_KERNEL = Kind(*_OURS, "JupyterKernel", "jupyterkernels")
