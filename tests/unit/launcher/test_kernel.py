"""The JupyterKernel that a launch makes."""

import copy
from typing import Any

import pytest

from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate, KernelTemplateSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.launcher import launch
from elastic_jupyter.launcher.kernel import make_kernel
from elastic_jupyter.launcher.launch import Launch
from tests.unit.launcher.test_launch import ENV, FLAGS, ID

#: The original's config/samples/kubeflow.tkestack.io_v1alpha1_jupyterkerneltemplate.yaml.
SAMPLE = {
    "metadata": {"app": "enterprise-gateway", "component": "kernel"},
    "spec": {"restartPolicy": "Always", "containers": [{"name": "kernel"}]},
}


def made(pod: Any, **env: str) -> dict[str, Any]:
    """Return the object that is made from the template ``pod``, as JSON."""
    template = JupyterKernelTemplate(spec=KernelTemplateSpec(template=pod))
    flags = FLAGS | {launch.RESPONSE_ADDRESS: "10.0.0.1:8877"}
    return make_kernel(Launch.read(flags, ENV | env), template, gateway_uid="u-1").to_dict()


def test_the_originals_sample_becomes_a_kernel_that_enterprise_gateway_finds():
    name = f"jovyan-{ID}"
    assert made(SAMPLE, KERNEL_IMAGE="image:1", KERNEL_NAME="py", KERNEL_USERNAME="jovyan") == {
        "apiVersion": "kubeflow.tkestack.io/v1alpha1",
        "kind": "JupyterKernel",
        "metadata": {
            "name": name,
            "namespace": "team",
            "labels": {
                "app.kubernetes.io/name": "jupyter-kernel",
                "app.kubernetes.io/instance": name,
                "app.kubernetes.io/managed-by": "elastic-jupyter",
                "kubeflow.tkestack.io/kernel-id": ID,
            },
            "ownerReferences": [
                {
                    "apiVersion": "kubeflow.tkestack.io/v1alpha1",
                    "kind": "JupyterGateway",
                    "name": "gw",
                    "uid": "u-1",
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "kernelID": ID,
            "kernelSpecName": "py",
            "user": "jovyan",
            "template": {
                "metadata": {
                    "app": "enterprise-gateway",
                    "component": "kernel",
                    "labels": {"kernel_id": ID, "kernel": name},
                },
                "spec": {
                    "restartPolicy": "Always",
                    "containers": [
                        {
                            "name": "kernel",
                            "image": "image:1",
                            "env": [
                                {"name": "EG_RESPONSE_ADDRESS", "value": "10.0.0.1:8877"},
                                {"name": "KERNEL_NAME", "value": "py"},
                            ],
                        }
                    ],
                },
            },
        },
    }


@pytest.mark.parametrize(
    "pod", [{}, {"spec": None}, {"spec": {"containers": []}}, {"spec": {}, "metadata": "text"}]
)
def test_a_template_without_a_pod_leaves_the_container_to_the_operator(pod):
    """The original panicked."""
    spec = made(pod)["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["kernel"]
    assert "image" not in spec["containers"][0]


def test_the_environment_wins_over_the_template_and_the_rest_of_the_template_stays():
    pod = {
        "metadata": {"labels": {"kernel": "theirs", "team": "a"}, "annotations": {"note": "x"}},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "containers": [
                {
                    "name": "main",
                    "image": "template:1",
                    "command": ["/usr/local/bin/bootstrap-kernel.sh"],
                    "env": [{"name": "EG_RESPONSE_ADDRESS", "value": "old"}, {"name": "A"}],
                },
                {"name": "side", "image": "side:1"},
            ],
        },
    }
    before = copy.deepcopy(pod)
    template = made(pod, KERNEL_IMAGE="spec:1")["spec"]["template"]
    assert pod == before, "no argument is changed"
    assert template == {
        "metadata": {
            "labels": {"kernel": f"jovyan-{ID}", "team": "a", "kernel_id": ID},
            "annotations": {"note": "x"},
        },
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "containers": [
                {
                    "name": "main",
                    "image": "spec:1",
                    "command": ["/usr/local/bin/bootstrap-kernel.sh"],
                    "env": [
                        {"name": "A"},
                        {"name": "EG_RESPONSE_ADDRESS", "value": "10.0.0.1:8877"},
                    ],
                },
                {"name": "side", "image": "side:1"},
            ],
        },
    }


def test_a_template_that_is_no_pod_is_refused_with_its_field():
    with pytest.raises(Invalid, match=r"spec\.template\.spec\.containers must be a list"):
        made({"spec": {"containers": "one"}})
