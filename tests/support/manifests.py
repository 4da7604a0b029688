"""Manifests that the cluster tests apply, as a user would write them."""

from typing import Any

API = "kubeflow.tkestack.io/v1alpha1"


def notebook(name: str = "nb", *, gateway: str = "gw", namespace: str) -> dict[str, Any]:
    """A JupyterNotebook without login; ``namespace`` is the gateway's."""
    return {
        "apiVersion": API,
        "kind": "JupyterNotebook",
        "metadata": {"name": name},
        "spec": {
            "gateway": {"name": gateway, "namespace": namespace},
            "auth": {"mode": "disable"},
        },
    }


def gateway(name: str = "gw", **spec: Any) -> dict[str, Any]:
    """A JupyterGateway; ``spec`` holds fields under their own names."""
    return {"apiVersion": API, "kind": "JupyterGateway", "metadata": {"name": name}, "spec": spec}


def kernel_spec(name: str, *, template: str, display_name: str) -> dict[str, Any]:
    """A Python JupyterKernelSpec that runs in the pod of ``template``."""
    return {
        "apiVersion": API,
        "kind": "JupyterKernelSpec",
        "metadata": {"name": name},
        "spec": {
            "language": "python",
            "displayName": display_name,
            "template": {"name": template},
        },
    }


def gpu_template(name: str, *, gpus: int = 1) -> dict[str, Any]:
    """A JupyterKernelTemplate whose container asks for ``gpus`` GPUs."""
    return {
        "apiVersion": API,
        "kind": "JupyterKernelTemplate",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"name": "kernel", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
                    ]
                }
            }
        },
    }


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
