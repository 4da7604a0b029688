"""What a store of JupyterKernels can do, and who may call what.

Wishes are the gateway's, facts are the reconciler's: separate methods, so that "no two writers for
one field" can be read from the signatures. Every method raises only ``elastic_jupyter.errors``;
besides those named, any of them may raise ``Unavailable`` and ``Forbidden``.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Protocol, TypeAlias

from elastic_jupyter.api.kernel import JupyterKernel, Snapshot
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.kube.kinds import Key

__all__ = [
    "Catalog",
    "Change",
    "Gone",
    "HandoverLease",
    "KernelLogs",
    "KernelStore",
    "Key",
    "Put",
    "ServedNotebooks",
    "Synced",
    "TombstoneStore",
    "Tombstones",
]


@dataclass(frozen=True, slots=True)
class Put:
    """The object exists and looks like this now. States in between may be skipped."""

    kernel: JupyterKernel


@dataclass(frozen=True, slots=True)
class Gone:
    """The object with this uid exists no more. One of the same name may follow, with another."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything that existed when the watch began has been told. Comes once."""


Change: TypeAlias = Put | Gone | Synced


class KernelStore(Protocol):
    """Where the JupyterKernels are."""

    async def get(self, key: Key) -> JupyterKernel:
        """Return the object. Raises ``NotFound``; ``Invalid`` when it does not fit the model."""
        ...

    async def list(self, namespace: str) -> list[JupyterKernel]:
        """Return all kernels of a namespace. One that does not fit the model is left out."""
        ...

    def watch(self, namespace: str | None, *, gateway: str | None) -> AsyncGenerator[Change, None]:
        """Tell all kernels of a namespace (None: of all), then ``Synced`` once, then what changes.

        ``gateway`` keeps only kernels that carry the label of that gateway. Never ends and never
        raises for a fault of the store: it tries again, and tells as ``Gone`` what vanished
        meanwhile. An object that does not fit the model is logged once and left out. Close the
        iterator (``contextlib.aclosing``) or cancel the task that reads it.
        """
        ...

    async def create(self, kernel: JupyterKernel) -> JupyterKernel:
        """Wish for a kernel; return the object with its uid. Called by the gateway.

        Raises ``AlreadyExists``, ``Invalid``, ``Forbidden``. After ``Unavailable`` the object may
        exist all the same.
        """
        ...

    async def delete(self, key: Key, *, uid: str) -> None:
        """Wish that the object with this uid be gone. That it is gone already is success."""
        ...

    async def annotate(self, key: Key, annotations: Mapping[str, str | None], *, uid: str) -> None:
        """Merge into the annotations of the object with this uid; None removes one. The gateway's.

        Raises ``NotFound`` when it is gone.
        """
        ...

    async def wish(
        self,
        key: Key,
        *,
        uid: str,
        suspend: bool | None = None,
        keep_until: datetime | None = None,
    ) -> JupyterKernel:
        """Change what may change in the ``spec`` of the object with this uid; None: as it is.

        Called for a person, and by the gateway. ``keep_until`` is aware UTC. Raises ``NotFound``
        when the object is gone, ``Invalid`` when its kernel has no gateway, which would heed it.
        """
        ...

    async def save(
        self,
        key: Key,
        snapshot: Snapshot | None,
        *,
        uid: str,
        epoch: int,
        version: str | None = None,
    ) -> JupyterKernel:
        """Write what the variables of an incarnation are while it does not run. The gateway's.

        With a snapshot the kernel is suspended, too: its pod may go. None: the variables are in
        the kernel again. Raises ``NotFound`` when the object with this uid is gone, ``Conflict``
        when its present incarnation is not of this ``epoch``, when it has changed since it was of
        this ``version`` (None: that is no matter), when the removal would take a rest of this
        incarnation back, or when others wrote it again and again.
        """
        ...

    async def patch_activity(self, key: Key, activity: dict[str, Any], *, uid: str) -> None:
        """Merge into ``status.activity``, which is the gateway's; None removes a key.

        ``activity`` has the JSON names. Raises ``NotFound`` when the object with this uid is gone,
        ``Conflict`` when others wrote the status again and again meanwhile.
        """
        ...

    async def patch_status(
        self, key: Key, status: dict[str, Any], *, version: str
    ) -> JupyterKernel:
        """Merge facts into the status; None removes a key, lists are replaced. The reconciler's.

        ``status`` has the JSON names; ``version`` is the ``metadata.resourceVersion`` that the
        decision was made on. Raises ``Conflict`` when there is a newer one, ``NotFound``,
        ``Invalid``.
        """
        ...


class KernelLogs(Protocol):
    """What kernels print beside their cells' output: standard output and error."""

    def read(
        self, kernel: JupyterKernel, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield what the present incarnation of a kernel printed, in pieces of any size.

        ``tail``: only so many lines at the end. ``follow``: and what comes, until its end. Raises
        ``NotFound`` when there is no log: it did not start yet, or is gone. Close the iterator.
        """
        ...


class Catalog(Protocol):
    """The kernel specs and templates of one namespace, kept fresh.

    Attributes:
        synced: set once the first list is complete.
        on_change: called without arguments after ``specs`` or ``templates`` changed; must not
            raise or block.
    """

    synced: asyncio.Event
    on_change: Callable[[], None] | None

    @property
    def specs(self) -> Mapping[str, JupyterKernelSpec]:
        """Kernel specs by object name. A live view."""
        ...

    @property
    def templates(self) -> Mapping[str, JupyterKernelTemplate]:
        """Kernel templates by object name. A live view."""
        ...

    def folder(self, name: str) -> str | None:
        """Return the folder of this machine that has the logos of a kernel spec, None: no such."""
        ...

    async def run(self) -> NoReturn:
        """Keep the catalog fresh until cancelled. A task that the caller watches."""
        ...


class ServedNotebooks(Protocol):
    """The notebooks that a gateway serves, as the operator last named them, kept fresh.

    Attributes:
        synced: set once the list is known.
        on_change: called without arguments after ``uids`` changed; must not raise or block.
    """

    synced: asyncio.Event
    on_change: Callable[[], None] | None

    @property
    def uids(self) -> Collection[str]:
        """uids of JupyterNotebooks that exist and name this gateway from where it allows it."""
        ...

    async def run(self) -> NoReturn:
        """Keep the list fresh until cancelled. A task that the caller watches."""
        ...


class Tombstones(Protocol):
    """What is left of kernels whose object was reclaimed, to be read."""

    async def load(self) -> dict[str, dict[str, Any]]:
        """Return all tombstones by kernel id. An entry that cannot be read is left out."""
        ...


class TombstoneStore(Tombstones, Protocol):
    """The same, to be written by its one writer: the gateway.

    A tombstone is a dict of JSON values; its contents are the caller's. The store is bounded: the
    oldest are dropped when it is full.
    """

    async def put(self, kernel_id: str, tombstone: dict[str, Any]) -> None:
        """Write one, replacing one of the same id. Raises ``Invalid`` when it alone is too big."""
        ...

    async def remove(self, kernel_id: str) -> None:
        """Forget one. That it does not exist is success."""
        ...


class HandoverLease(Protocol):
    """Tells a gateway that its successor serves: the last to take it holds it.

    It is no lock. Writes are fenced by uid and version; this only says when an old process may go.
    """

    async def take(self, identity: str) -> None:
        """Become the holder, whoever held it. ``identity`` is unique to the process."""
        ...

    async def wait_taken_by_other(self, identity: str) -> None:
        """Return once somebody other than ``identity`` holds it. Survives faults of the store."""
        ...
