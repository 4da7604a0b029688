"""The pod template of a kernel, from the kernel spec and the template that the user picked."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api.kernelspec import JupyterKernelSpec, KernelSpecSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate, KernelTemplateSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.policy.compose import (
    can_debug,
    compose,
    escaped,
    is_gateway_side_launcher,
    unescaped,
)

OURS = "elastic-jupyter/kernel:dev"
DEFAULT = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
OTHER = ["Rscript", "-e", "IRkernel::main('{connection_file}')"]
#: As in the original's examples.
LAUNCHER = ["kubeflow-launcher", "--verbose", "--RemoteProcessProxy.kernel-id", "{kernel_id}"]

Pod = dict[str, Any]
Env = list[dict[str, Any]]


def a_spec(**fields: Any) -> JupyterKernelSpec:
    return JupyterKernelSpec(spec=KernelSpecSpec(**fields))


def a_template(**container: Any) -> JupyterKernelTemplate:
    return of_pod({"spec": {"containers": [container]}})


def of_pod(pod: Pod) -> JupyterKernelTemplate:
    return JupyterKernelTemplate(spec=KernelTemplateSpec(template=pod))


def pod_of(
    spec: JupyterKernelSpec | None = None,
    template: JupyterKernelTemplate | None = None,
    **env: str,
) -> Pod:
    return compose(spec, template, default_image=OURS, env=env)


def container_of(
    spec: JupyterKernelSpec | None = None,
    template: JupyterKernelTemplate | None = None,
    **env: str,
) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(spec, template, **env)["spec"]["containers"][0]
    return container


def variables(**values: str) -> Env:
    return [{"name": name, "value": value} for name, value in values.items()]


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param(None, True, id="the built-in Python"),
        pytest.param(a_spec(image="x"), True, id="ipykernel in another image"),
        pytest.param(a_spec(command=LAUNCHER), True, id="a launcher, which is ignored"),
        pytest.param(a_spec(command=["/py", "-m", "ipykernel", "-f", "x"]), True, id="its own"),
        pytest.param(a_spec(command=OTHER), False, id="R"),
        pytest.param(a_spec(command=["xpython"], debugger=True), True, id="a spec that says yes"),
        pytest.param(a_spec(debugger=False), False, id="a spec that says no"),
    ],
)
def test_the_debugger_is_for_ipykernel_unless_the_spec_knows_better(
    spec: JupyterKernelSpec | None, want: bool
) -> None:
    assert can_debug(spec) is want


def test_without_spec_and_template_it_is_the_built_in_python_kernel() -> None:
    assert pod_of() == {
        "spec": {
            "containers": [
                {
                    "name": "kernel",
                    "image": OURS,
                    "imagePullPolicy": "IfNotPresent",
                    "command": DEFAULT,
                    "args": [],
                    "env": [],
                }
            ]
        }
    }


@pytest.mark.parametrize(
    ("spec", "template", "want"),
    [
        pytest.param(a_spec(image="s"), a_template(image="t"), "s", id="the spec's image wins"),
        pytest.param(a_spec(), a_template(image="t"), "t", id="then comes the template's"),
        pytest.param(None, a_template(image="t"), "t", id="a template alone gives its image"),
        pytest.param(a_spec(image=""), a_template(), OURS, id="an empty image is none"),
        pytest.param(a_spec(), a_template(), OURS, id="the rest runs ours"),
    ],
)
def test_which_image_runs(
    spec: JupyterKernelSpec | None, template: JupyterKernelTemplate | None, want: str
) -> None:
    assert container_of(spec, template)["image"] == want


@pytest.mark.parametrize(
    ("spec", "template", "want"),
    [
        pytest.param(a_spec(command=OTHER), None, (OTHER, []), id="the spec's command is run"),
        pytest.param(
            a_spec(command=OTHER),
            a_template(command=["sh"], args=["-c"]),
            (OTHER, []),
            id="the spec's command replaces the template's with its arguments",
        ),
        pytest.param(
            a_spec(),
            a_template(command=["sh"], args=["-c", "exec kernel {connection_file}"]),
            (["sh"], ["-c", "exec kernel {connection_file}"]),
            id="the template's command keeps its arguments",
        ),
        pytest.param(a_spec(command=LAUNCHER), None, (DEFAULT, []), id="a launcher is not run"),
        pytest.param(
            a_spec(command=LAUNCHER),
            a_template(command=["sh"], args=["-c"]),
            (["sh"], ["-c"]),
            id="a launcher does not replace the template's command",
        ),
        pytest.param(a_spec(command=[]), a_template(), (DEFAULT, []), id="no command is Python"),
        pytest.param(
            a_spec(),
            a_template(image="t", args=["start", "{connection_file}"]),
            ([], ["start", "{connection_file}"]),
            id="arguments for the image's own entry point are kept",
        ),
    ],
)
def test_which_command_runs(
    spec: JupyterKernelSpec,
    template: JupyterKernelTemplate | None,
    want: tuple[list[str], list[str]],
) -> None:
    container = container_of(spec, template)
    assert (container.get("command", []), container["args"]) == want


@pytest.mark.parametrize(
    ("command", "want"),
    [
        pytest.param(LAUNCHER, True, id="the original's launcher"),
        pytest.param(
            ["python", "/kernels/python_kubernetes/scripts/launch_kubernetes.py", "--verbose"],
            True,
            id="the launch script of Enterprise Gateway",
        ),
        pytest.param(
            ["my-launcher", "--response-address", "{response_address}"],
            True,
            id="whatever answers to the gateway that launches it",
        ),
        pytest.param(["/opt/bin/kubeflow-launcher"], True, id="the launcher by its path"),
        pytest.param(DEFAULT, False, id="ipykernel"),
        pytest.param(OTHER, False, id="another language"),
        pytest.param(["python", "launch.py", "{connection_file}"], False, id="a user's launcher"),
        pytest.param([], False, id="no command"),
    ],
)
def test_launchers_that_ran_inside_the_originals_gateway_are_known(
    command: list[str], want: bool
) -> None:
    assert is_gateway_side_launcher(command) is want


@pytest.mark.parametrize(
    ("spec", "template", "client", "want"),
    [
        pytest.param(
            a_spec(env=variables(B="spec")),
            a_template(env=variables(A="template")),
            {"C": "client"},
            variables(A="template", B="spec", C="client"),
            id="all three are asked, the template first",
        ),
        pytest.param(
            a_spec(env=variables(A="spec")),
            a_template(env=variables(A="template")),
            {},
            variables(A="spec"),
            id="the spec wins over the template",
        ),
        pytest.param(
            a_spec(env=variables(A="spec")),
            None,
            {"A": "client"},
            variables(A="client"),
            id="the client wins over the spec",
        ),
        pytest.param(
            a_spec(env=variables(HOME="/home", PATH="$(BASE)/bin")),
            a_template(env=variables(PATH="/bin", BASE="/opt")),
            {},
            variables(BASE="/opt", HOME="/home", PATH="$(BASE)/bin"),
            id="a value that wins stands behind what it may refer to",
        ),
        pytest.param(
            None,
            a_template(env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
            {},
            [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
            id="a reference is kept",
        ),
        pytest.param(None, a_template(env=None), {}, [], id="null is no variable"),
    ],
)
def test_which_environment_the_kernel_gets(
    spec: JupyterKernelSpec | None,
    template: JupyterKernelTemplate | None,
    client: dict[str, str],
    want: Env,
) -> None:
    assert container_of(spec, template, **client)["env"] == want


LAYERS = st.lists(st.tuples(st.sampled_from("ABCD"), st.text(max_size=2)), max_size=6)


@given(LAYERS, LAYERS, st.dictionaries(st.sampled_from("ABCD"), st.text(max_size=2)))
def test_a_variable_is_set_once_and_the_last_word_counts(
    template: list[tuple[str, str]], spec: list[tuple[str, str]], client: dict[str, str]
) -> None:
    env = container_of(
        a_spec(env=[{"name": name, "value": value} for name, value in spec]),
        a_template(env=[{"name": name, "value": value} for name, value in template]),
        **client,
    )["env"]
    got = [(entry["name"], entry["value"]) for entry in env]
    assert len(got) == len(dict(got))
    literal = {name: escaped(value) for name, value in client.items()}
    assert dict(got) == dict(template) | dict(spec) | literal


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param(
            {"limits": {"nvidia.com/gpu": 1}},
            {"limits": {"nvidia.com/gpu": 1}},
            id="the spec's replace the template's as a whole",
        ),
        pytest.param(None, {"limits": {"cpu": "4"}}, id="the template's stay without the spec's"),
    ],
)
def test_which_resources_the_kernel_gets(spec: dict[str, Any] | None, want: dict[str, Any]) -> None:
    container = container_of(a_spec(resources=spec), a_template(resources={"limits": {"cpu": "4"}}))
    assert container["resources"] == want


def test_what_else_is_in_the_template_is_kept() -> None:
    pod = {
        "metadata": {"labels": {"team": "ml"}, "app": "enterprise-gateway"},
        "spec": {
            "nodeSelector": {"zone": "a"},
            "containers": [
                {"name": "main", "imagePullPolicy": "Always", "workingDir": "/data"},
                {"name": "logs", "image": "fluent-bit"},
            ],
        },
    }
    composed = pod_of(a_spec(image="s"), of_pod(pod))
    kernel, second = composed["spec"].pop("containers")
    assert composed == {"metadata": pod["metadata"], "spec": {"nodeSelector": {"zone": "a"}}}
    assert second == {"name": "logs", "image": "fluent-bit"}
    assert kernel == {
        "name": "main",
        "image": "s",
        "imagePullPolicy": "Always",
        "workingDir": "/data",
        "command": DEFAULT,
        "args": [],
        "env": [],
    }


def test_spec_and_template_are_left_as_they_are() -> None:
    spec = a_spec(
        image="s", command=OTHER, env=variables(A="1"), resources={"limits": {"cpu": "1"}}
    )
    template = a_template(image="t", command=["sh"], args=["-c"], env=variables(A="0", B="0"))
    before = copy.deepcopy((spec, template))
    pod_of(spec, template, A="2")
    assert (spec, template) == before


@given(st.text())
def test_a_clients_value_arrives_as_it_is(value: str) -> None:
    (entry,) = container_of(A=value)["env"]
    assert expanded(entry["value"]) == value
    assert unescaped(entry["value"]) == value


def expanded(value: str) -> str:
    """What Kubernetes makes of a value: third_party/forked/golang/expansion, no variable known."""
    return re.sub(r"\$(\$|\([^)]*\))", lambda found: "$" if found[1] == "$" else "?", value)


def test_a_template_without_the_shape_of_a_pod_is_refused_by_field() -> None:
    with pytest.raises(Invalid, match=r"spec\.template\.spec\.containers must be a list"):
        pod_of(None, of_pod({"spec": {"containers": "kernel"}}))
