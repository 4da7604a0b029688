"""Fixtures of the cluster tests. A failed test prints what its namespaces hold and say.

``make test`` runs the files side by side. What measures seconds is marked ``measures`` and runs
after them, with one other beside it. A test or a file that bears no other is marked ``alone`` and
comes last: one that kills the operator or sets it up anew, or changes what all share. Who uses the
few GPUs has the fixture ``gpus``, who uses the namespace ``default`` has ``default_namespace``:
they wait for each other. Of two such files that take minutes one is marked ``long``, so that it
begins first and the other comes when it is done.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.cluster import Cluster, describe
from tests.support.eventually import eventually
from tests.support.one_at_a_time import one_at_a_time
from tests.support.rollout import SYSTEM
from tests.support.team import EXAMPLES, ORIGINAL, Team, a_team, sweep

CLUSTER = pytest.StashKey[Cluster]()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster that KUBECONFIG names; ``make cluster`` makes one."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("no cluster: KUBECONFIG is not set (make cluster)")
    with Cluster() as cluster:
        request.config.stash[CLUSTER] = cluster
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def own_namespaces(cluster: Cluster) -> None:
    """Leave the namespaces of other modules out of the report of a failure."""
    cluster.namespaces.clear()


@pytest.fixture(scope="module")
def new_team(cluster: Cluster) -> Iterator[Callable[..., Team]]:
    """Make teams that live as long as the module (see ``a_team``)."""
    with contextlib.ExitStack() as stack:

        def make(*objects: dict[str, Any], **gateway: Any) -> Team:
            return stack.enter_context(a_team(cluster, *objects, **gateway))

        yield make


@pytest.fixture(scope="module")
def team(new_team: Callable[..., Team]) -> Team:
    """A gateway that reclaims nothing while the module runs, and its notebook server."""
    return new_team(cullIdleTimeout=3600)


@pytest.fixture(scope="module")
def patient(team: Team) -> Team:
    """The same, as the scenarios of all engines call it."""
    return team


@pytest.fixture(scope="module")
def gpus() -> Iterator[None]:
    """Keep others from using the GPUs as long as the module runs."""
    with one_at_a_time(EXAMPLES / "gpu"):
        yield


@pytest.fixture
def default_namespace(cluster: Cluster) -> Iterator[str]:
    """The namespace that the examples name, emptied of what they put there."""
    with one_at_a_time(EXAMPLES / "elastic"):
        yield "default"
        empty_default(cluster)


def empty_default(cluster: Cluster) -> None:
    """Delete what the examples put there, and wait until all that came of it is gone.

    A Secret that is left is in the way of the next one of its name, for 10 s.
    """
    for folder in ("elastic", "gpu"):
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", EXAMPLES / folder)
    cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-R", "-f", ORIGINAL)
    sweep(cluster, "default", ("jupyterkernels",))
    for plural in ("pods", "deployments", "services", "serviceaccounts", "secrets", "leases"):
        eventually(
            lambda plural=plural: {
                name
                for name in cluster.names("default", plural)
                if any(word in name for word in ("elastic", "sample", "simple"))
            },
            lambda left: not left,
            within=60,
            what=f"the end of the examples' {plural}",
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Add objects, events and logs to the report of what failed."""
    report = yield
    cluster = item.config.stash.get(CLUSTER, None)
    if report.failed and cluster is not None:
        with contextlib.suppress(OSError):  # a failed teardown may have closed the proxy
            report.sections += _everything(cluster, item)
    return report


def _everything(cluster: Cluster, item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Yield title and text for each namespace of the test and of its module."""
    operator = [(SYSTEM, name) for name in cluster.names(SYSTEM, "pods")]
    own = cluster.namespaces | ({"default"} if "default_namespace" in item.fixturenames else set())
    for namespace in sorted(own & cluster.names(None, "namespaces")):
        yield f"namespace {namespace}", describe(cluster, namespace, operator)
