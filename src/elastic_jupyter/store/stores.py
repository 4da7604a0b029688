"""Which stores a process works on: the one place that knows of more than one engine.

A URL names them: ``kubernetes:`` is the API server of the pod, or of ``$KUBECONFIG``;
``sqlite:///<path>`` is a database on this machine.
"""

from dataclasses import dataclass
from pathlib import Path

from elastic_jupyter.api import names
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.store.protocol import (
    Catalog,
    HandoverLease,
    KernelStore,
    ServedNotebooks,
    TombstoneStore,
)

KUBERNETES = "kubernetes:"
_SQLITE = "sqlite://"


@dataclass(frozen=True)
class Stores:
    """Where one gateway's objects are."""

    kernels: KernelStore
    catalog: Catalog
    tombstones: TombstoneStore
    notebooks: ServedNotebooks
    lease: HandoverLease


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return f"{_SQLITE}{path.absolute()}"


def connect(url: str, *, namespace: str, gateway: str) -> Stores:
    """Return the stores of one gateway. Raises ``ConfigError`` when the URL is of no kind known."""
    if url == KUBERNETES:
        return _kubernetes(namespace, gateway)
    if url.startswith(f"{_SQLITE}/"):
        return _sqlite(Path(url.removeprefix(_SQLITE)), namespace, gateway)
    raise ConfigError(
        f"the store {url!r} is of no known kind: it is {KUBERNETES} or {_SQLITE}/<path>"
    )


def _kubernetes(namespace: str, gateway: str) -> Stores:
    from elastic_jupyter.store import kubernetes

    client = kubernetes.connect()
    return Stores(
        kernels=kubernetes.KubernetesKernelStore(client),
        catalog=kubernetes.KubernetesCatalog(client, namespace),
        tombstones=kubernetes.SecretTombstones(
            client, namespace, names.tombstones_secret_name(gateway)
        ),
        notebooks=kubernetes.SecretNotebooks(
            client, namespace, names.notebooks_secret_name(gateway)
        ),
        lease=kubernetes.KubernetesLease(client, namespace, names.handover_lease_name(gateway)),
    )


def _sqlite(path: Path, namespace: str, gateway: str) -> Stores:
    from elastic_jupyter.store import sqlite

    database = sqlite.open_database(path)
    return Stores(
        kernels=sqlite.SqliteKernelStore(database),
        catalog=sqlite.SqliteCatalog(database, namespace),
        tombstones=sqlite.SqliteTombstones(database, namespace),
        notebooks=sqlite.SqliteNotebooks(database, namespace, gateway),
        lease=sqlite.SqliteLease(database, namespace, gateway),
    )
