"""Which kernels there are of a gateway, and which of a notebook."""

from collections.abc import Iterator
from typing import Any

from elastic_jupyter.kube.kinds import Key, Object


class KernelIndex:
    """The JupyterKernels of a cache, by the objects that they refer to."""

    def __init__(self) -> None:
        self._by_gateway: dict[Key, dict[Key, Object]] = {}
        self._by_notebook: dict[Key, dict[Key, Object]] = {}

    def changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Take note of a change in the cache (``kube.reflector.OnChange``)."""
        for index, reference in (
            (self._by_gateway, gateway_of),
            (self._by_notebook, notebook_of),
        ):
            for before in filter(None, [reference(old)]):
                group = index.get(before, {})
                group.pop(key, None)
                if not group:
                    index.pop(before, None)
            for after in filter(None, [reference(new)]):
                assert new is not None  # only an object refers to one
                index.setdefault(after, {})[key] = new

    def of_gateway(self, gateway: Key) -> Iterator[Object]:
        """Yield the kernels that name this gateway."""
        yield from self._by_gateway.get(gateway, {}).values()

    def of_notebook(self, notebook: Key) -> Iterator[Object]:
        """Yield the kernels that were started from a notebook of this name."""
        yield from self._by_notebook.get(notebook, {}).values()


def gateway_of(kernel: Object | None) -> Key | None:
    """Return the gateway that a kernel names; it is in the kernel's own namespace."""
    name = _reference(kernel, "gatewayRef").get("name")
    return Key(kernel["metadata"]["namespace"], name) if kernel and name else None


def notebook_of(kernel: Object | None) -> Key | None:
    """Return the notebook that a kernel was started from."""
    reference = _reference(kernel, "notebookRef")
    namespace, name = reference.get("namespace"), reference.get("name")
    return Key(namespace, name) if namespace and name else None


def _reference(kernel: Object | None, field: str) -> dict[str, Any]:
    spec = (kernel or {}).get("spec") or {}
    return spec.get(field) or {}
