"""The kernel specs that are installed on this machine, as JupyterKernelSpec objects."""

from collections.abc import Iterator
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from elastic_jupyter.api.kernelspec import JupyterKernelSpec

_ONE_GPU = {"limits": {"nvidia.com/gpu": 1}}


def installed(namespace: str, *, gpus: int) -> list[JupyterKernelSpec]:
    """Return each kernel spec of the machine, plain and, where it has GPUs, with one of them."""
    return [
        JupyterKernelSpec.model_validate(
            {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
        )
        for kernel, found in KernelSpecManager().get_all_specs().items()
        for name, spec in _offered(kernel, found["spec"], gpus)
    ]


def _offered(name: str, found: dict[str, Any], gpus: int) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = {
        "language": found["language"],
        "displayName": found["display_name"],
        "command": found["argv"],
        "env": [{"name": name, "value": value} for name, value in (found.get("env") or {}).items()],
    }
    yield name, spec
    if gpus:
        yield (
            f"{name}-gpu",
            {**spec, "displayName": f"{spec['displayName']} (GPU)", "resources": _ONE_GPU},
        )
