"""The kernel specs and templates of a namespace, followed in the API server."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, NoReturn, TypeVar

from elastic_jupyter.api.base import Resource
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import (
    JUPYTER_KERNEL_SPEC,
    JUPYTER_KERNEL_TEMPLATE,
    Key,
    Kind,
    Object,
)
from elastic_jupyter.kube.reflector import Reflector
from elastic_jupyter.store.parsing import LenientParser

R = TypeVar("R", bound=Resource)


class KubernetesCatalog:
    """``Catalog`` on the API server."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.synced = asyncio.Event()
        self.on_change: Callable[[], None] | None = None
        self._specs = _Shelf(client, JUPYTER_KERNEL_SPEC, namespace, JupyterKernelSpec, self._tell)
        self._templates = _Shelf(
            client, JUPYTER_KERNEL_TEMPLATE, namespace, JupyterKernelTemplate, self._tell
        )

    @property
    def specs(self) -> Mapping[str, JupyterKernelSpec]:
        return MappingProxyType(self._specs.items)

    @property
    def templates(self) -> Mapping[str, JupyterKernelTemplate]:
        return MappingProxyType(self._templates.items)

    def folder(self, name: str) -> str | None:
        return None  # whoever may write an object would have a gateway show its files

    async def run(self) -> NoReturn:
        async with asyncio.TaskGroup() as group:
            for shelf in (self._specs, self._templates):
                group.create_task(shelf.reflector.run())
            await self._specs.reflector.synced.wait()
            await self._templates.reflector.synced.wait()
            self.synced.set()
        raise RuntimeError("the catalog's reflectors ended")

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()


class _Shelf(Generic[R]):
    """The objects of one kind that fit its model, by name."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str,
        model: type[R],
        tell: Callable[[], None],
    ) -> None:
        self.items: dict[str, R] = {}
        self.reflector = Reflector(client, kind, namespace)
        self.reflector.on_change(self._changed)
        self._model = model
        self._tell = tell
        self._parser = LenientParser()

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        parsed = None if new is None else self._parser.parse(self._model, new)
        if parsed is not None:
            self.items[key.name] = parsed
        else:
            self.items.pop(key.name, None)
            if new is None and old is not None:
                self._parser.forget(old["metadata"]["uid"])
        self._tell()
