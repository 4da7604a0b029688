"""The original's quickstart, ``examples/elastic``, byte for byte and in either order."""

from collections.abc import Iterator

import pytest
from tests.support.cluster import Cluster, events_of
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Message, NotebookServer, Tab
from tests.support.rollout import server_pod
from tests.support.team import ORIGINAL, image_of, kernel_name, served

MANIFESTS = {
    kind: ORIGINAL / "examples" / "elastic" / f"kubeflow.tkestack.io_v1alpha1_{kind}.yaml"
    for kind in ("jupyternotebook", "jupytergateway")
}
NAMED_IMAGE = "ghcr.io/skai-x/enterprise-gateway-with-kernel-spec:latest"
# A small but whole PNG: one transparent pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)


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
        assert tab.run("x = 41", within=60).reply["status"] == "ok"
        assert tab.run("x + 1").result == "42"
        shows_a_picture(tab)
        carries_binary_buffers_both_ways(tab)
        assert not {"restarting", "dead"} & set(tab.statuses())
        shows_every_pod_running(cluster, tab)
        runs_our_image_and_says_so(cluster)


def shows_a_picture(tab: Tab) -> None:
    cell = tab.run(
        f"import base64, IPython.display as d\nd.display(d.Image(base64.b64decode('{PNG}')))"
    )
    [picture] = cell.messages("display_data")
    assert picture["content"]["data"]["image/png"].strip() == PNG


def carries_binary_buffers_both_ways(tab: Tab) -> None:
    """What a widget does: the stock gateway client dies of either direction."""
    cell = tab.run(
        "from comm import create_comm\n"
        "c = create_comm(target_name='t', data={'n': 1}, buffers=[bytes(range(256)), b''])\n"
        "c.on_msg(lambda m: c.send({'n': 2}, buffers=[bytes(b)[::-1] for b in m['buffers']]))"
    )
    [opened] = cell.messages("comm_open")
    assert [bytes(b) for b in opened["buffers"]] == [bytes(range(256)), b""]

    message = tab.client.session.msg(
        "comm_msg", {"comm_id": opened["content"]["comm_id"], "data": {}}
    )
    message["buffers"] = [bytes(range(256))]
    tab.client.shell_channel.send(message)

    def answers() -> list[Message]:
        return [m for _, _, m in tab.inbox if m["header"]["msg_type"] == "comm_msg"]

    tab.until(answers, within=10, what="the comm's answer")
    [answer] = answers()
    assert [bytes(b) for b in answer["buffers"]] == [bytes(range(256))[::-1]]


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
