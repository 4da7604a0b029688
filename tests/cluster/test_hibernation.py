"""Kernels that sleep in pods: their variables are on the claim that the operator makes."""

from collections.abc import Callable

import pytest
from tests.scenarios.hibernation import Hibernation, LazyStart
from tests.support import manifests
from tests.support.team import Team

pytestmark = pytest.mark.usefixtures("gpus")

GPU = (
    manifests.gpu_template("one-gpu"),
    manifests.kernel_spec("gpu", template="one-gpu", display_name="Python with a GPU"),
)


@pytest.fixture(scope="module")
def sleepy(new_team: Callable[..., Team]) -> Team:
    """A team whose kernels sleep after seconds."""
    return new_team(
        *GPU,
        cullIdleTimeout=5,
        cullInterval=1,
        reclaim={"policy": "Hibernate"},
        snapshot={"size": "2Gi"},
    )


@pytest.fixture(scope="module")
def lazy(new_team: Callable[..., Team]) -> Team:
    """A team whose kernels start with their first cell."""
    return new_team(*GPU, cullIdleTimeout=3600, start="OnFirstExecute")


class TestHibernation(Hibernation):
    """As on every engine."""


class TestLazyStart(LazyStart):
    """As on every engine."""


def test_the_saved_variables_are_on_a_claim_that_goes_with_the_gateway(sleepy: Team) -> None:
    claim = sleepy.cluster.get(sleepy.namespace, "persistentvolumeclaims", "gw-snapshots")
    assert claim is not None
    [owner] = claim["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("JupyterGateway", "gw")
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
