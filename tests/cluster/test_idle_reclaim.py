"""When an idle kernel is reclaimed, and what the next cell finds."""

import time
from collections.abc import Callable

import pytest
from tests.scenarios.reclaim import Reclaim, look_busy
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.team import Object, Team, image_of, is_offered

pytestmark = [pytest.mark.measures, pytest.mark.long, pytest.mark.usefixtures("gpus")]

IDLE = 6
INTERVAL = 2
SLACK = Team.slack - INTERVAL


@pytest.fixture(scope="module")
def hasty(new_team: Callable[..., Team]) -> Team:
    """A team whose kernels are reclaimed after six idle seconds."""
    return new_team(
        manifests.gpu_template("one-gpu"),
        manifests.kernel_spec("gpu", template="one-gpu", display_name="Python with a GPU"),
        cullIdleTimeout=IDLE,
        cullInterval=INTERVAL,
        # With a warning it comes at the second look: idle_or_not has that.
        reclaim={"warningSeconds": 0},
    )


def is_scheduled(pod: Object | None) -> bool:
    return bool(pod and pod["spec"].get("nodeName"))


def test_an_idle_kernel_gives_its_gpu_back_in_time_though_its_tab_is_open(
    hasty: Team,
) -> None:
    team = hasty
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
            within=SLACK,
            what="the GPU schedulable",
        )
        assert tab.open
    finally:
        team.cluster.delete(team.namespace, "pods", "heir", grace=0)


def test_a_kernel_spec_has_the_last_word_on_when_its_kernels_are_reclaimed(
    hasty: Team,
) -> None:
    team = hasty
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
    hasty: Team,
) -> None:
    team = hasty
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
        team.restart_gateway()
        cell = tab.run(ask, within=60)
        assert cell.result == "100000"
        assert "pod template could not be remembered" in " ".join([cell.text, *cell.displayed])


class TestReclaim(Reclaim):
    """As on every engine."""
