"""The kernel specs and templates of a namespace, followed in the file."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from sqlite3 import Connection
from types import MappingProxyType
from typing import Generic, NoReturn, TypeVar

from elastic_jupyter.api import names
from elastic_jupyter.api.base import Resource
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL_SPEC, JUPYTER_KERNEL_TEMPLATE
from elastic_jupyter.store.parsing import LenientParser
from elastic_jupyter.store.protocol import Gone
from elastic_jupyter.store.sqlite import objects
from elastic_jupyter.store.sqlite.database import Database
from elastic_jupyter.store.sqlite.feed import Written, follow

R = TypeVar("R", bound=Resource)

SPEC = str(JUPYTER_KERNEL_SPEC)
TEMPLATE = str(JUPYTER_KERNEL_TEMPLATE)


class SqliteCatalog:
    """``Catalog`` in a SQLite file."""

    def __init__(self, database: Database, namespace: str) -> None:
        self.synced = asyncio.Event()
        self.on_change: Callable[[], None] | None = None
        self._database = database
        self._namespace = namespace
        self._specs = _Shelf(SPEC, JupyterKernelSpec)
        self._templates = _Shelf(TEMPLATE, JupyterKernelTemplate)

    @property
    def specs(self) -> Mapping[str, JupyterKernelSpec]:
        return MappingProxyType(self._specs.items)

    @property
    def templates(self) -> Mapping[str, JupyterKernelTemplate]:
        return MappingProxyType(self._templates.items)

    def folder(self, name: str) -> str | None:
        spec = self.specs.get(name)
        about = spec.metadata.annotations if spec else None
        return (about or {}).get(names.ANNOTATION_RESOURCE_DIRECTORY)

    async def run(self) -> NoReturn:
        async with asyncio.TaskGroup() as group:
            for shelf in (self._specs, self._templates):
                group.create_task(shelf.fill(self._database, self._namespace, self._tell))
            await self._specs.synced.wait()
            await self._templates.synced.wait()
            self.synced.set()
        raise RuntimeError("the catalog's feeds ended")

    async def replace_specs(self, specs: Sequence[JupyterKernelSpec]) -> None:
        """Make these the kernel specs of the namespace. One that is there already is left alone.

        The supervisor's. Raises ``Invalid``, and then changes nothing.
        """
        wanted = {spec.metadata.name: spec.to_dict() for spec in specs}
        now = self._database.clock.now()

        def replace(connection: Connection) -> None:
            for old in objects.all_of(connection, SPEC, self._namespace):
                if old["metadata"]["name"] not in wanted:
                    objects.remove(connection, SPEC, old)
            for spec in wanted.values():
                metadata = {**spec["metadata"], "namespace": self._namespace}
                objects.put(connection, SPEC, {**spec, "metadata": metadata}, now=now)

        await self._database.write(replace)

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()


class _Shelf(Generic[R]):
    """The objects of one kind that fit its model, by name."""

    def __init__(self, kind: str, model: type[R]) -> None:
        self.items: dict[str, R] = {}
        self.synced = asyncio.Event()
        self._kind = kind
        self._model = model
        self._parser = LenientParser()

    async def fill(self, database: Database, namespace: str, tell: Callable[[], None]) -> None:
        async with contextlib.aclosing(follow(database, self._kind, namespace)) as feed:
            async for event in feed:
                if isinstance(event, Written):
                    self._put(event)
                    tell()
                elif isinstance(event, Gone):
                    self._parser.forget(event.uid)
                    self.items.pop(event.key.name, None)
                    tell()
                else:
                    self.synced.set()

    def _put(self, event: Written) -> None:
        name = event.obj["metadata"]["name"]
        parsed = self._parser.parse(self._model, event.obj)
        if parsed is None:
            self.items.pop(name, None)
        else:
            self.items[name] = parsed
