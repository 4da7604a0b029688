"""Whatever a template holds: the builders make something of it, or refuse it with ``Invalid``.

What they make the API server judges. Nothing else may be raised: it would be a traceback in the
operator's log instead of a condition on the object, or an answer 500 of the gateway.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.api.notebook import JupyterNotebook
from elastic_jupyter.errors import Invalid
from elastic_jupyter.gateway.wish import Wish
from elastic_jupyter.operator.objects.kernel import image_choice, make_pod
from elastic_jupyter.operator.objects.notebook import GatewayAccess, make_deployment
from elastic_jupyter.policy.compose import compose
from elastic_jupyter.policy.images import Images

OURS = Images(gateway="gateway:1", notebook="notebook:1", kernel="kernel:1")

WORDS = st.sampled_from(
    (
        *("metadata", "labels", "annotations", "app", "spec", "containers", "initContainers"),
        *("volumes", "schedulingGates", "securityContext", "serviceAccountName", "name", "image"),
        *("command", "args", "env", "value", "valueFrom", "volumeMounts", "mountPath", "ports"),
        *("resources", "limits", "requests", "nvidia.com/gpu", "restartPolicy", "KERNEL_USERNAME"),
        *("kernel:1", "notebook:1", "{connection_file}", "", "\u00e9\u0000"),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
CONTAINERS = st.lists(st.dictionaries(WORDS, JSON, max_size=5), max_size=2)
PODS = st.fixed_dictionaries({"containers": CONTAINERS}, optional={"volumes": JSON})
TEMPLATES = st.fixed_dictionaries(
    {},
    optional={
        "metadata": JSON,
        "spec": JSON
        | st.fixed_dictionaries({"containers": CONTAINERS}, optional={"volumes": JSON}),
        "resources": JSON,
    },
)


def a_kernel(template: dict[str, Any]) -> JupyterKernel:
    spec = {"template": template, "gatewayRef": {"name": "gw"}, "kernelID": "1"}
    metadata = {"name": "k", "namespace": "team", "uid": "uid-k"}
    return JupyterKernel.model_validate({"metadata": metadata, "spec": spec})


def pod(template: dict[str, Any]) -> None:
    make_pod(a_kernel(template), epoch=1, ours=OURS)


def image(template: dict[str, Any]) -> None:
    image_choice(a_kernel(template), OURS)


def wish(template: dict[str, Any]) -> None:
    found = Wish.of(a_kernel(template), gateway="gw", gateway_uid="uid-gw")
    found.build(1)
    Wish.of_tombstone(
        "1",
        next(found.tombstones(epoch=1, reason="")),
        namespace="team",
        gateway="gw",
        uid="uid-gw",
    )


def notebook(template: dict[str, Any]) -> None:
    metadata = {"name": "nb", "namespace": "team", "uid": "uid-nb"}
    make_deployment(
        JupyterNotebook.model_validate({"metadata": metadata, "spec": {"template": template}}),
        image=OURS.notebook,
        access=GatewayAccess("http://gw", "token"),
        login_data={"token": "t", "revision": "1"},
    )


def kernel_of_a_spec(template: dict[str, Any]) -> None:
    spec = JupyterKernelSpec.model_validate({"spec": {"env": [{"name": "A", "value": "1"}]}})
    compose(
        spec,
        JupyterKernelTemplate.model_validate({"spec": {"template": template}}),
        default_image=OURS.kernel,
        env={"KERNEL_X": "1"},
    )


@pytest.mark.parametrize("build", [pod, image, wish, notebook, kernel_of_a_spec])
@given(template=TEMPLATES)
@example(template={"spec": {"containers": [{"env": [{"name": "A", "value": {"b": []}}]}]}})
def test_a_template_is_taken_or_refused(
    build: Callable[[dict[str, Any]], None], template: dict[str, Any]
) -> None:
    with contextlib.suppress(Invalid):
        build(template)
