import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.kernelspec import KernelSpec

from elastic_jupyter.api.kernelspec import JupyterKernelSpec, KernelSpecSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.local import kernelspecs
from elastic_jupyter.policy.compose import kernel_argv

#: What the API server takes for the name of such an object.
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
R = {
    "argv": ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"],
    "display_name": "R",
    "language": "R",
}

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a kernel spec where Jupyter looks first; return its folder."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")

    def install(name: str, contents: str | None = None, **parts: Any) -> Path:
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(contents or json.dumps(R | parts))
        return folder

    return install


def offered(gpus: int = 0) -> dict[str, JupyterKernelSpec]:
    return {spec.metadata.name or "": spec for spec in kernelspecs.installed("local", gpus=gpus)}


def spec_of(name: str, gpus: int = 0) -> dict[str, Any]:
    spec: dict[str, Any] = offered(gpus)[name].to_dict()["spec"]
    return spec


def test_what_is_installed_is_offered_as_it_is(install: Install) -> None:
    folder = install("ir")
    assert offered()["ir"].to_dict() == {
        "apiVersion": "kubeflow.tkestack.io/v1alpha1",
        "kind": "JupyterKernelSpec",
        "metadata": {
            "name": "ir",
            "namespace": "local",
            "annotations": {"kubeflow.tkestack.io/resource-directory": str(folder)},
        },
        "spec": {"displayName": "R", "language": "R", "command": R["argv"], "debugger": False},
    }


def test_the_debugger_is_offered_where_the_kernel_says_that_it_has_one(install: Install) -> None:
    install("xpython", metadata={"debugger": True})
    install("old", argv=["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    found = offered(gpus=1)
    assert {name for name, spec in found.items() if spec.spec.debugger} >= {
        *("python3", "python3-gpu", "xpython", "xpython-gpu")
    }
    assert found["old"].spec.debugger is False


def test_a_kernel_json_says_what_becomes_of_its_idle_kernels(install: Install) -> None:
    reclaim = {"policy": "Delete", "fallback": "Keep"}
    metadata = {"cull_idle_timeout": 90, "elastic_jupyter": {"reclaim": reclaim}}
    install("ir", metadata=metadata)
    assert spec_of("ir-gpu", gpus=1)["reclaim"] == spec_of("ir")["reclaim"] == reclaim
    assert spec_of("ir")["cullIdleTimeout"] == 90


def test_each_is_offered_with_a_gpu_too_where_the_machine_has_any(install: Install) -> None:
    install("ir")
    plain, twin = spec_of("ir", gpus=2), spec_of("ir-gpu", gpus=2)
    assert "resources" not in plain
    assert twin == plain | {
        "displayName": "R (GPU)",
        "resources": {"limits": {"nvidia.com/gpu": 1}},
    }
    assert "ir-gpu" not in offered(gpus=0)


def test_one_that_says_what_it_needs_is_offered_in_that_way_alone(install: Install) -> None:
    wants = {"limits": {"nvidia.com/gpu": 2, "memory": "4Gi"}}
    install("big", metadata={"elastic_jupyter": {"resources": wants}})
    assert spec_of("big", gpus=1)["resources"] == wants
    assert "big-gpu" not in offered(gpus=1)


def test_the_python_of_this_environment_is_there_by_its_name() -> None:
    argv = kernel_argv(offered()["python3"])
    assert argv == [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.mark.parametrize(
    ("word", "want"),
    [
        ("python", sys.executable),
        ("python3", sys.executable),
        (f"python3.{sys.version_info.minor}", sys.executable),
        ("python2", "python2"),
        ("/opt/conda/bin/python", "/opt/conda/bin/python"),
    ],
)
def test_python_is_the_one_that_jupyter_takes(word: str, want: str, install: Install) -> None:
    install("py", argv=[word, "-m", "k"])
    assert spec_of("py")["command"][0] == want


def test_placeholders_are_filled_but_for_the_connection_file(install: Install) -> None:
    folder = install("x", argv=["{prefix}/bin/x", "{resource_dir}/a", "{connection_file}{other}"])
    assert spec_of("x")["command"] == [
        f"{sys.prefix}/bin/x",
        f"{folder}/a",
        "{connection_file}{other}",
    ]


def test_variables_stand_for_those_of_the_machine(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRARIES", "/opt/lib")
    install("x", env={"PATHS": "${LIBRARIES}:/x", "COST": "5$ $UNKNOWN $(HOME)"})
    assert spec_of("x")["env"] == [
        {"name": "PATHS", "value": "/opt/lib:/x"},
        # A pod's variables know $(NAME) and write $ as $$.
        {"name": "COST", "value": "5$$ $$UNKNOWN $$(HOME)"},
    ]


def test_a_dollar_in_an_argument_stays_one(install: Install) -> None:
    install("x", argv=["sh", "-c", "exec $0 $(HOME)"])
    assert spec_of("x")["command"][2] == "exec $$0 $$(HOME)"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        pytest.param("{", "cannot be read: Expecting", id="no JSON"),
        pytest.param("[]", "cannot be read: ", id="no object"),
        pytest.param("[" * 9999, "cannot be read: ", id="deep"),
        pytest.param('{"argv": 5}', "cannot be read: The 'argv' trait", id="argv no list"),
        pytest.param('{"argv": []}', "argv is empty", id="no command"),
        pytest.param('{"argv": ["x"], "env": {"A": 1}}', "env.A must be a string", id="env"),
        pytest.param(
            '{"argv": ["x"], "metadata": {"elastic_jupyter": {"resources": 1}}}',
            "metadata.elastic_jupyter.resources must be an object with limits",
            id="resources",
        ),
        pytest.param(
            '{"argv": ["x"], "metadata": {"elastic_jupyter": {"resources": {"limits": []}}}}',
            "metadata.elastic_jupyter.resources.limits must be an object",
            id="limits",
        ),
        pytest.param(
            '{"argv": ["x"], "metadata": {"kernel_provisioner": {"provisioner_name": "yarn"}}}',
            "metadata.kernel_provisioner: 'yarn' makes no process here",
            id="another provisioner",
        ),
        pytest.param(
            '{"argv": ["python", "launch_kubernetes.py"]}',
            "argv is a launcher of Enterprise Gateway, which makes no process here",
            id="of Enterprise Gateway",
        ),
        pytest.param(
            json.dumps({"argv": ["x"], "language": "x" * 64}),
            "language: String should have at most 63 characters",
            id="what the object has no room for",
        ),
    ],
)
def test_a_broken_one_is_left_out_and_told_once(
    contents: str, said: str, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    folder = install("broken", contents)
    install("ir")
    for _ in range(2):
        names = offered(gpus=1)
        assert "ir" in names
        assert not {"broken", "broken-gpu"} & set(names)
    [line] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.__dict__["fields"]["reason"].startswith(f"{folder}/kernel.json: {said}")


def test_names_that_collide_are_told_apart() -> None:
    kernels = ("my_env", "my-env", "my.env", "_my_env")
    wanted = [(kernel, "", KernelSpecSpec(display_name=kernel)) for kernel in kernels]
    made = kernelspecs.objects("local", wanted, dict.fromkeys(kernels, "/k"))
    assert {one.spec.display_name: one.metadata.name for one in made} == {
        "my-env": "my-env",
        "my.env": "my.env",
        "_my_env": "my-env-2",
        "my_env": "my-env-3",
    }


def test_what_is_installed_keeps_its_name_before_a_twin_gets_it() -> None:
    installed, twin = KernelSpecSpec(display_name="installed"), KernelSpecSpec(display_name="twin")
    wanted = [("a", "-gpu", twin), ("a-gpu", "", installed)]
    made = kernelspecs.objects("local", wanted, {"a": "/a", "a-gpu": "/a-gpu"})
    assert [(one.metadata.name, one.spec.display_name) for one in made] == [
        ("a-gpu", "installed"),
        ("a-gpu-2", "twin"),
    ]


@given(st.lists(st.text(max_size=300), max_size=4, unique=True))
def test_every_name_becomes_a_valid_one_of_its_own(kernels: list[str]) -> None:
    wanted = [(kernel, suffix, KernelSpecSpec()) for kernel in kernels for suffix in ("", "-gpu")]
    made = kernelspecs.objects("local", wanted, dict.fromkeys(kernels, "/k"))
    names = [one.metadata.name or "" for one in made]
    assert len(set(names)) == len(wanted)
    assert all(SUBDOMAIN.fullmatch(name) and len(name) <= 253 for name in names)


@pytest.mark.parametrize("name", ["python3", "ir", "julia-1.10", "conda-env-a-py"])
def test_a_valid_name_stays(name: str) -> None:
    assert kernelspecs.object_name(name) == name


def test_a_command_of_something_else_than_text_is_refused() -> None:
    spec = KernelSpec(argv=["x", 1], display_name="x", language="x")
    with pytest.raises(Invalid, match="argv must be strings"):
        list(kernelspecs.wishes(spec, 0, {}))
