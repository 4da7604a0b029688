"""The stores that live in the API server: import them from here."""

from elastic_jupyter.kube.client import Client
from elastic_jupyter.store.catalog import KubernetesCatalog
from elastic_jupyter.store.kernels import KubernetesKernelStore
from elastic_jupyter.store.lease import KubernetesLease
from elastic_jupyter.store.logs import PodLogs
from elastic_jupyter.store.notebooks import SecretNotebooks
from elastic_jupyter.store.tombstones import SecretTombstones, TeamTombstones

__all__ = [
    "KubernetesCatalog",
    "KubernetesKernelStore",
    "KubernetesLease",
    "PodLogs",
    "SecretNotebooks",
    "SecretTombstones",
    "TeamTombstones",
    "connect",
    "connect_person",
]


def connect_person(context: str | None) -> Client:
    """Return the same for whoever calls kubectl; ``context`` None is the current one.

    Raises ``ConfigError``.
    """
    return Client.of_person(context)


def connect() -> Client:
    """Return what the stores here take: the pod's API server, or the one of ``$KUBECONFIG``.

    Raises ``ConfigError``. Call ``close`` on it at the end.
    """
    return Client.from_environment()
