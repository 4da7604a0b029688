"""The shape of a user's PodTemplateSpec."""

import copy
from typing import Any

import pytest

from elastic_jupyter.errors import Invalid
from elastic_jupyter.policy.pod_template import pod_spec

FIELD = "spec.template"


@pytest.mark.parametrize(
    "template",
    [
        pytest.param({}, id="an empty template"),
        pytest.param({"spec": None}, id="no pod spec"),
        pytest.param({"spec": {}}, id="no containers"),
        pytest.param({"spec": {"containers": None}}, id="null for containers"),
        pytest.param({"spec": {"containers": []}}, id="an empty list of containers"),
    ],
)
def test_a_pod_without_a_container_gets_an_empty_one(template: dict[str, Any]) -> None:
    assert pod_spec(template, field=FIELD) == {"containers": [{}]}


def test_a_pod_is_returned_as_it_came() -> None:
    spec = {
        "restartPolicy": "Always",
        "volumes": [{"name": "data"}],
        "schedulingGates": None,
        "containers": [
            {"name": "kernel", "env": [{"name": "A", "value": "1"}], "args": [], "command": None},
            {"name": "logs", "env": "checked by the API server"},
        ],
    }
    assert pod_spec({"spec": spec}, field=FIELD) == spec


def test_the_template_is_left_as_it_is() -> None:
    template = {"spec": {"containers": [{"env": [{"name": "A"}]}]}}
    before = copy.deepcopy(template)
    taken = pod_spec(template, field=FIELD)
    taken["containers"][0]["env"].append({"name": "B"})
    taken["restartPolicy"] = "Never"
    assert template == before


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param("pod", "spec.template.spec must be an object", id="a pod of text"),
        pytest.param([{}], "spec.template.spec must be an object", id="a list of pods"),
        pytest.param(
            {"containers": {"name": "kernel"}},
            "spec.template.spec.containers must be a list of objects",
            id="one container instead of a list",
        ),
        pytest.param(
            {"containers": [{}, "kernel"]},
            "spec.template.spec.containers must be a list of objects",
            id="a container of text",
        ),
        pytest.param(
            {"volumes": {"name": "data"}},
            "spec.template.spec.volumes must be a list",
            id="one volume instead of a list",
        ),
        pytest.param(
            {"schedulingGates": "gate"},
            "spec.template.spec.schedulingGates must be a list",
            id="a scheduling gate of text",
        ),
        pytest.param(
            {"containers": [{"env": {"A": "1"}}]},
            "spec.template.spec.containers[0].env must be a list",
            id="variables as in a compose file",
        ),
        pytest.param(
            {"containers": [{"env": ["A=1"]}]},
            "spec.template.spec.containers[0].env must be a list of objects with a name",
            id="variables as on a command line",
        ),
        pytest.param(
            {"containers": [{"env": [{"value": "1"}]}]},
            "spec.template.spec.containers[0].env must be a list of objects with a name",
            id="a variable without a name",
        ),
        pytest.param(
            {"containers": [{"env": [{"name": 1}]}]},
            "spec.template.spec.containers[0].env must be a list of objects with a name",
            id="a variable with a number for a name",
        ),
        pytest.param(
            {"containers": [{"volumeMounts": "/data"}]},
            "spec.template.spec.containers[0].volumeMounts must be a list",
            id="a mount of text",
        ),
        pytest.param(
            {"containers": [{"args": "-f {connection_file}"}]},
            "spec.template.spec.containers[0].args must be a list",
            id="arguments in one text",
        ),
        pytest.param(
            {"containers": [{"command": "python -m ipykernel_launcher"}]},
            "spec.template.spec.containers[0].command must be a list",
            id="a command in one text",
        ),
    ],
)
def test_a_wrong_shape_is_refused_with_the_name_of_its_part(spec: Any, want: str) -> None:
    with pytest.raises(Invalid) as refusal:
        pod_spec({"spec": spec}, field=FIELD)
    assert str(refusal.value) == want
