"""JupyterKernel: names of its fields, and what cannot be one."""

from typing import Any

import pytest
from pydantic import ValidationError

from elastic_jupyter.api.base import Model
from elastic_jupyter.api.kernel import JupyterKernel, KernelSpec, KernelStatus
from elastic_jupyter.api.schema import open_api_schema

MINE: dict[str, Any] = {"metadata": {"name": "mine"}, "spec": {"template": {}}}


@pytest.mark.parametrize(
    ("model", "attribute", "want"),
    [
        pytest.param(KernelSpec, "kernel_id", "kernelID", id="ID is an initialism"),
        pytest.param(KernelStatus, "pod_ip", "podIP", id="IP is an initialism"),
        pytest.param(KernelSpec, "kernel_spec_name", "kernelSpecName", id="any other is not"),
    ],
)
def test_fields_are_named_as_kubernetes_names_its_own(
    model: type[Model], attribute: str, want: str
) -> None:
    part = model.model_validate({want: "x", "template": {}})
    assert getattr(part, attribute) == "x"
    assert part.to_dict()[want] == "x"
    assert model.model_validate({attribute: "x", "template": {}}) == part


def test_a_kernel_made_by_hand_needs_no_more_than_a_name_and_a_template() -> None:
    kernel = JupyterKernel.model_validate(MINE)
    assert kernel.to_dict() == {
        "apiVersion": "kubeflow.tkestack.io/v1alpha1",
        "kind": "JupyterKernel",
        **MINE,
    }


def test_a_null_in_the_users_pod_is_kept() -> None:
    template = {"spec": {"volumes": [{"name": "scratch", "emptyDir": None}]}}
    assert KernelSpec(template=template).to_dict() == {"template": template}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec": {}}, id="a kernel without a template"),
        pytest.param({"spec": {"template": {}, "kernelID": "a/b"}}, id="an id that is no label"),
        pytest.param({"status": {"epoch": 0}}, id="a pod before the first"),
        pytest.param({"kind": "JupyterGateway"}, id="an object of another kind"),
        pytest.param({"status": {"phase": "Sleeping"}}, id="a phase that there is not"),
        pytest.param({"status": {"queue": {"position": 1}}}, id="a place in a line of no length"),
        pytest.param({"spec": {"template": {}, "gatewayRef": {}}}, id="a gateway without a name"),
        pytest.param(
            {"spec": {"template": {}, "notebookRef": {"name": "nb"}}},
            id="a notebook without its uid",
        ),
    ],
)
def test_what_is_no_kernel_is_not_read_as_one(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JupyterKernel.model_validate(MINE | change)


def test_whatever_else_a_kernels_spec_has_is_kept_from_edits() -> None:
    """A pod is made of it once: an edit would be accepted and have no effect, or end the kernel."""
    spec = open_api_schema(JupyterKernel)["properties"]["spec"]
    messages = [rule["message"] for rule in spec["x-kubernetes-validations"]]
    fixed = {
        message.split(" ")[0].removeprefix("spec.")
        for message in messages
        if "cannot change" in message
    }
    assert fixed == set(spec["properties"]) - {"suspend", "keepUntil", "snapshot"}
