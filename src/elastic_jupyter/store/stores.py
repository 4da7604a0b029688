"""Which stores a process works on: the one place that knows of more than one engine.

A URL names them: ``kubernetes:`` is the API server of the pod, or of ``$KUBECONFIG``;
``sqlite:///<path>`` is a database on this machine. For a person, ``kubernetes:`` may name what of
the kubeconfig is meant: ``kubernetes:?context=<name>&namespace=<name>``.
"""

import contextlib
import fcntl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from elastic_jupyter.api import names
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.store.protocol import (
    Catalog,
    HandoverLease,
    KernelLogs,
    KernelStore,
    ServedNotebooks,
    Tombstones,
    TombstoneStore,
)
from elastic_jupyter.store.state_directory import database, lock

KUBERNETES = "kubernetes:"
_SQLITE = "sqlite://"
#: Namespace of all objects in a database, and name of the one gateway.
LOCAL = "local"


@dataclass(frozen=True)
class Stores:
    """Where one gateway's objects are."""

    kernels: KernelStore
    catalog: Catalog
    tombstones: TombstoneStore
    notebooks: ServedNotebooks
    lease: HandoverLease


@dataclass(frozen=True)
class TeamStores:
    """What a person works on: the kernels of one namespace, whichever gateway serves them.

    ``unheeded``: why what is shown is old and no wish is heeded now; empty: all is as it should be.
    """

    namespace: str
    kernels: KernelStore
    logs: KernelLogs
    tombstones: Tombstones
    unheeded: str = ""


def personal_url(
    url: str | None = None,
    *,
    state: Path | None = None,
    context: str | None = None,
    namespace: str | None = None,
) -> str:
    """Return the URL of what a person means.

    Without ``url``, ``context`` or ``namespace``: the database in the state directory where there
    is one, else the kubeconfig's current context. Raises ``ConfigError`` when they contradict each
    other.
    """
    named = {"context": context, "namespace": namespace}
    given = {name: value for name, value in named.items() if value}
    if not url and not given and state and database(state).exists():
        return sqlite_url(database(state))
    url = url or KUBERNETES
    if not given:
        return url
    if not url.startswith(KUBERNETES):
        raise ConfigError(f"the store {url} has no {' and no '.join(given)}")
    asked = _asked(url)
    for name, value in given.items():
        if asked.get(name, value) != value:
            raise ConfigError(f"{name} {value} is not the {name} of the store {url}")
    return f"{KUBERNETES}?{urlencode(asked | given)}"


def _asked(url: str) -> dict[str, str]:
    """Return what of the kubeconfig a URL names. Raises ``ConfigError`` for what it cannot name."""
    rest, _, query = url.removeprefix(KUBERNETES).partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    known = ("context", "namespace")
    unknown = [name for name in asked if name not in known]
    if rest or unknown:
        raise ConfigError(
            f"the store {url} names {(rest or unknown[0])!r}, which is unknown; after {KUBERNETES} "
            "may follow ?context=NAME&namespace=NAME"
        )
    return {name: value for name, value in asked.items() if value}


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncGenerator[TeamStores, None]:
    """Open what a person works on. Raises ``ConfigError``; ``Unavailable`` for a broken file."""
    if url.startswith(KUBERNETES):
        asked = _asked(url)
        try:
            from elastic_jupyter.store import kubernetes
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"there is no {error.name}, which kernels of a cluster need: pip install "
                "'elastic-jupyter[cli]'; those of this machine need elastic-jupyter up, which "
                "makes their database"
            ) from error

        async with kubernetes.connect_person(asked.get("context")) as client:
            namespace = asked.get("namespace") or client.namespace
            yield TeamStores(
                namespace,
                kubernetes.KubernetesKernelStore(client),
                kubernetes.PodLogs(client),
                kubernetes.TeamTombstones(client, namespace),
            )
        return
    path = _path(url)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"there is no database {path}: elastic-jupyter up makes one") from None
    except OSError as error:
        raise ConfigError(f"the database {path} cannot be read: {error.strerror}") from error
    from elastic_jupyter.store import sqlite

    with contextlib.closing(sqlite.open_database(path)) as file:
        kernels = sqlite.SqliteKernelStore(file)
        tombstones = sqlite.SqliteTombstones(file, LOCAL)
        logs = sqlite.FileLogs(path.parent, kernels)
        yield TeamStores(LOCAL, kernels, logs, tombstones, _unheeded(path.parent))


def _unheeded(state: Path) -> str:
    try:
        with lock(state).open() as file:
            # Let go at once: an `up` that starts in the meantime waits for an instant only.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # it is held, or nobody ever had it
        return ""
    return (
        f"elastic-jupyter up does not run with {state}: kernels are as it left them, and what is "
        "asked of them waits until it does"
    )


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return f"{_SQLITE}{path.absolute()}"


def connect(url: str, *, namespace: str, gateway: str) -> Stores:
    """Return the stores of one gateway. Raises ``ConfigError`` when the URL is of no kind known."""
    if url == KUBERNETES:
        return _kubernetes(namespace, gateway)
    return _sqlite(_path(url), namespace, gateway)


def _path(url: str) -> Path:
    if url.startswith(f"{_SQLITE}/"):
        return Path(url.removeprefix(_SQLITE))
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
