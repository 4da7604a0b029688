"""Kernels that users bring: images of others, other languages, pods of their own making.

``server`` is our notebook server, and then a JupyterLab that has nothing of ours.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer
from tests.support.team import Object, Team, foreign_image, image_of, served

LIVE_WITHIN = 5.0
R_NAME = "R für alle, 统计"
R_COMMAND = ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"]


@pytest.fixture(scope="module")
def team(cluster: Cluster, new_team: Callable[..., Team]) -> Team:
    """A team with kernels of others, and both notebook servers."""
    team = new_team(
        manifests.kernel_spec("plain", image=foreign_image(cluster, "plain-kernel")),
        manifests.kernel_spec(
            "r",
            display_name=R_NAME,
            language="R",
            image=foreign_image(cluster, "r-kernel"),
            command=R_COMMAND,
        ),
    )
    template = manifests.stock_lab(foreign_image(cluster, "stock-lab"))
    stock = manifests.notebook("stock", namespace=team.namespace, template=template)
    cluster.apply(team.namespace, stock)
    return team


@pytest.fixture(scope="module", params=["our notebook server", "stock JupyterLab"])
def server(request: pytest.FixtureRequest, team: Team) -> Iterator[NotebookServer]:
    """A notebook server of the team."""
    if request.param == "our notebook server":
        yield team.server
        return
    with served(team.cluster, team.namespace, "stock") as stock:
        yield stock


def specs_at(server: NotebookServer) -> dict[str, Object]:
    """The kernel specs that a notebook server shows."""
    specs: dict[str, Object] = server.request("GET", "kernelspecs")["kernelspecs"]
    return {name: found["spec"] for name, found in specs.items()}


def shown_within_2_s(server: NotebookServer, want: Callable[[dict[str, Object]], bool]) -> None:
    eventually(
        lambda: specs_at(server), want, within=LIVE_WITHIN, what="the change at the notebook"
    )


def test_an_image_with_ipykernel_and_nothing_of_ours_is_a_kernel(
    team: Team, server: NotebookServer
) -> None:
    with server.notebook("plain") as tab:
        assert tab.run("import sys\nsys.prefix", within=60).result == "'/opt/kernel'"
        assert tab.run("import os\nos.getuid()").result == "0", "as its image says"
        cell = tab.start("import time\nprint('go', flush=True)\ntime.sleep(600)")
        cell.until(lambda cell: cell.stdout == "go\n", within=10, what="the cell's first line")
        tab.interrupt()
        assert cell.wait(within=30).reply["ename"] == "KeyboardInterrupt"


def test_a_kernel_that_is_not_python_runs_its_language(team: Team, server: NotebookServer) -> None:
    shown = specs_at(server)["r"]
    assert (shown["display_name"], shown["language"], shown["argv"]) == (R_NAME, "R", R_COMMAND)
    with server.notebook("r") as tab:
        cell = tab.run("x <- c(1, 2, 4)\ncat(mean(x) * 3)", within=60)
        assert (cell.reply["status"], cell.stdout) == ("ok", "7")
        assert tab.run("sum(x)").displayed == ["[1] 7"], "its variables stay"
        failed = tab.run("stop('genug')")
        assert failed.reply["status"] == "error"
        assert "genug" in failed.reply["evalue"]
        assert not {"restarting", "dead"} & set(tab.statuses())


def test_a_kernel_that_knows_only_signals_tells_that_a_restart_ends_its_cell(
    team: Team, server: NotebookServer
) -> None:
    """R: no signal goes from one pod to another."""
    with server.notebook("r") as tab:
        cell = tab.start("cat('go'); Sys.sleep(600)")
        cell.until(lambda cell: cell.stdout == "go", within=60, what="the cell's first word")
        tab.interrupt()
        cell.until(
            lambda cell: "did not answer the interrupt" in cell.text, within=10, what="a word on it"
        )
        tab.restart()
        assert cell.wait(within=10).reply["ename"] == "KernelRestarted"


def test_a_kernel_that_is_not_python_is_there_when_the_gateway_was_killed(team: Team) -> None:
    """R's answers on its shell channel alone."""
    with team.server.notebook("r") as tab:
        assert tab.run("x <- 6 * 7", within=60).reply["status"] == "ok"
        team.replace_gateway()
        assert tab.run("cat(x)", within=60).stdout == "42"


def test_specs_come_change_and_go_within_2_s_with_nothing_restarted(
    team: Team, server: NotebookServer
) -> None:
    before = team.gateway_pod()["metadata"]["uid"]
    spec = manifests.kernel_spec(
        "live", display_name="Live", image=image_of(team.cluster, "KERNEL")
    )
    team.cluster.apply(team.namespace, spec)
    shown_within_2_s(server, lambda specs: specs.get("live", {}).get("display_name") == "Live")

    spec["spec"] |= {"displayName": "Lively", "env": [{"name": "FLAVOUR", "value": "new"}]}
    team.cluster.apply(team.namespace, spec)
    shown_within_2_s(server, lambda specs: specs["live"]["display_name"] == "Lively")
    with server.notebook("live") as tab:
        assert tab.run("import os\nos.environ['FLAVOUR']", within=60).result == "'new'"
        team.cluster.delete(team.namespace, "jupyterkernelspecs", "live")
        shown_within_2_s(server, lambda specs: "live" not in specs)
        assert tab.run("1 + 1").result == "2", "a running kernel needs its spec no more"
    assert team.gateway_pod()["metadata"]["uid"] == before


def a_rich_template() -> Object:
    """A pod with all that teams put into theirs."""
    return manifests.kernel_template(
        "rich",
        metadata={"labels": {"cost-centre": "42"}, "annotations": {"example.com/team": "a"}},
        spec={
            "serviceAccountName": "reader",
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [
                {"name": "shared", "emptyDir": {}},
                {"name": "settings", "configMap": {"name": "settings"}},
            ],
            "containers": [
                {
                    "name": "kernel",
                    "env": [
                        {"name": "FROM_TEMPLATE", "value": "yes"},
                        {"name": "FROM_BOTH", "value": "template"},
                    ],
                    "resources": {"limits": {"memory": "1Gi"}},
                    "volumeMounts": [
                        {"name": "shared", "mountPath": "/shared"},
                        {"name": "settings", "mountPath": "/settings"},
                    ],
                },
                {
                    "name": "sidecar",
                    "image": "IMAGE",
                    "command": ["sh", "-c", "echo hello > /shared/greeting; exec sleep infinity"],
                    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                },
            ],
        },
    )


LOOK = """
import json, os, pathlib, time
greeting = pathlib.Path("/shared/greeting")
while not greeting.exists() or not greeting.read_text():  # the sidecar may come later
    time.sleep(0.05)
print(json.dumps({
    "env": {name: os.environ.get(name) for name in names},
    "greeting": greeting.read_text(),
    "setting": pathlib.Path("/settings/colour").read_text(),
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
}))
"""


def test_the_pod_is_what_spec_and_template_say(cluster: Cluster, team: Team) -> None:
    image = image_of(cluster, "KERNEL")
    template = a_rich_template()
    template["spec"]["template"]["spec"]["containers"][1]["image"] = image
    env: list[dict[str, Any]] = [
        {"name": "FROM_BOTH", "value": "spec"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "KERNEL_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "GREETING", "value": "$(PASSWORD)!"},
    ]
    core = {"apiVersion": "v1"}
    cluster.apply(
        team.namespace,
        {**core, "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "red"}},
        {**core, "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "s3"}},
        {**core, "kind": "ServiceAccount", "metadata": {"name": "reader"}},
        template,
        manifests.kernel_spec(
            "rich", template="rich", env=env, resources={"limits": {"memory": "512Mi"}}
        ),
    )
    shown_within_2_s(team.server, lambda specs: "rich" in specs)
    with team.server.notebook("rich") as tab:
        names = ["FROM_TEMPLATE", "FROM_BOTH", "PASSWORD", "KERNEL_NODE", "GREETING"]
        seen = json.loads(tab.run(f"names = {names}\n{LOOK}", within=60).stdout)
        pod = team.pod(tab)
        assert pod is not None
        node = pod["spec"]["nodeName"]
        assert seen == {
            "env": dict(zip(names, ["yes", "spec", "s3", node, "s3!"], strict=True)),
            "greeting": "hello\n",
            "setting": "red",
            "token": True,
        }
        assert pod["metadata"]["labels"]["cost-centre"] == "42"
        assert pod["metadata"]["annotations"]["example.com/team"] == "a"
        assert pod["spec"]["serviceAccountName"] == "reader"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        kernel = pod["spec"]["containers"][0]
        assert (kernel["image"], kernel["resources"]["limits"]) == (image, {"memory": "512Mi"})


def test_a_kernel_that_ends_beside_its_sidecar_is_told(cluster: Cluster, team: Team) -> None:
    """The pod as a whole is still Running then."""
    image = image_of(cluster, "KERNEL")
    sidecar = {"name": "sidecar", "image": image, "command": ["sleep", "infinity"]}
    template = manifests.kernel_template(
        "accompanied", spec={"containers": [{"name": "kernel"}, sidecar]}
    )
    cluster.apply(team.namespace, template, manifests.kernel_spec("pair", template="accompanied"))
    shown_within_2_s(team.server, lambda specs: "pair" in specs)
    with team.server.notebook("pair") as tab:
        tab.run("1", within=60)
        cell = tab.run("import os\nos._exit(3)", within=15)
        assert cell.reply["ename"] == "KernelDied"
        assert "exit code 3" in cell.reply["evalue"]


def test_kernels_that_are_listed_and_missing_are_named_until_they_come(
    cluster: Cluster, new_team: Callable[..., Team], team: Team
) -> None:
    def missing() -> str:
        gateway = cluster.get(team.namespace, "jupytergateways", "strict") or {}
        told = gateway.get("status", {}).get("conditions", [])
        return "".join(one["message"] for one in told if one["type"] == "KernelsMissing")

    cluster.apply(
        team.namespace,
        manifests.gateway("strict", kernels=["late", "r"]),
        manifests.notebook("choosy", gateway="strict", namespace=team.namespace),
    )
    want = "spec.kernels: there is no JupyterKernelSpec late"
    eventually(missing, lambda text: text == want, within=10, what="the name of what is missing")
    with served(cluster, team.namespace, "choosy", offers="r") as server:
        before = server.request("GET", "kernelspecs")
        assert (before["default"], list(before["kernelspecs"])) == ("r", ["r"])
        cluster.apply(team.namespace, manifests.kernel_spec("late"))
        eventually(
            lambda: (missing(), set(specs_at(server))),
            lambda seen: seen == ("", {"late", "r"}),
            within=LIVE_WITHIN,
            what="both kernels and no condition more",
        )
