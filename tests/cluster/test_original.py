"""What the original's users have, unchanged, and each defect of it and of Enterprise Gateway.

The manifests are the original's repository, byte for byte (``tests/data/original``). The defects
were measured on the Go original and on Enterprise Gateway 3.3.0; each has its test, here or in:

The original
- ``kubectl apply`` refuses its own examples (metadata of a pod template): strict_apply
- what that metadata says is lost: custom_kernels, made_by_hand
- the default kernel is none of those on offer: custom_kernels; unit policy/test_offer.py
- a variable is written twice: custom_kernels
- ``spec.env`` never reaches the kernel, edited specs change nothing: test_custom_kernels.py
- a gateway that names a missing spec recovers by back-off alone: test_custom_kernels.py
- commands are hard-coded: test_custom_kernels.py (R); simple_deployments
- the status of JupyterKernel and JupyterNotebook stays empty: samples, made_by_hand
- ``restartPolicy`` of a template makes an invalid Deployment: custom_kernels, made_by_hand
- edits of a gateway never roll out: test_rollouts.py
- deleted children are not repaired, ``rollout restart`` is reverted, defaulted fields are updated
  for ever: test_repair.py
- the manager panics (no template, ``template: {}`` with auth, ``containers: []``), and a
  JupyterKernel with the name of a notebook does nothing: test_bad_input.py
- ten invalid kernels delay a healthy one by 10 s: test_bad_kernels_delay_nobody.py
- the launcher panics without a template and on an existing name: test_launcher.py

Enterprise Gateway
- SIGTERM deletes every kernel, SIGKILL orphans them and loses executions: test_gateway_gone.py
- a lost pod hangs every later execution on its websocket, or leaks: test_bad_news.py
- an open websocket keeps a kernel from culling, or hangs after it: test_idle_reclaim.py
- a GPU that cannot be had is a 500 after 60 s without reason: test_gpu_queue.py, test_bad_waits.py
- a GPU request without a limit is a 500 and leaks a namespace: without_a_limit
- overlapping starts get each other's env: test_identity.py
- rights on pods, namespaces and Secrets of the whole cluster: test_rights.py
- 125 MB of memory with the first kernel, 643 MB at most: samples
"""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support import manifests
from tests.support.cluster import Cluster, events_of, is_ready
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.rollout import server_pod
from tests.support.team import (
    ORIGINAL,
    Object,
    a_namespace,
    foreign_image,
    image_of,
    kernel_name,
    served,
)

pytestmark = pytest.mark.long

MANIFESTS = sorted(path.relative_to(ORIGINAL) for path in ORIGINAL.rglob("*.yaml"))
CUSTOM_KERNELS = ORIGINAL / "examples" / "elastic-with-custom-kernels"
SIMPLE = ORIGINAL / "examples" / "simple-deployments"
SAMPLE = str(ORIGINAL / "config" / "samples" / "kubeflow.tkestack.io_v1alpha1_{}.yaml")
KERNEL_LABELS = {"app": "enterprise-gateway", "component": "kernel"}


def conditions(cluster: Cluster, plural: str, name: str, namespace: str = "default") -> Object:
    """The conditions of an object by type."""
    found = cluster.get(namespace, plural, name) or {}
    return {one["type"]: one for one in (found.get("status") or {}).get("conditions", [])}


def is_told(cluster: Cluster, plural: str, name: str, kind: str) -> Object:
    """Wait until an object has a condition, and return that."""
    told: Object = eventually(
        lambda: conditions(cluster, plural, name).get(kind, {}),
        bool,
        within=20,
        what=f"the condition {kind} of {plural}/{name}",
    )
    return told


def replaced_image_is_told(cluster: Cluster, plural: str, name: str) -> None:
    """By a condition that names both images, and by an Event."""
    told = is_told(cluster, plural, name, "ImageReplaced")
    assert told["status"] == "True"
    assert "ghcr.io/skai-x/" in told["message"]
    assert "localhost/" in told["message"]
    found = cluster.get("default", plural, name)
    assert found is not None
    eventually(
        lambda: [event["reason"] for event in events_of(cluster, found)],
        lambda reasons: reasons.count("ImageReplaced") == 1,
        within=20,
        what=f"one Event ImageReplaced of {plural}/{name}",
    )


def the_pod(cluster: Cluster, tab: Tab) -> Object:
    pod = cluster.get("default", "pods", kernel_name(tab))
    assert pod is not None
    return pod


@pytest.mark.parametrize("path", MANIFESTS, ids=str)
def test_each_of_its_manifests_is_accepted_by_a_strict_apply(cluster: Cluster, path: Path) -> None:
    said = cluster.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", ORIGINAL / path)
    # Created, or configured where another test has it just then.
    assert said.endswith("(server dry run)\n")


def test_the_example_with_custom_kernels_works(cluster: Cluster, default_namespace: str) -> None:
    name = "elastic-with-custom-kernels"
    cluster.kubectl("apply", "-f", CUSTOM_KERNELS)
    with served(
        cluster, default_namespace, f"jupyternotebook-{name}", offers="python-kubernetes"
    ) as server:
        offered = server.request("GET", "kernelspecs")
        assert (offered["default"], list(offered["kernelspecs"])) == (
            "python-kubernetes",
            ["python-kubernetes"],
        )
        with server.notebook(offered["default"]) as tab:
            assert tab.run("x = 41\nx + 1", within=60).result == "42"
            pod = the_pod(cluster, tab)
            assert pod["metadata"]["labels"].items() >= KERNEL_LABELS.items()
            assert pod["spec"]["restartPolicy"] == "Never"
            assert pod["spec"]["containers"][0]["image"] == image_of(cluster, "KERNEL")
            replaced_image_is_told(cluster, "jupyterkernels", kernel_name(tab))
            gives_back_and_returns(cluster, tab)
    replaced_image_is_told(cluster, "jupytergateways", f"jupytergateway-{name}")
    replaced_image_is_told(cluster, "jupyterkernelspecs", "python-kubernetes")
    assert is_told(cluster, "jupyterkernelspecs", "python-kubernetes", "CommandIgnored")
    lifted = is_told(
        cluster, "jupyterkerneltemplates", f"jupyterkerneltemplate-{name}", "LabelsLifted"
    )
    assert "app, component" in lifted["message"]
    deployment = cluster.get(default_namespace, "deployments", f"jupytergateway-{name}")
    assert deployment is not None
    env = [e["name"] for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert len(env) == len(set(env)), "no variable is written twice"


def gives_back_and_returns(cluster: Cluster, tab: Tab) -> None:
    """``cullIdleTimeout: 10`` with the tab open, and the next cell."""
    eventually(
        lambda: cluster.get("default", "pods", kernel_name(tab)),
        lambda pod: pod is None,
        within=10 + 10 + 20,  # cullIdleTimeout, cullInterval, the end of the pod
        what="the end of the idle kernel's pod",
    )
    cell = tab.run("'x' in dir()", within=60)
    assert cell.result == "False"
    assert "variables" in cell.text


@pytest.fixture(
    params=[
        ("jupytergateway-kernels", "jupyterkernelspec"),
        ("jupytergateway", "jupyterkernelspec-custom-launcher"),
    ],
    ids="-".join,
)
def sample(
    request: pytest.FixtureRequest, cluster: Cluster, default_namespace: str
) -> Iterator[NotebookServer]:
    """The notebook server of config/samples, with one of its gateways and one of its specs."""
    for part in (*request.param, "jupyterkerneltemplate", "jupyternotebook"):
        cluster.kubectl("apply", "-f", SAMPLE.format(part))
    login = eventually(
        lambda: cluster.get(default_namespace, "secrets", "jupyternotebook-sample-auth"),
        lambda secret: secret is not None,
        within=30,
        what="the login that a notebook without auth gets",
    )
    assert login is not None
    token = base64.b64decode(login["data"]["token"]).decode()
    with served(
        cluster,
        default_namespace,
        "jupyternotebook-sample",
        token=token,
        offers="python-kubernetes",
    ) as server:
        yield server


def test_the_samples_work_and_their_gateway_lives_in_128_mebibytes(
    sample: NotebookServer, cluster: Cluster
) -> None:
    gateway = server_pod(cluster, "default", "jupytergateways", "jupytergateway-sample")
    assert gateway["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi"
    with contextlib.ExitStack() as tabs:
        for _ in range(3):
            tab = tabs.enter_context(sample.notebook("python-kubernetes"))
            assert tab.run("print('x' * 1000000)", within=60).reply["status"] == "ok"
        name = gateway["metadata"]["name"]
        status = cluster.exec("default", name, "cat", "/proc/1/status")
        [peak] = [int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line]
        assert peak < 120 * 1024, f"{peak} KiB"
        now = cluster.get("default", "pods", name)
        assert now is not None
        assert is_ready(now)
        assert now["status"]["containerStatuses"][0]["restartCount"] == 0
    notebook = cluster.get("default", "jupyternotebooks", "jupyternotebook-sample")
    assert notebook is not None
    assert notebook["status"]["url"] == "http://jupyternotebook-sample.default:8888"
    assert conditions(cluster, "jupyternotebooks", "jupyternotebook-sample")["Ready"]["status"] == (
        "True"
    )


def test_the_sample_of_a_kernel_made_by_hand_runs(cluster: Cluster, default_namespace: str) -> None:
    cluster.kubectl("apply", "-f", SAMPLE.format("jupyterkernel"))
    kernel = eventually(
        lambda: cluster.get(default_namespace, "jupyterkernels", "jupyterkernel-sample"),
        lambda seen: seen and seen.get("status", {}).get("phase") == "Running",
        within=60,
        what="the kernel",
    )
    assert kernel is not None
    assert kernel["status"].keys() >= {"startTime", "lastReconcileTime", "conditions"}
    pod = cluster.get(default_namespace, "pods", "jupyterkernel-sample")
    assert pod is not None
    assert pod["metadata"]["labels"].items() >= KERNEL_LABELS.items()
    replaced_image_is_told(cluster, "jupyterkernels", "jupyterkernel-sample")


def test_simple_deployments_takes_the_image_literally_and_tells_why_it_cannot_be_pulled(
    cluster: Cluster, default_namespace: str
) -> None:
    """Its image is on Docker Hub, and nothing leaves the cluster of the tests."""
    cluster.kubectl("apply", "-f", SIMPLE)
    told = eventually(
        lambda: conditions(cluster, "jupyternotebooks", "jupyternotebook-simple").get("Ready", {}),
        lambda ready: ready.get("reason") in ("ErrImagePull", "ImagePullBackOff"),
        within=60,
        what="the bad news of the pull",
    )
    assert told["status"] == "False"
    assert "jupyter/base-notebook:python-3.9.7" in told["message"]
    [pod] = cluster.list(
        default_namespace, "pods", name="jupyter-notebook", instance="jupyternotebook-simple"
    )
    assert pod["metadata"]["labels"]["notebook"] == "simple"
    [container] = pod["spec"]["containers"]
    assert container["image"] == "jupyter/base-notebook:python-3.9.7"
    assert container["command"] == ["tini", "-g", "--", "start-notebook.sh"]


def test_simple_deployments_is_plain_jupyter_with_an_image_that_is_there(cluster: Cluster) -> None:
    [path] = SIMPLE.iterdir()
    notebook = yaml.safe_load(path.read_text())
    [container] = notebook["spec"]["template"]["spec"]["containers"]
    container["image"] = foreign_image(cluster, "stock-lab")
    with a_namespace(cluster) as namespace:
        cluster.apply(namespace, notebook)
        with served(cluster, namespace, "jupyternotebook-simple") as server:
            assert server.request("GET", "contents")["type"] == "directory", "without a login"
            with server.notebook() as tab:
                assert tab.run("6 * 7", within=60).result == "42"
        assert not cluster.list(namespace, "jupyterkernels"), "its kernels are its own processes"
        ready = conditions(cluster, "jupyternotebooks", "jupyternotebook-simple", namespace)
        assert ready["Ready"]["status"] == "True"


def test_a_request_for_a_gpu_without_a_limit_is_told_and_leaves_nothing(cluster: Cluster) -> None:
    spec = manifests.kernel_spec("greedy", resources={"requests": {"nvidia.com/gpu": 1}})
    with a_namespace(cluster) as namespace:
        cluster.apply(namespace, spec)
        told = eventually(
            lambda: conditions(cluster, "jupyterkernelspecs", "greedy", namespace).get("Ready", {}),
            lambda ready: ready,
            within=10,
            what="what the API server says of its pod",
        )
        assert told["status"] == "False"
        assert "resources.limits" in told["message"]
        assert "Limit must be set" in told["message"]
        assert not cluster.names(namespace, "pods")
