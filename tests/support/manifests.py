"""Manifests that the cluster tests apply, as a user would write them."""

from typing import Any

API = "kubeflow.tkestack.io/v1alpha1"


def notebook(
    name: str = "nb", *, gateway: str = "gw", namespace: str, **spec: Any
) -> dict[str, Any]:
    """A JupyterNotebook without login; ``namespace`` is the gateway's."""
    return {
        "apiVersion": API,
        "kind": "JupyterNotebook",
        "metadata": {"name": name},
        "spec": {
            "gateway": {"name": gateway, "namespace": namespace},
            "auth": {"mode": "disable"},
            **spec,
        },
    }


def parked() -> dict[str, Any]:
    """The pod template of a notebook server that never starts; its notebook has a token anyway."""
    return {"spec": {"nodeSelector": {"no-such-node": ""}, "containers": [{"name": "notebook"}]}}


def plain_notebook(
    name: str, *, template: dict[str, Any], auth: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A JupyterNotebook that has no gateway: plain Jupyter."""
    spec = {"template": template, **({"auth": auth} if auth else {})}
    return {"apiVersion": API, "kind": "JupyterNotebook", "metadata": {"name": name}, "spec": spec}


def stock_lab(image: str) -> dict[str, Any]:
    """The pod template of a JupyterLab that is not ours; its command is a user's to give."""
    command = ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
    container = {
        "name": "notebook",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "readinessProbe": {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 1},
    }
    return {"spec": {"containers": [container]}}


def gateway(name: str = "gw", **spec: Any) -> dict[str, Any]:
    """A JupyterGateway; ``spec`` holds fields under their own names."""
    return {"apiVersion": API, "kind": "JupyterGateway", "metadata": {"name": name}, "spec": spec}


def kernel_spec(
    name: str, *, template: str | None = None, display_name: str | None = None, **spec: Any
) -> dict[str, Any]:
    """A JupyterKernelSpec; ``spec`` holds more fields under their own names."""
    if template:
        spec["template"] = {"name": template}
    return {
        "apiVersion": API,
        "kind": "JupyterKernelSpec",
        "metadata": {"name": name},
        "spec": {"language": "python", "displayName": display_name or name, **spec},
    }


def kernel_template(name: str, **template: Any) -> dict[str, Any]:
    """A JupyterKernelTemplate with the parts of a PodTemplateSpec."""
    return {
        "apiVersion": API,
        "kind": "JupyterKernelTemplate",
        "metadata": {"name": name},
        "spec": {"template": template},
    }


def gpu_template(name: str, *, gpus: int = 1) -> dict[str, Any]:
    """A JupyterKernelTemplate whose container asks for ``gpus`` GPUs."""
    container = {"name": "kernel", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return kernel_template(name, spec={"containers": [container]})


def plain_pod(
    name: str,
    *,
    namespace: str,
    image: str,
    command: list[str],
    limits: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A bare pod with one container, for what the tests themselves need in the cluster."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"limits": limits or {}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        | spec,
    }
