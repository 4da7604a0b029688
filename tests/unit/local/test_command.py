"""What a machine is told to run, by the template of the kernel."""

import sys
from typing import Any

import pytest

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import Invalid
from elastic_jupyter.local.command import Command, command
from tests.support.kernels import KERNEL_ID, a_kernel, model

FILE = "/state/kernels/jovyan-1-1/connection.json"


def of(container: dict[str, Any], **spec: Any) -> Command:
    return command(
        model(JupyterKernel, a_kernel(container=container, **spec)), connection_file=FILE
    )


@pytest.mark.parametrize(
    ("container", "want"),
    [
        pytest.param(
            {},
            (sys.executable, "-m", "ipykernel_launcher", "-f", FILE),
            id="no command is the built-in Python kernel",
        ),
        pytest.param(
            {"command": ["R", "--slave"], "args": ["{connection_file}"]},
            ("R", "--slave", FILE),
            id="command and args",
        ),
        pytest.param(
            {"command": ["k", "--file={connection_file}"]},
            ("k", f"--file={FILE}"),
            id="the connection file within a word",
        ),
        pytest.param(
            {"command": ["/opt/conda/bin/python", "-m", "k"]},
            ("/opt/conda/bin/python", "-m", "k"),
            id="a Python that is named stays",
        ),
        pytest.param(
            {"command": ["python3.11"]},
            (sys.executable,),
            id="any Python is the one that we run in",
        ),
        pytest.param(
            {"command": ["k", "$(USER_FLAG)", "$$(USER_FLAG)", "$(NOBODY)", "$HOME"]}
            | {"env": [{"name": "USER_FLAG", "value": "-v"}]},
            ("k", "-v", "$(USER_FLAG)", "$(NOBODY)", "$HOME"),
            id="variables in the command",
        ),
        pytest.param({"command": ["k", "$(KERNEL_ID)"]}, ("k", KERNEL_ID), id="our variables, too"),
    ],
)
def test_the_command_line(container: dict[str, Any], want: tuple[str, ...]) -> None:
    assert of(container).argv == want


def test_the_environment_is_expanded_as_kubernetes_does_it() -> None:
    env = [
        {"name": "DATA", "value": "/data"},
        {"name": "TRAIN", "value": "$(DATA)/train"},
        {"name": "LATER", "value": "$(AFTER)"},
        {"name": "AFTER", "value": "now"},
        {"name": "PRICE", "value": "5$$ and $$(DATA)"},
        {"name": "DATA", "value": "$(DATA)2"},
        {"name": "EMPTY"},
    ]
    assert of({"env": env}, user="ann").env == {
        "DATA": "/data2",
        "TRAIN": "/data/train",
        "LATER": "$(AFTER)",
        "AFTER": "now",
        "PRICE": "5$ and $(DATA)",
        "EMPTY": "",
        "KERNEL_ID": KERNEL_ID,
        "KERNEL_USERNAME": "ann",
        "KERNEL_NAMESPACE": "team",
    }


def test_who_the_user_is_says_the_object_alone() -> None:
    forged = [{"name": "KERNEL_USERNAME", "value": "root"}]
    assert of({"env": forged}).env["KERNEL_USERNAME"] == "jovyan"


def test_where_a_kernel_starts() -> None:
    folder = [{"name": "KERNEL_WORKING_DIR", "value": "/home/ann/project"}]
    seen = of({"workingDir": "/srv", "env": folder})
    assert (seen.folder, seen.notebook_folder) == ("/srv", "/home/ann/project")
    assert (of({}).folder, of({}).notebook_folder) == (None, None)


@pytest.mark.parametrize(
    ("limit", "want"), [("1Gi", 2**30), ("1500m", 1), ("2k", 2000), (1000, 1000), (None, None)]
)
def test_the_memory_limit_in_bytes(limit: Any, want: int | None) -> None:
    limits = {} if limit is None else {"memory": limit}
    assert of({"resources": {"limits": limits}}).memory_bytes == want


def test_the_number_of_gpus() -> None:
    assert of({"resources": {"limits": {"nvidia.com/gpu": 2, "cpu": 4}}}).gpus == 2
    assert of({}).gpus == 0


@pytest.mark.parametrize(
    ("container", "names"),
    [
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
            "containers[0].env[0].valueFrom",
            id="a value of another object",
        ),
        pytest.param({"envFrom": [{}]}, "containers[0].envFrom", id="values of another object"),
        pytest.param({"env": [{"name": "A=B"}]}, "env[0].name", id="no name of a variable"),
        pytest.param({"env": [{"name": "A", "value": 5}]}, "env[0].value", id="a number as value"),
        pytest.param(
            {"args": ["-v"]}, "containers[0].command", id="args of an image's entry point"
        ),
        pytest.param({"command": ["k", 5]}, "containers[0].command[1]", id="a number as word"),
        pytest.param({"command": ["k"], "args": ["a\0b"]}, "args[0]", id="a NUL"),
        pytest.param(
            {"env": [{"name": "A", "value": "\ud800"}]}, "env[0].value", id="half a character"
        ),
        pytest.param({"workingDir": 5}, "containers[0].workingDir", id="a number as folder"),
        pytest.param(
            {"resources": {"limits": {"memory": "much"}}}, "limits.memory", id="no quantity"
        ),
        pytest.param(
            {"resources": {"limits": {"amd.com/gpu": 1}}}, "amd.com/gpu", id="another resource"
        ),
    ],
)
def test_what_a_machine_cannot_do_is_refused_and_named(
    container: dict[str, Any], names: str
) -> None:
    with pytest.raises(Invalid) as refused:
        of(container)
    assert names in str(refused.value)
