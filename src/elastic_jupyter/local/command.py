"""What a JupyterKernel asks a machine to run. Pure.

Of the pod template's first container count command, args, env, workingDir and resources; the rest
is for a cluster: on one machine there is no image to run, no volume to mount and no node to choose.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import Invalid
from elastic_jupyter.policy import accelerators, quantity
from elastic_jupyter.policy.compose import DEFAULT_ARGV, escaped
from elastic_jupyter.policy.pod_template import pod_spec

#: The resource by which one of this machine's GPUs is asked for.
GPU = "nvidia.com/gpu"
#: A notebook server says with it in which folder the notebook lies that wants a kernel.
_NOTEBOOK_FOLDER = "KERNEL_WORKING_DIR"
_CONTAINER = "spec.template.spec.containers[0]"
#: What Jupyter, too, takes for "the Python that I run in".
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_REFERENCE = re.compile(r"\$(\$|\((?P<name>[^)]*)\))")


@dataclass(frozen=True)
class Command:
    """A process to start.

    ``env`` comes on top of the environment that is there. ``folder`` is where it must start;
    ``notebook_folder`` where it should, if that exists on this machine. ``memory`` is its limit as
    the template has it, None: it has none.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: str | None
    notebook_folder: str | None
    memory: str | None
    gpus: int

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes, None: it has none."""
        amount = quantity.parse(self.memory) if self.memory else None
        return None if amount is None else floor(amount)


def command(kernel: JupyterKernel, *, connection_file: str, python: str | None = None) -> Command:
    """Return what to run for a kernel; ``connection_file`` is the path of its connection file.

    ``python`` runs where the command says ``python``; None is this process' own. Raises
    ``Invalid``, which names the field, when a machine cannot do what it says.
    """
    container = pod_spec(kernel.spec.template, field="spec.template")["containers"][0]
    env = _environment(container, kernel)
    argv = [
        _expanded(word.replace("{connection_file}", escaped(connection_file)), env)
        for word in _words(container)
    ]
    if _PYTHON.fullmatch(argv[0]):
        argv[0] = python or sys.executable
    return Command(
        argv=tuple(argv),
        env=env,
        folder=_text(container.get("workingDir"), f"{_CONTAINER}.workingDir") or None,
        notebook_folder=env.get(_NOTEBOOK_FOLDER) or None,
        memory=_memory(container),
        gpus=_gpus(container),
    )


def kernel_id(kernel: JupyterKernel) -> str:
    """Return Jupyter's id of a kernel; one made by hand may have none and goes by its uid."""
    return kernel.spec.kernel_id or kernel.metadata.uid or ""


def _words(container: Mapping[str, Any]) -> list[str]:
    first, rest = container.get("command") or [], container.get("args") or []
    if not first and not rest:
        return list(DEFAULT_ARGV)
    if not first:
        raise Invalid(
            f"{_CONTAINER}.command: args alone go to the entry point of an image, and on one "
            "machine there is none; name the command"
        )
    return [
        _text(word, f"{_CONTAINER}.{part}[{index}]")
        for part, words in (("command", first), ("args", rest))
        for index, word in enumerate(words)
    ]


def _environment(container: Mapping[str, Any], kernel: JupyterKernel) -> dict[str, str]:
    if container.get("envFrom"):
        raise Invalid(f"{_CONTAINER}.envFrom: there are no ConfigMaps and Secrets on one machine")
    env: dict[str, str] = {}
    for index, entry in enumerate(container.get("env") or ()):
        field = f"{_CONTAINER}.env[{index}]"
        name = _text(entry["name"], f"{field}.name")
        if not name or "=" in name:
            raise Invalid(f"{field}.name: {name!r} is no name of a variable")
        if entry.get("valueFrom"):
            raise Invalid(
                f"{field}.valueFrom: {name} comes from an object of a cluster, and on one machine "
                "there is none; give it a value"
            )
        env[name] = _expanded(_text(entry.get("value"), f"{field}.value"), env)
    return env | {
        "KERNEL_ID": kernel_id(kernel),
        "KERNEL_USERNAME": kernel.spec.user or names.DEFAULT_USER,
        "KERNEL_NAMESPACE": kernel.metadata.namespace or "",
    }


def _expanded(text: str, env: Mapping[str, str]) -> str:
    """Return ``text`` with ``$(NAME)`` replaced and ``$$`` as ``$``, as Kubernetes does it.

    A name that is not known stays as it is written.
    """

    def one(found: re.Match[str]) -> str:
        return "$" if found["name"] is None else env.get(found["name"], found[0])

    return _REFERENCE.sub(one, text)


def _memory(container: Mapping[str, Any]) -> str | None:
    limit = _limits(container).get("memory")
    if limit is None:
        return None
    if quantity.parse(str(limit)) is None:
        raise Invalid(f"{_CONTAINER}.resources.limits.memory: {limit!r} is no quantity")
    return str(limit)


def _gpus(container: Mapping[str, Any]) -> int:
    wanted = {
        request.resource: request.amount
        for request in accelerators.requests({"containers": [container]})
    }
    gpus = wanted.pop(GPU, 0)
    if wanted:
        raise Invalid(
            f"{_CONTAINER}.resources: this machine has no {', '.join(wanted)}; its GPUs are asked "
            f"for as {GPU}"
        )
    return gpus


def _limits(container: Mapping[str, Any]) -> Mapping[str, Any]:
    resources = container.get("resources")
    limits = resources.get("limits") if isinstance(resources, Mapping) else None
    return limits if isinstance(limits, Mapping) else {}


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"{field} must be a string")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        raise Invalid(f"{field}: no process can be given a part of a character") from error
    if "\0" in value:
        raise Invalid(f"{field}: no process can be given a NUL")
    return value
