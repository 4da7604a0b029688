"""``kubeflow-launcher``, as an Enterprise Gateway or a person runs it, against a real cluster."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.rollout import server_pod
from tests.support.team import GATEWAY, a_namespace, image_of

#: The original's config/samples, the pod of its JupyterKernelTemplate and the command of its
#: JupyterKernelSpec; what Enterprise Gateway fills in is in braces.
SAMPLE_POD = {
    "metadata": {"app": "enterprise-gateway", "component": "kernel"},
    "spec": {"restartPolicy": "Always", "containers": [{"name": "kernel"}]},
}
SAMPLE_COMMAND = [
    *("--verbose", "--RemoteProcessProxy.kernel-id", "{kernel_id}"),
    *("--RemoteProcessProxy.port-range", "{port_range}"),
    *("--RemoteProcessProxy.response-address", "{response_address}"),
]

#: Stands in for the launcher in a kernel image of Enterprise Gateway: sends home what it got.
CALL_BACK = """
import json, os, socket
host, _, port = os.environ["EG_RESPONSE_ADDRESS"].rpartition(":")
with socket.create_connection((host, int(port)), timeout=30) as line:
    line.sendall(json.dumps(dict(os.environ)).encode())
"""
LISTEN = """
import socket
with socket.create_server(("", 8877)) as server:
    print("listening", flush=True)
    with server.accept()[0] as line, line.makefile() as text:
        print(text.read(), flush=True)
"""


@dataclass
class Launcher:
    """The command, with the environment that a gateway of this namespace gives it."""

    cluster: Cluster
    namespace: str
    kernel_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def name(self) -> str:
        """The name that Enterprise Gateway gives the kernel."""
        return f"jovyan-{self.kernel_id}"

    def again(self) -> "Launcher":
        """Return one for another kernel."""
        return Launcher(self.cluster, self.namespace)

    def argv(self, template: str, **filled: str) -> list[str]:
        """Return the sample's arguments, and those that the original's operator appends."""
        values = {
            "kernel_id": self.kernel_id,
            "port_range": "0..0",
            "response_address": "127.0.0.1:8877",
        } | filled
        return [
            *(word.format_map(values) for word in SAMPLE_COMMAND),
            *("--kernel-template-name", template),
            *("--kernel-template-namespace", self.namespace),
        ]

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it on this machine; ``env`` comes on top of the sample's."""
        given = {
            "EG_NAME": GATEWAY,
            "EG_NAMESPACE": self.namespace,
            "KERNEL_POD_NAME": self.name,
            "KERNEL_NAMESPACE": self.namespace,
            "KERNEL_USERNAME": "jovyan",
            "KERNEL_NAME": "python-kubernetes",
            "KERNEL_LANGUAGE": "python",
        }
        return subprocess.run(
            [sys.executable, "-m", "elastic_jupyter.launcher.command", *argv],
            env=os.environ | given | env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def kernel(self) -> dict[str, Any] | None:
        """Return the JupyterKernel."""
        return self.cluster.get(self.namespace, "jupyterkernels", self.name)

    def pod(self, phase: str) -> dict[str, Any]:
        """Wait until the kernel's pod is in a phase; return it."""
        found = eventually(
            lambda: self.cluster.get(self.namespace, "pods", self.name),
            lambda pod: pod is not None and pod["status"].get("phase") == phase,
            within=60,
            what=f"phase {phase} of pod {self.name}",
        )
        assert found is not None
        return found

    def delete(self) -> None:
        """Delete the kernel, as the process proxy of Enterprise Gateway does."""
        self.cluster.delete(self.namespace, "jupyterkernels", self.name)


def template(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A JupyterKernelTemplate."""
    return {
        "apiVersion": manifests.API,
        "kind": "JupyterKernelTemplate",
        "metadata": {"name": name},
        "spec": spec,
    }


def env_of(pod: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a pod's first container, but for those that come from Secrets."""
    env = pod["spec"]["containers"][0]["env"]
    return {entry["name"]: entry["value"] for entry in env if "valueFrom" not in entry}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    with a_namespace(cluster) as name:
        cluster.apply(
            name,
            manifests.gateway(GATEWAY),
            template("sample", {"template": SAMPLE_POD}),
            template("nothing", {"template": {}}),
        )
        yield name


@pytest.fixture
def launcher(cluster: Cluster, namespace: str) -> Iterator[Launcher]:
    launcher = Launcher(cluster, namespace)
    yield launcher
    launcher.delete()


def test_the_originals_sample_makes_a_kernel_whose_pod_runs(launcher: Launcher) -> None:
    image = image_of(launcher.cluster, "KERNEL")
    done = launcher.run(*launcher.argv("sample"), KERNEL_IMAGE=image)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"JupyterKernel {launcher.namespace}/{launcher.name} created\n"
    pod = launcher.pod("Running")
    assert env_of(pod) == {
        "EG_PORT_RANGE": "0..0",
        "EG_RESPONSE_ADDRESS": "127.0.0.1:8877",
        "KERNEL_ID": launcher.kernel_id,
        "KERNEL_LANGUAGE": "python",
        "KERNEL_NAME": "python-kubernetes",
        "KERNEL_NAMESPACE": launcher.namespace,
        "KERNEL_USERNAME": "jovyan",
        "JPY_PARENT_PID": "1",  # which any kernel of our image has
    }
    assert pod["spec"]["containers"][0]["image"] == image
    labels = pod["metadata"]["labels"]
    # What Enterprise Gateway's process proxies look for.
    assert {name: labels[name] for name in ("kernel_id", "kernel", "component")} == {
        "kernel_id": launcher.kernel_id,
        "kernel": launcher.name,
        "component": "kernel",
    }
    eventually(
        lambda: (launcher.kernel() or {}).get("status"),
        lambda status: bool(status) and status["phase"] == "Running",
        within=20,
        what="the JupyterKernel's phase",
    )


def test_an_image_with_a_launcher_of_its_own_calls_enterprise_gateway_back(
    launcher: Launcher,
) -> None:
    cluster, namespace = launcher.cluster, launcher.namespace
    image = image_of(cluster, "KERNEL")
    call_back = {"name": "kernel", "image": image, "command": ["python", "-c", CALL_BACK]}
    cluster.apply(
        namespace, template("calls-back", {"template": {"spec": {"containers": [call_back]}}})
    )
    cluster.create(
        manifests.plain_pod(
            "enterprise-gateway",
            namespace=namespace,
            image=image,
            command=["python", "-c", LISTEN],
        )
    )
    listener = eventually(
        lambda: (
            cluster.get(namespace, "pods", "enterprise-gateway") or {},
            cluster.log(namespace, "enterprise-gateway"),
        ),
        lambda seen: seen[0]["status"].get("podIP") and seen[1] == "listening\n",
        within=60,
        what="a listener and its address",
    )[0]
    address = f"{listener['status']['podIP']}:8877"
    done = launcher.run(
        *launcher.argv("calls-back", response_address=address, port_range="40000..42000"),
        *("--RemoteProcessProxy.public-key", "MIGf+/A0="),
        *("--RemoteProcessProxy.spark-context-initialization-mode", "none"),
    )
    assert done.returncode == 0, done.stderr
    said = eventually(
        lambda: cluster.log(namespace, "enterprise-gateway"),
        lambda log: log.removeprefix("listening\n"),
        within=60,
        what="the call of the kernel",
    )
    got = json.loads(said.removeprefix("listening\n"))
    want = {
        "EG_PORT_RANGE": "40000..42000",
        "EG_RESPONSE_ADDRESS": address,
        "EG_PUBLIC_KEY": "MIGf+/A0=",
        "KERNEL_SPARK_CONTEXT_INIT_MODE": "none",
        "KERNEL_ID": launcher.kernel_id,
    }
    assert {name: got[name] for name in want} == want


def test_the_originals_image_runs_itself_where_enterprise_gateway_waits_for_it(
    launcher: Launcher,
) -> None:
    """Elsewhere ours takes its place, which would not call back."""
    asked = "example.invalid/skai-x/jupyter-kernel-py:2.6.0"
    done = launcher.run(*launcher.argv("sample"), KERNEL_IMAGE=asked)
    assert done.returncode == 0, done.stderr
    container = launcher.pod("Pending")["spec"]["containers"][0]
    assert (container["image"], container.get("command")) == (asked, None)


def test_a_template_without_a_pod_is_a_kernel_of_our_image(launcher: Launcher) -> None:
    """The original panicked."""
    done = launcher.run(*launcher.argv("nothing"))
    assert done.returncode == 0, done.stderr
    image = launcher.pod("Running")["spec"]["containers"][0]["image"]
    assert image == image_of(launcher.cluster, "KERNEL")


def test_an_existing_name_is_told_and_the_kernel_of_that_name_stays(launcher: Launcher) -> None:
    """The original panicked."""
    assert launcher.run(*launcher.argv("nothing")).returncode == 0
    first = launcher.kernel()
    other = launcher.again()
    done = launcher.run(*other.argv("sample"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"JupyterKernel {launcher.name} exists already" in done.stderr
    assert f"in namespace {launcher.namespace}; delete it (kubectl delete" in done.stderr
    second = launcher.kernel()
    assert first is not None
    assert second is not None
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["spec"] == first["spec"]


def test_a_missing_template_or_gateway_is_told_with_its_namespace(launcher: Launcher) -> None:
    done = launcher.run(*launcher.argv("gone"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no JupyterKernelTemplate gone in namespace {launcher.namespace}" in done.stderr
    done = launcher.run(*launcher.argv("sample"), EG_NAME="gone")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no JupyterGateway gone in namespace {launcher.namespace}" in done.stderr
    assert launcher.kernel() is None


def test_a_missing_right_is_told_in_the_api_servers_words(
    launcher: Launcher, tmp_path: Path
) -> None:
    config = as_account(launcher.cluster, launcher.namespace, "default", tmp_path)
    done = launcher.run(*launcher.argv("sample"), KUBECONFIG=str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert f'"system:serviceaccount:{launcher.namespace}:default" cannot get' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_flag_or_variable_is_named_with_exit_status_2(launcher: Launcher) -> None:
    done = launcher.run(*launcher.argv("sample", port_range="{port_range}"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--RemoteProcessProxy.port-range must be two ports" in done.stderr
    done = launcher.run(*launcher.argv("sample"), KERNEL_NAMESPACE="another")
    assert (done.returncode, done.stdout) == (2, "")
    assert "KERNEL_NAMESPACE must be the namespace of the JupyterGateway" in done.stderr
    assert launcher.kernel() is None


def test_it_is_in_the_gateways_image_and_needs_no_right_that_the_gateway_lacks(
    launcher: Launcher,
) -> None:
    cluster, namespace = launcher.cluster, launcher.namespace
    gateway = server_pod(cluster, namespace, "jupytergateways", GATEWAY)["metadata"]["name"]
    said = cluster.exec(namespace, gateway, "kubeflow-launcher", *launcher.argv("sample"))
    assert said == f"JupyterKernel {namespace}/{launcher.name} created\n"
    launcher.pod("Running")


def test_a_launched_kernel_goes_with_the_gateway_that_owns_it(cluster: Cluster) -> None:
    with a_namespace(cluster) as namespace:
        launcher = Launcher(cluster, namespace)
        cluster.apply(namespace, manifests.gateway(GATEWAY), template("nothing", {"template": {}}))
        assert launcher.run(*launcher.argv("nothing")).returncode == 0
        cluster.delete(namespace, "jupytergateways", GATEWAY)
        eventually(
            lambda: (launcher.kernel(), cluster.get(namespace, "pods", launcher.name)),
            lambda left: left == (None, None),
            within=60,
            what="the end of kernel and pod",
        )


def as_account(cluster: Cluster, namespace: str, account: str, folder: Path) -> Path:
    """Write a kubeconfig of a service account; return its path."""
    config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "--flatten", "--minify"))
    token = cluster.kubectl("create", "token", account, "-n", namespace).strip()
    config["users"] = [{"name": account, "user": {"token": token}}]
    for context in config["contexts"]:
        context["context"]["user"] = account
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path
