"""Ends that Kubernetes takes minutes for. They wait more than they compute, so they bear company.

A kernel that waits for its image, and a kernel spec that a quota has refused, do so while the
others of this file are tested.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from tests.cluster.test_bad_news import (
    CANNOT_GO_ON,
    COUNT,
    WhileRunning,
    a_place,
    a_pod,
    by_hand,
    condition,
    confine,
    has_ended,
    lags,
    offers,
    said_why,
    set_quota,
)
from tests.cluster.test_resources import table
from tests.support import ghost
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer
from tests.support.team import Team, a_namespace, foreign_image, kernel_name

pytestmark = pytest.mark.long

#: Seconds, beside other tests.
TOLD_WITHIN = 5.0
STALLED = "by-hand-no-image"


@pytest.fixture(scope="module", autouse=True)
def stalled(cluster: Cluster, own_namespaces: None) -> Iterator[str]:
    """The namespace of a kernel whose image is not there; made before the first test."""
    [news] = [one for one in CANNOT_GO_ON if one.name == "no-image"]
    with a_namespace(cluster) as namespace:
        confine(cluster, namespace)
        cluster.apply(namespace, by_hand(STALLED, news.pod))
        yield namespace


@pytest.fixture(scope="module", autouse=True)
def refused(cluster: Cluster, own_namespaces: None) -> Iterator[tuple[str, float]]:
    """The namespace of a kernel spec that a quota refused, and since when it would not any more."""
    quota = next(one for one in CANNOT_GO_ON if one.name == "quota")
    with a_namespace(cluster) as namespace:
        team = Team(cluster, namespace, NotebookServer("http://nobody.invalid"))
        set_quota(team, 0)
        cluster.apply(namespace, *offers(quota, kernel_image=""))
        eventually(
            lambda: readiness(cluster, namespace),
            lambda seen: seen == ("False", "QuotaExceeded"),
            within=10,
            what="no",
        )
        set_quota(team, 1)
        yield namespace, time.time()


def readiness(cluster: Cluster, namespace: str) -> tuple[str, str]:
    """Return what the table says of the only kernel spec of a namespace."""
    [row] = table(cluster.kubectl("get", "jks", "-n", namespace))
    return row["READY"], row["REASON"]


def test_a_lost_node_is_told_and_then_given_up(
    cluster: Cluster, new_team: Callable[..., Team]
) -> None:
    image = foreign_image(cluster, "plain-kernel")
    gone = WhileRunning("ghost", "NodeLost", (), pod=a_pod({"image": image}, **ghost.FOR_ITS_POD))
    team = new_team(*offers(gone, kernel_image=image))
    node = f"{team.namespace}-ghost"
    with ghost.ghost_node(cluster, node), a_place(team, team.server) as place:
        tab = place.server.open("ghost")
        name = kernel_name(tab)
        cell = tab.start(COUNT)
        ghost.run_there(cluster, team.namespace, name, image=image)
        cell.until(lambda cell: cell.stdout == "on\n", within=20, what="the cell's first line")

        # Kubernetes loses the node; the cell runs on, and says what is known.
        unready = place.pods.first(
            name,
            lambda one: condition(one, "Ready").get("status") == "False",
            what="the loss of the node",
            within=90,
        )
        cell.until(lambda cell: node in cell.text, within=5, what="the loss in the cell")
        told_at = next(at for at, one in cell.timed("stream") if node in one["content"]["text"])
        told = place.kernels.first(
            name, lambda one: condition(one, "Running").get("reason") == "NodeLost", what="the loss"
        )
        lags("node lost", unready.at, within=TOLD_WITHIN, cell=told_at, condition=told.at)
        assert not cell.ended
        assert condition(told, "Running")["status"] == "True"
        eventually(
            lambda: {reason for reason, _ in place.events_of(name)},
            lambda reasons: "NodeLost" in reasons,
            within=TOLD_WITHIN,
            what="the Event",
        )

        # Kubernetes gives the pod up, which nobody on the node can end.
        given_up = place.pods.first(
            name,
            lambda one: one.object["metadata"].get("deletionTimestamp"),
            what="the eviction",
            within=30,
        )
        cell.wait(within=10)
        said_why(cell, "DeletionByTaintManager")
        failed = place.kernels.first(name, lambda one: condition(one, "Failed"), what="the end")
        assert cell.idle_at is not None
        lags("given up", given_up.at, within=TOLD_WITHIN, cell=cell.idle_at, condition=failed.at)
        place.left_but(tab, "jupyterkernels")
        rows = table(cluster.kubectl("get", "jk", name, "-n", team.namespace))
        assert [(r["PHASE"], r["REASON"]) for r in rows] == [("Failed", "DeletionByTaintManager")]
        tab.close()
        tab.shutdown()


def test_a_deleted_node_ends_its_kernels(cluster: Cluster, new_team: Callable[..., Team]) -> None:
    image = foreign_image(cluster, "plain-kernel")
    gone = WhileRunning("ghost", "", (), pod=a_pod({"image": image}, **ghost.FOR_ITS_POD))
    team = new_team(*offers(gone, kernel_image=image))
    node = f"{team.namespace}-ghost"
    with ghost.ghost_node(cluster, node), a_place(team, team.server) as place:
        tab = place.server.open("ghost")
        name = kernel_name(tab)
        cell = tab.start(COUNT)
        ghost.run_there(cluster, team.namespace, name, image=image)
        cell.until(lambda cell: cell.stdout == "on\n", within=20, what="the cell's first line")

        cluster.delete(None, "nodes", node)
        known = place.pods.first(name, has_ended, what="the end of the pod", within=120)
        cell.wait(within=10)
        said_why(cell, "DeletionByPodGC", "node no longer exists")
        failed = place.kernels.first(name, lambda one: condition(one, "Failed"), what="the end")
        assert cell.idle_at is not None
        lags("node deleted", known.at, within=TOLD_WITHIN, cell=cell.idle_at, condition=failed.at)
        place.left_but(tab, "jupyterkernels")
        tab.close()
        tab.shutdown()


def test_a_kernel_spec_that_a_quota_refuses_is_looked_at_again(
    cluster: Cluster, refused: tuple[str, float]
) -> None:
    namespace, allowed_at = refused
    eventually(
        lambda: readiness(cluster, namespace),
        lambda seen: seen == ("True", "Accepted"),
        within=40,
        what="yes",
    )
    [name] = cluster.names(namespace, "jupyterkernelspecs")
    spec = cluster.get(namespace, "jupyterkernelspecs", name) or {}
    [ready] = [one for one in spec["status"]["conditions"] if one["type"] == "Ready"]
    seen_at = datetime.fromisoformat(ready["lastTransitionTime"]).timestamp()
    assert seen_at - allowed_at < 40, "not at a second look minutes later"


def test_an_image_that_is_not_there_is_given_up_after_two_minutes(
    cluster: Cluster, stalled: str
) -> None:
    """Nobody's gateway made this kernel, so nobody deletes it: it holds nothing then."""
    begun = time.monotonic()
    given_up = eventually(
        lambda: cluster.get(stalled, "jupyterkernels", STALLED) or {},
        lambda kernel: (kernel.get("status") or {}).get("phase") == "Failed",
        within=160,
        what="the end of patience with an image",
    )
    print(f"an image that is not there was given up {time.monotonic() - begun:.0f} s later")
    [failed] = [one for one in given_up["status"]["conditions"] if one["type"] == "Failed"]
    assert failed["message"].endswith("(given up after 2 min)")
    eventually(
        lambda: sorted(
            name
            for plural in ("pods", "secrets")
            for name in cluster.names(stalled, plural)
            if name.startswith(STALLED)
        ),
        lambda left: not left,
        within=15,
        what="the end of its pod and Secret",
    )
    cluster.delete(stalled, "jupyterkernels", STALLED)
