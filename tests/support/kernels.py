"""Kernels, gateways, notebooks and kernels' pods, as the API server has them.

Each builder starts from a valid object and refuses one that cannot exist.
"""

import copy
from typing import Any, TypeVar

from elastic_jupyter.api import names
from elastic_jupyter.api.base import Resource
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common
from elastic_jupyter.operator.objects.kernel import make_pod
from elastic_jupyter.policy.images import Images

R = TypeVar("R", bound=Resource)

IMAGES = Images(gateway="ours/gateway:1", notebook="ours/notebook:1", kernel="ours/kernel:1")
MASTER_KEY = bytes(range(32))
CREATED = "2026-11-24T17:00:00Z"

KERNEL_ID = "5a1f6d0e-0d6c-4c5e-9b0f-0123456789ab"

RUNNING: Object = {
    "phase": "Running",
    "podIP": "10.0.0.7",
    "containerStatuses": [{"name": "kernel", "state": {"running": {"startedAt": CREATED}}}],
}


def a_kernel(
    name: str = "jovyan-1",
    *,
    gpus: int = 0,
    container: Object | None = None,
    pod: Object | None = None,
    pod_metadata: Object | None = None,
    annotations: dict[str, str] | None = None,
    status: Object | None = None,
    **spec: Any,
) -> Object:
    """Return a JupyterKernel; ``spec`` has the JSON names, and None leaves a field out.

    ``container``, ``pod`` and ``pod_metadata`` go into the template.
    """
    first = dict(container or {})
    if gpus:
        first["resources"] = {"limits": {"nvidia.com/gpu": gpus}}
    template: Object = {"spec": {**(pod or {}), "containers": [first]}}
    if pod_metadata:
        template["metadata"] = pod_metadata
    fields = {"template": template, "kernelID": KERNEL_ID, "gatewayRef": {"name": "gw"}, **spec}
    kernel = _object(JupyterKernel, name, {k: v for k, v in fields.items() if v is not None})
    if annotations:
        kernel["metadata"]["annotations"] = annotations
    if status:
        kernel["status"] = status
    return _checked(JupyterKernel, kernel)


def a_gateway(name: str = "gw", *, status: Object | None = None, **spec: Any) -> Object:
    """Return a JupyterGateway; ``spec`` has the JSON names."""
    gateway = _object(JupyterGateway, name, spec)
    if status:
        gateway["status"] = status
    return _checked(JupyterGateway, gateway)


def a_notebook(name: str = "nb", *, gateway: str | None = "gw", **spec: Any) -> Object:
    """Return a JupyterNotebook; ``spec`` has the JSON names."""
    if gateway is None and "template" not in spec:
        raise ValueError("a notebook has a gateway or a template")
    reference = {"gateway": {"name": gateway}} if gateway else {}
    return _checked(JupyterNotebook, _object(JupyterNotebook, name, {**reference, **spec}))


def a_kernel_spec(name: str = "spec", **spec: Any) -> Object:
    """Return a JupyterKernelSpec; ``spec`` has the JSON names."""
    return _checked(JupyterKernelSpec, _object(JupyterKernelSpec, name, spec))


def a_kernel_template(name: str = "template", **template: Any) -> Object:
    """Return a JupyterKernelTemplate with the parts of a PodTemplateSpec."""
    obj = _object(JupyterKernelTemplate, name, {"template": template})
    return _checked(JupyterKernelTemplate, obj)


def a_pod_of(
    kernel: Object,
    *,
    epoch: int = 1,
    gated: bool = False,
    being_deleted: bool = False,
    node: str | None = None,
    **status: Any,
) -> Object:
    """Return the pod of one incarnation of a kernel; ``status`` has the JSON names."""
    pod = make_pod(model(JupyterKernel, kernel), epoch=epoch, ours=IMAGES)
    if gated:
        if "schedulingGates" not in pod["spec"]:
            raise ValueError("only a pod with an accelerator waits in the queue")
        if node or status.get("containerStatuses"):
            raise ValueError("a gated pod is on no node and runs nothing")
    else:
        pod["spec"].pop("schedulingGates", None)
    pod["metadata"] |= {"creationTimestamp": CREATED, "uid": "pod-uid"}
    if being_deleted:
        pod["metadata"] |= {"deletionTimestamp": CREATED, "deletionGracePeriodSeconds": 30}
    if node:
        pod["spec"]["nodeName"] = node
    return {**pod, "status": copy.deepcopy(status)}


def a_master_key(gateway: Object, *, key: bytes = MASTER_KEY) -> Object:
    """Return the Secret that the keys of a gateway derive from."""
    name = gateway["metadata"]["name"]
    owner = model(JupyterGateway, gateway)
    return {
        "metadata": common.metadata(
            names.master_key_secret_name(name), owner, common.labels(names.APP_GATEWAY, name)
        ),
        "data": common.encoded({names.MASTER_KEY_KEY: key}),
    }


def waiting(reason: str, message: str = "") -> Object:
    """Return the status of a container that does not run yet."""
    return {"name": "kernel", "state": {"waiting": {"reason": reason, "message": message}}}


def ended(exit_code: int, *, reason: str = "Error", message: str = "") -> Object:
    """Return the status of a container whose process ended."""
    state = {"exitCode": exit_code, "reason": reason, "message": message}
    return {"name": "kernel", "state": {"terminated": state}}


def pod_condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    """Return a condition of a pod."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def model(kind: type[R], obj: Object) -> R:
    """Return an object as its model."""
    return kind.model_validate(obj)


def _object(kind: type[Resource], name: str, spec: Object) -> Object:
    fields = kind.model_fields
    return {
        "apiVersion": names.API_VERSION,
        "kind": fields["kind"].default,
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1},
        "spec": copy.deepcopy(spec),
    }


def _checked(kind: type[Resource], obj: Object) -> Object:
    known = model(kind, obj).to_dict()
    for part in ("spec", "status"):
        unknown = set(obj.get(part) or {}) - set(known.get(part) or {})
        if unknown:
            raise ValueError(f"{kind.__name__} has no {part}.{', '.join(sorted(unknown))}")
    return obj
