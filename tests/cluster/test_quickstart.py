"""The original's quickstart, ``examples/elastic``, byte for byte and in either order."""

from collections.abc import Iterator

import pytest
from tests.scenarios.running import runs_keeps_its_state_and_shows_rich_output
from tests.support.cluster import Cluster, events_of
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.rollout import server_pod
from tests.support.team import ORIGINAL, image_of, kernel_name, served

MANIFESTS = {
    kind: ORIGINAL / "examples" / "elastic" / f"kubeflow.tkestack.io_v1alpha1_{kind}.yaml"
    for kind in ("jupyternotebook", "jupytergateway")
}
NAMED_IMAGE = "ghcr.io/skai-x/enterprise-gateway-with-kernel-spec:latest"


@pytest.fixture(params=["notebook first", "gateway first"])
def quickstart(
    request: pytest.FixtureRequest, cluster: Cluster, default_namespace: str
) -> Iterator[NotebookServer]:
    """The notebook server of the quickstart, its manifests applied in one of the two orders."""
    order = list(MANIFESTS.values())
    for path in order if request.param == "notebook first" else order[::-1]:
        cluster.kubectl("apply", "-f", path)
    with served(cluster, default_namespace, "jupyternotebook-elastic") as server:
        yield server


def test_a_notebook_runs_keeps_its_state_and_shows_rich_output(
    quickstart: NotebookServer, cluster: Cluster
) -> None:
    with quickstart.notebook() as tab:
        runs_keeps_its_state_and_shows_rich_output(tab)
        shows_every_pod_running(cluster, tab)
        runs_our_image_and_says_so(cluster)


def shows_every_pod_running(cluster: Cluster, tab: Tab) -> None:
    def running() -> set[str]:
        table = cluster.kubectl("get", "pods", "-n", "default")
        rows = [line.split() for line in table.splitlines()]
        return {row[0] for row in rows[1:] if row[1:3] == ["1/1", "Running"]}

    # The kubelet may say so a second after the kernel has answered.
    names = eventually(
        running, lambda names: kernel_name(tab) in names, within=20, what="the kernel's pod"
    )
    for start in ("jupytergateway-elastic-", "jupyternotebook-elastic-"):
        assert len([name for name in names if name.startswith(start)]) == 1, names


def runs_our_image_and_says_so(cluster: Cluster) -> None:
    """The original's published image is years old, so ours runs in its place."""
    pod = server_pod(cluster, "default", "jupytergateways", "jupytergateway-elastic")
    [container] = pod["spec"]["containers"]
    assert container["image"] == image_of(cluster, "GATEWAY")
    [status] = pod["status"]["containerStatuses"]
    assert NAMED_IMAGE not in (status["image"], status["imageID"])

    gateway = cluster.get("default", "jupytergateways", "jupytergateway-elastic")
    assert gateway is not None
    assert gateway["spec"]["image"] == NAMED_IMAGE, "a wish is not rewritten"
    [condition] = [c for c in gateway["status"]["conditions"] if c["type"] == "ImageReplaced"]
    assert condition["status"] == "True"
    assert NAMED_IMAGE in condition["message"]
    assert container["image"] in condition["message"]
    eventually(
        lambda: [event["reason"] for event in events_of(cluster, gateway)],
        lambda reasons: "ImageReplaced" in reasons,
        within=20,
        what="the Event",
    )
