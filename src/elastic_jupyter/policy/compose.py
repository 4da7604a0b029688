"""The pod template of a kernel, made from what the user picked.

A JupyterKernelTemplate gives the pod, the JupyterKernelSpec overrides its first container, and what
is left open comes from the built-in Python kernel. The result is frozen in the JupyterKernel.
"""

import copy
from collections.abc import Mapping
from typing import Any

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.policy.pod_template import pod_spec

DEFAULT_ARGV = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")

#: Modules that start a kernel with a debugger.
_IPYKERNEL = frozenset({"ipykernel", "ipykernel_launcher"})

#: Commands of the original that ran inside its gateway to make the kernel; ours makes it itself.
_GATEWAY_SIDE_LAUNCHERS = ("kubeflow-launcher", "launch_kubernetes.py", "{response_address}")


def is_gateway_side_launcher(command: list[str]) -> bool:
    """Say whether ``command`` is the original's launcher, which is ignored."""
    return any(word in part for part in command for word in _GATEWAY_SIDE_LAUNCHERS)


def kernel_argv(spec: JupyterKernelSpec | None) -> list[str]:
    """Return the arguments that start a kernel of this spec; None is the built-in Python."""
    command = (spec.spec.command if spec else None) or []
    if not command or is_gateway_side_launcher(command):
        return list(DEFAULT_ARGV)
    return list(command)


def can_debug(spec: JupyterKernelSpec | None) -> bool:
    """Say whether kernels of this spec answer a debugger; None is the built-in Python."""
    said = spec.spec.debugger if spec else None
    return bool(_IPYKERNEL.intersection(kernel_argv(spec))) if said is None else said


def compose(
    spec: JupyterKernelSpec | None,
    template: JupyterKernelTemplate | None,
    *,
    default_image: str | None,
    env: Mapping[str, str],
) -> dict[str, Any]:
    """Return the PodTemplateSpec (a dict of the API's JSON) of a kernel.

    Its first container is the kernel's; ``{connection_file}`` stays in its arguments, since only
    the reconciler knows the path. ``env`` is what the client asked for, wins over the spec's and
    arrives as it is.
    No argument is changed. Raises ``Invalid`` when the template has no shape of a pod.
    """
    wanted = spec.spec if spec else None
    pod: dict[str, Any] = copy.deepcopy(template.spec.template) if template else {}
    pod["spec"] = pod_spec(pod, field="spec.template")
    container = pod["spec"]["containers"][0]
    container.setdefault("name", "kernel")
    if wanted and wanted.image:
        container["image"] = wanted.image
    if default_image:
        container.setdefault("image", default_image)
    container.setdefault("imagePullPolicy", "IfNotPresent")
    if wanted and wanted.resources:
        container["resources"] = copy.deepcopy(wanted.resources)
    command = list(wanted.command or ()) if wanted else []
    if command and not is_gateway_side_launcher(command):
        container["command"], container["args"] = command, []
    elif not container.get("command") and not container.get("args"):
        container["command"], container["args"] = list(DEFAULT_ARGV), []
    spec_env = copy.deepcopy(wanted.env) if wanted and wanted.env else []
    container["env"] = merge_env(
        container.get("env") or [],
        spec_env,
        [{"name": name, "value": escaped(value)} for name, value in env.items()],
    )
    return pod


def escaped(value: str) -> str:
    """Return an environment variable's value so that Kubernetes passes it as it is.

    It would put the value of another variable in the place of ``$(NAME)``.
    """
    return value.replace("$", "$$")


def unescaped(value: str) -> str:
    """Return what ``escaped`` was given."""
    return value.replace("$$", "$")


def merge_env(*layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the environment variables (EnvVar) of all layers; a later one wins."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for entry in layer:
            merged.pop(entry["name"], None)  # a later layer also moves the name to the end,
            merged[entry["name"]] = entry  # so that its $(VAR) references see what came before
    return list(merged.values())
