"""The command as Enterprise Gateway runs it, against an API server that fails on demand."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from elastic_jupyter.kube.kinds import (
    JUPYTER_GATEWAY,
    JUPYTER_KERNEL,
    JUPYTER_KERNEL_TEMPLATE,
    Key,
)
from elastic_jupyter.launcher.command import command
from tests.support.fake_apiserver import FakeApiServer
from tests.support.logs import logging_as_it_was
from tests.unit.launcher.test_kernel import SAMPLE
from tests.unit.launcher.test_launch import ENV, FLAGS, ID, OUR_POD

KERNEL = Key("team", f"jovyan-{ID}")
ARGV = [part for flag in FLAGS.items() for part in flag]

Launch = Callable[..., Any]


@pytest.fixture(autouse=True)
def logging_restored():
    with logging_as_it_was():
        yield


@pytest.fixture
async def server():
    async with FakeApiServer() as server:
        server.put(JUPYTER_GATEWAY, an_object("team", "gw", {}))
        server.put(JUPYTER_KERNEL_TEMPLATE, an_object("shelf", "sample", {"template": SAMPLE}))
        yield server


@pytest.fixture
def launched(server: FakeApiServer, tmp_path: Path) -> Launch:
    """Run the command in a thread, since the server is in this loop."""

    async def run(*more: str, argv: list[str] = ARGV, **env: str) -> Result:
        environment = {"KUBECONFIG": kubeconfig(tmp_path, server.url)} | (env or ENV)
        return await asyncio.to_thread(CliRunner().invoke, command, [*argv, *more], env=environment)

    return run


def an_object(namespace: str, name: str, spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


def kubeconfig(folder: Path, url: str) -> str:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "current-context": "c",
    }
    path.write_text(json.dumps(config))
    return str(path)


async def test_a_kernel_is_created_and_owned_by_the_gateway(server, launched: Launch):
    done = await launched()
    assert (done.exit_code, done.stdout, done.stderr) == (
        0, f"JupyterKernel {KERNEL} created\n", "",
    )  # fmt: skip
    made = server.get(JUPYTER_KERNEL, KERNEL)
    gateway = server.get(JUPYTER_GATEWAY, Key("team", "gw"))
    assert made["metadata"]["ownerReferences"][0]["uid"] == gateway["metadata"]["uid"]


async def test_our_gateways_pod_need_not_read_its_own_object(server, launched: Launch):
    """It has no right to."""
    done = await launched(**OUR_POD)
    assert done.exit_code == 0
    assert not [seen for seen in server.seen if "jupytergateways" in seen.path]
    made = server.get(JUPYTER_KERNEL, Key("place", f"jovyan-{ID}"))
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-of-ours"


async def test_verbose_says_on_stderr_what_is_launched(launched: Launch):
    done = await launched("--verbose", "--toggle")
    assert done.exit_code == 0
    assert f"kernel={KERNEL} template=shelf/sample" in done.stderr


async def test_an_existing_name_says_which_kernel_and_what_to_do(server, launched: Launch):
    await launched()
    before = server.get(JUPYTER_KERNEL, KERNEL)
    done = await launched()
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: JupyterKernel {KERNEL.name} exists already in namespace team; delete it "
        f"(kubectl delete jupyterkernel {KERNEL.name} -n team) or name another one "
        "(KERNEL_POD_NAME)\n"
    )
    assert server.get(JUPYTER_KERNEL, KERNEL) == before


async def test_a_missing_template_is_named_with_its_namespace(server, launched: Launch):
    server.remove(JUPYTER_KERNEL_TEMPLATE, Key("shelf", "sample"))
    done = await launched()
    assert done.exit_code == 1
    assert "there is no JupyterKernelTemplate sample in namespace shelf" in done.stderr
    assert not server.all(JUPYTER_KERNEL)


async def test_a_missing_gateway_is_named_with_its_namespace(server, launched: Launch):
    server.remove(JUPYTER_GATEWAY, Key("team", "gw"))
    done = await launched()
    assert done.exit_code == 1
    assert "there is no JupyterGateway gw in namespace team to own the kernel" in done.stderr


@pytest.mark.parametrize("spec", [{"template": {"spec": {"containers": 1}}}, {"template": "pod"}])
async def test_a_template_that_is_no_pod_is_named(server, launched: Launch, spec):
    server.put(JUPYTER_KERNEL_TEMPLATE, an_object("shelf", "sample", spec))
    done = await launched()
    assert done.exit_code == 1
    assert "JupyterKernelTemplate shelf/sample" in done.stderr
    assert "spec.template" in done.stderr


@pytest.mark.parametrize("verb", ["get", "post"])
@pytest.mark.parametrize(
    ("status", "want"),
    [
        pytest.param(401, "401", id="no login"),
        pytest.param(403, "you may not", id="no right, or a quota is used up"),
        pytest.param(422, "spec.user is too long", id="the object is refused"),
        pytest.param(500, "no usable answer", id="the server is broken"),
    ],
)
async def test_the_api_servers_no_is_passed_on(server, launched: Launch, verb, status, want):
    server.fail(status, verb=verb, message=want)
    done = await launched()
    assert done.exit_code == 1
    assert want in done.stderr
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


async def test_a_lost_answer_leaves_open_whether_the_kernel_exists(server, launched: Launch):
    server.lose_answer(1)
    done = await launched()
    assert done.exit_code == 1
    assert "the kernel may exist or not" in done.stderr


def test_no_api_server_is_told_in_one_sentence(tmp_path: Path, unused_tcp_port: int):
    config = kubeconfig(tmp_path, f"http://127.0.0.1:{unused_tcp_port}")
    done = CliRunner().invoke(command, ARGV, env=ENV | {"KUBECONFIG": config})
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the API server gives no usable answer: ")


def test_no_kubernetes_configuration_is_told_in_one_sentence(tmp_path: Path):
    environment = ENV | {"KUBECONFIG": str(tmp_path / "missing"), "HOME": str(tmp_path)}
    done = CliRunner().invoke(command, ARGV, env=environment)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: no usable Kubernetes configuration")


@pytest.mark.parametrize(
    ("argv", "env", "want"),
    [
        pytest.param(ARGV[2:], ENV, "--RemoteProcessProxy.kernel-id", id="a flag is missing"),
        pytest.param([*ARGV, "--kernel-template-name", "A"], ENV, "--kernel-template-name",
                     id="a flag is wrong"),
        pytest.param(ARGV, {"EG_NAME": "gw"}, "EG_NAMESPACE", id="a variable is missing"),
        pytest.param([*ARGV, "--no-such-flag"], ENV, "--no-such-flag", id="an unknown flag"),
        pytest.param(ARGV[:-1], ENV, "--kernel-template-namespace", id="a flag without value"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_exit_status_2(argv, env, want):
    done = CliRunner().invoke(command, argv, env=env)
    assert done.exit_code == 2
    assert want in done.stderr.splitlines()[-1]


def test_the_help_names_every_flag_of_the_original():
    done = CliRunner().invoke(command, ["--help"])
    assert done.exit_code == 0
    for flag in (
        *("kernel-id", "port-range", "response-address", "public-key"),
        "spark-context-initialization-mode",
    ):
        assert f"--RemoteProcessProxy.{flag}" in done.stdout
    for flag in ("--kernel-template-name", "--kernel-template-namespace", "--verbose"):
        assert f"  {flag}" in done.stdout
