"""What a kernel waits for in vain is told in the notebook and in its object, and has a limit."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from tests.cluster.test_bad_news import (
    CANNOT_GO_ON,
    LAUNCH_LIMIT,
    QUEUE_LIMIT,
    TOLD_WITHIN,
    Held,
    Place,
    a_place,
    a_pod,
    by_hand,
    condition,
    name_of,
    offers,
    set_quota,
)
from tests.cluster.test_resources import table
from tests.scenarios.ends import said_why
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.team import Team, foreign_image, kernel_name
from tests.support.watch import Version

pytestmark = pytest.mark.measures


@pytest.fixture(scope="module")
def hasty(new_team: Callable[..., Team]) -> Iterator[Place]:
    """A team whose kernels may wait for some seconds only, without a seat."""
    team = new_team(
        *offers(*CANNOT_GO_ON, kernel_image=""),
        launchTimeoutSeconds=LAUNCH_LIMIT,
        queueTimeoutSeconds=QUEUE_LIMIT,
    )
    set_quota(team, 0)
    knows_the_config_map(team, "nowhere")
    with a_place(team, team.server) as place:
        yield place


def knows_the_config_map(team: Team, name: str) -> None:
    """Have the kubelet know whether there is this ConfigMap.

    It watches those that a pod refers to. While it does not know yet, it says only that it failed
    to sync its cache, and looks again after the limit of a hasty team.
    """
    pod = manifests.plain_pod(
        "knows",
        namespace=team.namespace,
        image=foreign_image(team.cluster, "plain-kernel"),
        command=["sleep", "600"],
    )
    optional = {"configMapRef": {"name": name, "optional": True}}
    pod["spec"]["containers"][0]["envFrom"] = [optional]
    team.cluster.create(pod)
    eventually(
        lambda: team.cluster.get(team.namespace, "pods", "knows") or {},
        lambda seen: (seen.get("status") or {}).get("phase") == "Running",
        within=60,
        what="a pod that does without the ConfigMap",
    )


@pytest.mark.parametrize("news", CANNOT_GO_ON, ids=name_of)
def test_what_a_kernel_waits_for_is_shown_and_has_a_limit(hasty: Place, news: Held) -> None:
    tab = hasty.server.open(news.name)
    name = kernel_name(tab)
    cell = tab.start("1")
    told = hasty.kernels.first(
        name,
        lambda one: all(
            word in condition(one, "Running").get("message", "") for word in news.words
        ),
        what="the reason",
        within=LAUNCH_LIMIT,
    )
    assert condition(told, "Running")["reason"] in news.reason.split("|")
    cell.until(
        lambda cell: any(all(word in text for word in news.words) for text in cell.displayed),
        within=TOLD_WITHIN,
        what="the reason in the notebook",
    )
    assert not cell.ended
    eventually(
        lambda: {reason for reason, _ in hasty.events_of(name)},
        lambda reasons: reasons & set(news.reason.split("|")),
        within=TOLD_WITHIN,
        what="the Event",
    )
    wide = hasty.team.cluster.kubectl("get", "jk", name, "-n", hasty.team.namespace, "-o", "wide")
    assert all(word in wide for word in news.words)
    [row] = table(wide)
    assert row["PHASE"] == ("Queued" if news.reason == "Queued" else "Pending")
    assert row["REASON"] in news.reason.split("|")

    cell.wait(within=news.limit + 5)
    said_why(cell, *news.words, f"within {news.limit} s ({news.field} of JupyterGateway gw)")
    assert [one["output_type"] for one in cell.outputs] == ["error"], "no waiting text stays"
    hasty.left_but(tab)
    tab.close()
    tab.shutdown()


def test_a_head_that_no_gpu_would_help_does_not_hold_up_the_line(hasty: Place) -> None:
    """Both ask for 77 GPUs, so they are of one class; the first also for a volume."""
    place = hasty
    namespace = place.team.namespace
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(place.server.notebook("no-claim"))
        first.start("1")
        place.pods.first(kernel_name(first), is_unschedulable, what="the scheduler's word")
        second = by_hand("second", a_pod({"resources": {"limits": {"nvidia.com/gpu": 77}}}))
        place.team.cluster.apply(namespace, second)
        stack.callback(place.team.cluster.delete, namespace, "jupyterkernels", "second")
        queue = eventually(
            lambda: (
                (place.team.cluster.get(namespace, "jupyterkernels", "second") or {})
                .get("status", {})
                .get("queue", {})
            ),
            lambda queue: queue.get("reason"),
            within=20,
            what="the second's place",
        )
        assert (queue["position"], queue["length"]) == (1, 1)
        assert "Insufficient nvidia.com/gpu" in queue["reason"]


def is_unschedulable(version: Version) -> bool:
    return condition(version, "PodScheduled").get("reason") == "Unschedulable"
