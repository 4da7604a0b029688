"""When an idle kernel is reclaimed, and what the next cell finds."""

import json
import re
import time
from collections.abc import Callable

import pytest
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.jupyterlab import jupyterlab
from tests.support.team import GATEWAY, Object, Team, image_of, is_offered

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("gpus")]

IDLE = 6
INTERVAL = 2
SLACK = 4


@pytest.fixture(scope="module")
def hasty_team(new_team: Callable[..., Team]) -> Team:
    """A team whose kernels are reclaimed after six idle seconds."""
    return new_team(
        manifests.gpu_template("one-gpu"),
        manifests.kernel_spec("gpu", template="one-gpu", display_name="Python with a GPU"),
        cullIdleTimeout=IDLE,
        cullInterval=INTERVAL,
    )


def is_scheduled(pod: Object | None) -> bool:
    return bool(pod and pod["spec"].get("nodeName"))


def test_an_idle_kernel_gives_its_gpu_back_in_time_though_its_tab_is_open(
    hasty_team: Team,
) -> None:
    team = hasty_team
    tab = team.server.open("gpu")
    cell = tab.run("1", within=60)
    assert cell.idle_at is not None
    # It needs both GPUs of the node, so it starts when the kernel's one is schedulable again.
    heir = manifests.plain_pod(
        "heir",
        namespace=team.namespace,
        image=image_of(team.cluster, "KERNEL"),
        command=["python", "-c", "import time; time.sleep(600)"],
        limits={"nvidia.com/gpu": 2},
    )
    team.cluster.create(heir)
    try:
        deadline = cell.idle_at + IDLE
        gone_at = eventually(
            lambda: (look_busy(tab), team.left_of(tab), time.monotonic())[1:],
            lambda seen: not seen[0],
            within=deadline + INTERVAL + SLACK - time.monotonic(),
            what="pod, Secret and JupyterKernel gone",
        )[1]
        assert gone_at > deadline - 0.5, "reclaimed too early"
        eventually(
            lambda: team.cluster.get(team.namespace, "pods", "heir"),
            is_scheduled,
            within=deadline + INTERVAL + SLACK - time.monotonic(),
            what="the GPU schedulable",
        )
        assert tab.open
    finally:
        team.cluster.delete(team.namespace, "pods", "heir", grace=0)


def test_a_kernel_spec_has_the_last_word_on_when_its_kernels_are_reclaimed(
    hasty_team: Team,
) -> None:
    team = hasty_team
    team.cluster.apply(team.namespace, manifests.kernel_spec("patient", cullIdleTimeout=3600))
    eventually(
        lambda: team.server.look("kernelspecs"),
        lambda specs: is_offered("patient", specs),
        within=20,
        what="the kernel spec",
    )
    with team.server.notebook("patient") as patient, team.server.notebook() as other:
        patient.run("1", within=60)
        other.run("1", within=60)
        team.reclaimed(other, within=IDLE + INTERVAL + SLACK)
        assert team.pod(patient), "the gateway's limit is not the kernel's"
        team.edit("jupyterkernelspecs", "patient", cullIdleTimeout=1)
        team.reclaimed(patient, within=INTERVAL + SLACK)


def test_a_kernel_too_large_to_be_remembered_is_reclaimed_and_says_what_it_lost(
    hasty_team: Team,
) -> None:
    team = hasty_team
    env = [{"name": f"LARGE_{number}", "value": "x" * 100_000} for number in range(8)]
    spec = manifests.kernel_spec("large", env=env)
    spec["metadata"]["namespace"] = team.namespace
    team.cluster.create(spec)  # an apply would keep all of it in an annotation
    eventually(
        lambda: team.server.look("kernelspecs"),
        lambda found: is_offered("large", found),
        within=20,
        what="the kernel spec on offer",
    )
    with team.server.notebook("large") as tab:
        ask = "import os; len(os.environ['LARGE_7'])"
        assert tab.run(ask, within=60).result == "100000"
        team.reclaimed(tab, within=IDLE + INTERVAL + SLACK)
        team.cluster.kubectl("rollout", "restart", "-n", team.namespace, f"deploy/{GATEWAY}")
        team.gateway_pod()
        cell = tab.run(ask, within=60)
        assert cell.result == "100000"
        assert "pod template could not be remembered" in " ".join([cell.text, *cell.displayed])


def look_busy(tab: Tab) -> None:
    """What a front end sends unasked; none of it counts as use."""
    tab.client.complete("pri")
    tab.client.kernel_info()


def test_a_cell_longer_than_the_timeout_is_not_touched(hasty_team: Team) -> None:
    team = hasty_team
    long = IDLE + INTERVAL + SLACK + 1
    with team.server.notebook() as tab:
        cell = tab.run(f"import time; time.sleep({long}); 'whole'", within=long + 30)
        assert cell.result == "'whole'"
        assert team.left_of(tab), "its idle time starts at its end"
        assert [k["status"]["epoch"] for k in [team.kernel(tab)] if k] == [1]


@pytest.mark.parametrize("gateway_restarts", [False, True], ids=["", "after a gateway restart"])
def test_the_next_cell_after_a_reclaim_runs_and_says_what_is_lost(
    hasty_team: Team, *, gateway_restarts: bool
) -> None:
    team = hasty_team
    with team.server.notebook() as tab:
        assert tab.run("kept = 1", within=60).reply["status"] == "ok"
        team.reclaimed(tab, within=IDLE + INTERVAL + SLACK)
        if gateway_restarts:
            team.cluster.kubectl("rollout", "restart", "-n", team.namespace, f"deploy/{GATEWAY}")
            team.gateway_pod()
        assert tab.kernel_id in team.server.kernel_ids(), "JupyterLab still shows the kernel"
        assert tab.session["id"] in team.server.session_ids()

        first = tab.start("'kept' in dir()")
        second = tab.start("1 + 1")
        assert first.wait(within=40).result == "False"
        assert second.wait(within=10).result == "2"

        shown = " ".join([first.text, *first.displayed])
        assert re.search(r"given back|reclaimed", shown), shown
        assert "its variables are gone" in shown, shown
        assert team.runs(tab)["status"]["epoch"] == 2, "the same kernel id"
        assert tab.open
        assert not {"restarting", "dead"} & set(tab.statuses())


def test_jupyterlab_itself_sees_nothing_but_the_notice(hasty_team: Team) -> None:
    team = hasty_team
    with jupyterlab(team.server) as tab:
        assert tab.run("kept = 1", within=60)["reply"]["status"] == "ok"
        team.reclaimed(tab, within=IDLE + INTERVAL + SLACK)

        answer = tab.run("print('kept' in dir())", within=40)
        assert answer["reply"]["status"] == "ok"
        shown = json.dumps(answer["outputs"])
        assert "its variables are gone" in shown, shown
        assert "False" in shown, shown

        told = tab.close()
    # Its own closing ends with "unknown" and "disconnected".
    assert told["connections"] == ["connected", "disconnected"]
    assert not {"restarting", "autorestarting", "terminating", "dead"} & set(told["statuses"])
