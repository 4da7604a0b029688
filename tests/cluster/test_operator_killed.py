"""The operator is killed while kernels come and go; whoever restarts continues from the objects."""

import collections
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.rollout import operator_pod
from tests.support.team import CHILDREN, Team, kernel_name, kill

pytestmark = pytest.mark.alone

HALF = 10


def open_many(server: NotebookServer, count: int) -> list[Tab]:
    """Open so many notebooks at once, as a class that begins its lesson."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: server.open(), range(count)))


def owners(team: Team) -> dict[str, collections.Counter[str]]:
    """How many objects of each kind there are for each kernel id."""
    counted = {}
    for plural in CHILDREN:
        items = team.cluster.list(team.namespace, plural, gateway="gw")
        label = "kubeflow.tkestack.io/kernel-id"
        counted[plural] = collections.Counter(
            item["metadata"]["labels"][label]
            for item in items
            if label in item["metadata"]["labels"]
        )
    return counted


def test_everything_converges_after_the_operator_is_killed_among_twenty_kernels(
    team: Team,
) -> None:
    cluster, server = team.cluster, team.server
    leaving = open_many(server, HALF)
    for tab in leaving:
        assert tab.run("1", within=150).result == "1"
        tab.close()
    operator = operator_pod(cluster)

    # Half come and half go while there is no operator, or just before.
    with ThreadPoolExecutor(2 * HALF + 1) as pool:
        coming = [pool.submit(server.open) for _ in range(HALF)]
        killed = pool.submit(kill, cluster, operator, helper_namespace=team.namespace)
        going = [pool.submit(tab.shutdown) for tab in leaving]
        killed.result()
        staying = [each.result() for each in coming]
        for each in going:
            each.result()

    for tab in staying:
        assert tab.run("6 * 7", within=90).result == "42"
    want = collections.Counter(tab.kernel_id for tab in staying)
    eventually(
        lambda: owners(team),
        lambda seen: all(seen[plural] == want for plural in CHILDREN),
        within=30,
        what="one pod, Secret and object for each kernel that stays, none for the others",
    )
    left: list[Any] = [team.left_of(tab) for tab in leaving]
    assert left == [[]] * HALF
    for tab in staying:
        status = team.runs(tab)["status"]
        assert (status["epoch"], status["podName"]) == (1, kernel_name(tab))

    for tab in staying:
        tab.close()
        tab.shutdown()
    eventually(
        lambda: owners(team),
        lambda seen: not any(seen.values()),
        within=30,
        what="nothing left of twenty kernels",
    )
