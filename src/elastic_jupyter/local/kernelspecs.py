"""The kernel specs installed on this machine, as JupyterKernelSpecs: plain and with a GPU.

What ``jupyter kernelspec list`` shows is offered. A kernel.json may say in its metadata what its
kernels need, as a JupyterKernelSpec does, and is then offered in that way alone::

    "metadata": {"elastic_jupyter": {"resources": {"limits": {"nvidia.com/gpu": 2}}}}

So it may say what becomes of them when they are idle (``reclaim``), and, as to any Jupyter server,
after how many seconds (``cull_idle_timeout`` of ``metadata``).
"""

import functools
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from pydantic import ValidationError
from traitlets import TraitError

from elastic_jupyter import logs, untrusted_json
from elastic_jupyter.api import names
from elastic_jupyter.api.base import ObjectMeta
from elastic_jupyter.api.kernelspec import JupyterKernelSpec, KernelSpecSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.policy.compose import escaped, is_gateway_side_launcher

_ONE_GPU = {"limits": {"nvidia.com/gpu": 1}}
_LOCAL_PROVISIONER = "local-provisioner"
#: Characters of an object's name that are taken from a kernel's; a number and -gpu come on top.
_LONGEST = 200
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")
#: What jupyter_client, too, takes for "the Python that I run in".
_PYTHON = re.compile(rf"python({sys.version_info.major}(\.{sys.version_info.minor})?)?")
#: What jupyter_client raises for a kernel.json, among them JSON's and traitlets' errors.
_UNREADABLE = (OSError, ValueError, TypeError, TraitError)

log = logs.get(__name__)


def installed(namespace: str, *, gpus: int) -> list[JupyterKernelSpec]:
    """Return what this machine offers, which has so many GPUs, sorted by name.

    One that is broken is left out and told in the log, once in the life of the process.
    """
    wanted = []
    folders = {}
    for name, file, spec in _read():
        folders[name] = spec.resource_dir
        try:
            wanted += [(name, suffix, wish) for suffix, wish in wishes(spec, gpus, os.environ)]
        except Invalid as error:
            _tell(f"{file}: {error}")
    return objects(namespace, wanted, folders)


def wishes(
    spec: KernelSpec, gpus: int, environ: Mapping[str, str]
) -> Iterator[tuple[str, KernelSpecSpec]]:
    """Yield what a kernel spec is offered as, each with what its name ends with.

    ``gpus`` of this machine; ``environ`` is what variables in ``env`` stand for. Raises
    ``Invalid``, which names the field, for one that no process can be made of.
    """
    plain = {
        "display_name": spec.display_name or None,
        "language": spec.language or None,
        "command": _command(spec),
        "env": _env(spec, environ),
        "debugger": spec.metadata.get("debugger") is True,
        "cull_idle_timeout": spec.metadata.get("cull_idle_timeout"),
        "reclaim": _ours(spec).get("reclaim"),
    }
    resources = _resources(spec)
    yield "", _spec(plain | {"resources": resources})
    if gpus and resources is None:
        display_name = f"{spec.display_name} (GPU)".lstrip()
        yield "-gpu", _spec(plain | {"resources": _ONE_GPU, "display_name": display_name})


def objects(
    namespace: str,
    wanted: Iterable[tuple[str, str, KernelSpecSpec]],
    folders: Mapping[str, str],
) -> list[JupyterKernelSpec]:
    """Return the objects of (kernel's name, suffix, spec), each with a name of its own, sorted.

    A kernel whose name is valid has just that, whatever the others become. ``folders`` are those of
    the kernels' files, by the kernel's name.
    """

    def rank(one: tuple[str, str, KernelSpecSpec]) -> tuple[bool, bool, str]:
        kernel, suffix, _ = one
        return bool(suffix), object_name(kernel) != kernel, kernel

    named: dict[str, JupyterKernelSpec] = {}
    for kernel, suffix, spec in sorted(wanted, key=rank):
        base = name = object_name(kernel) + suffix
        number = 1
        while name in named:
            number += 1
            name = f"{base}-{number}"
        about = {names.ANNOTATION_RESOURCE_DIRECTORY: folders[kernel]}
        meta = ObjectMeta(name=name, namespace=namespace, annotations=about)
        named[name] = JupyterKernelSpec(metadata=meta, spec=spec)
    return [named[name] for name in sorted(named)]


def object_name(kernel: str) -> str:
    """Return a kernel's name as an object's (RFC 1123 subdomain)."""
    words = re.sub(r"[^a-z0-9.]+", "-", kernel.lower())[:_LONGEST].split(".")
    return ".".join(filter(None, (word.strip("-") for word in words))) or "kernel"


def _command(spec: KernelSpec) -> list[str]:
    if not spec.argv:
        raise Invalid("argv is empty")
    if not all(isinstance(word, str) for word in spec.argv):
        raise Invalid("argv must be strings")
    metadata = spec.metadata.get("kernel_provisioner")
    provisioner = metadata.get("provisioner_name") if isinstance(metadata, Mapping) else None
    if provisioner not in (None, _LOCAL_PROVISIONER):
        raise Invalid(f"metadata.kernel_provisioner: {provisioner!r} makes no process here")
    if is_gateway_side_launcher(spec.argv):
        raise Invalid("argv is a launcher of Enterprise Gateway, which makes no process here")
    first, *rest = spec.argv
    argv = [sys.executable if _PYTHON.fullmatch(first) else first, *rest]
    known = {"resource_dir": spec.resource_dir, "prefix": sys.prefix}
    return [
        escaped(_PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), word))
        for word in argv
    ]


def _env(spec: KernelSpec, environ: Mapping[str, str]) -> list[dict[str, Any]] | None:
    for name, value in spec.env.items():
        if not isinstance(value, str):
            raise Invalid(f"env.{name} must be a string")
    return [
        {"name": name, "value": escaped(Template(value).safe_substitute(environ))}
        for name, value in spec.env.items()
    ] or None


def _ours(spec: KernelSpec) -> Mapping[str, Any]:
    ours = spec.metadata.get("elastic_jupyter")
    return ours if isinstance(ours, Mapping) else {}


def _resources(spec: KernelSpec) -> dict[str, Any] | None:
    resources = _ours(spec).get("resources")
    if resources is None:
        return None
    field = "metadata.elastic_jupyter.resources"
    if not isinstance(resources, dict):
        raise Invalid(f"{field} must be an object with limits")
    for part in ("limits", "requests"):
        if not isinstance(resources.get(part, {}), dict):
            raise Invalid(f"{field}.{part} must be an object")
    return resources


def _spec(fields: Mapping[str, Any]) -> KernelSpecSpec:
    try:
        return KernelSpecSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"{where}: {first['msg']}") from error


def _read() -> Iterator[tuple[str, Path, KernelSpec]]:
    """Yield name, kernel.json and contents of each kernel spec that can be read."""
    manager = KernelSpecManager(log=_silent())
    for name, folder in manager.find_kernel_specs().items():
        file = Path(folder) / "kernel.json"
        try:
            # ipykernel's own is there without being installed.
            known = file.exists() or name != NATIVE_KERNEL_NAME
            with untrusted_json.reading():
                if known:
                    found = KernelSpec.from_resource_dir(folder)
                else:
                    found = manager.get_kernel_spec(name)
        except _UNREADABLE as error:
            _tell(f"{file}: cannot be read: {error}")
        else:
            yield name, file, found


@functools.cache
def _tell(line: str) -> None:
    """Log a line once: whoever offers kernels reads them every few seconds."""
    log.warning("a kernel spec is left out", reason=line)


@functools.cache
def _silent() -> logging.Logger:
    """Return a logger for jupyter_client, whose warnings would come at each look."""
    silent = logging.Logger(__name__)
    silent.addHandler(logging.NullHandler())
    return silent
