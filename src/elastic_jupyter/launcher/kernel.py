"""The JupyterKernel that a launch makes from its template. Pure."""

import copy
from collections.abc import Mapping
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.launcher.launch import Launch
from elastic_jupyter.policy.compose import merge_env
from elastic_jupyter.policy.pod_template import pod_spec

#: Labels of the pod by which Enterprise Gateway's KubeflowProcessProxy finds the pod of a kernel,
#: and the JupyterKernel that it deletes at the end.
LABEL_KERNEL_ID = "kernel_id"
LABEL_KERNEL = "kernel"


def make_kernel(
    launch: Launch, template: JupyterKernelTemplate, *, gateway_uid: str
) -> JupyterKernel:
    """Return the object to create.

    It has no ``gatewayRef``: who launched the kernel connects to it, not our gateway. A container
    without command keeps the one of its image. Raises ``Invalid`` when the template has no shape
    of a pod.
    """
    return JupyterKernel.model_validate(
        {
            "metadata": {
                "name": launch.key.name,
                "namespace": launch.key.namespace,
                "labels": {
                    names.LABEL_NAME: names.APP_KERNEL,
                    names.LABEL_INSTANCE: launch.key.name,
                    names.LABEL_MANAGED_BY: names.MANAGED_BY,
                    names.LABEL_KERNEL_ID: launch.kernel_id,
                },
                "ownerReferences": [
                    {
                        "apiVersion": names.API_VERSION,
                        "kind": "JupyterGateway",
                        "name": launch.gateway,
                        "uid": gateway_uid,
                        "controller": True,
                        "blockOwnerDeletion": False,
                    }
                ],
            },
            "spec": {
                "template": _pod(launch, template.spec.template),
                "kernelID": launch.kernel_id,
                "kernelSpecName": launch.spec_name,
                "user": launch.user,
            },
        }
    )


def _pod(launch: Launch, template: Mapping[str, Any]) -> dict[str, Any]:
    pod = copy.deepcopy(dict(template))
    pod["spec"] = pod_spec(template, field="spec.template")
    container = pod["spec"]["containers"][0]
    container.setdefault("name", "kernel")
    if launch.image:
        container["image"] = launch.image
    container["env"] = merge_env(
        container.get("env") or [],
        [{"name": name, "value": value} for name, value in launch.env.items()],
    )
    metadata = _object(pod.get("metadata"))
    metadata["labels"] = {
        **_object(metadata.get("labels")),
        LABEL_KERNEL_ID: launch.kernel_id,
        LABEL_KERNEL: launch.key.name,
    }
    return {**pod, "metadata": metadata}


def _object(value: Any) -> dict[str, Any]:
    # Anything else is left out by the operator, too.
    return dict(value) if isinstance(value, Mapping) else {}
