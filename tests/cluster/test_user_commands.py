"""Interrupt, restart, shut down, and the deletion of whole notebooks and gateways."""

from collections.abc import Callable

from tests.scenarios.running import Running
from tests.support import manifests
from tests.support.eventually import eventually
from tests.support.team import Team, served

PARTS = ("deployments", "services", "secrets", "serviceaccounts", "roles", "rolebindings",
         "leases", "pods", "jupyterkernels")  # fmt: skip


def everything(team: Team, start: str = "") -> list[str]:
    """What the namespace holds whose name starts so, as ``plural/name``."""
    return sorted(
        f"{plural}/{name}"
        for plural in PARTS
        for name in team.cluster.names(team.namespace, plural)
        if name.startswith(start) and (plural, name) != ("serviceaccounts", "default")
    )


class TestRunning(Running):
    """As on every engine."""


def test_shutdown_removes_pod_secret_and_object(team: Team) -> None:
    tab = team.server.open()
    tab.run("1", within=60)
    name = f"jovyan-{tab.kernel_id}"
    assert team.left_of(tab) == [
        f"pods/{name}", f"secrets/{name}-connection", f"jupyterkernels/{name}",
    ]  # fmt: skip
    tab.close()
    tab.shutdown()
    team.reclaimed(tab, within=30)
    assert tab.kernel_id not in team.server.kernel_ids()


def test_a_deleted_notebook_takes_its_kernels_along_and_no_others(team: Team) -> None:
    team.cluster.apply(team.namespace, manifests.notebook("other", namespace=team.namespace))
    with team.server.notebook() as ours:
        ours.run("x = 1", within=60)
        with served(team.cluster, team.namespace, "other") as server:
            theirs = server.open()
            theirs.run("1", within=60)
            assert theirs.kernel_id not in team.server.kernel_ids(), "a notebook sees its own"
            assert ours.kernel_id not in server.kernel_ids()
            theirs.close()
            team.cluster.kubectl(
                "delete", "jupyternotebook", "other", "-n", team.namespace, "--wait=false"
            )
            team.reclaimed(theirs, within=30)
        eventually(
            lambda: everything(team, "other"),
            lambda left: not left,
            within=45,
            what="nothing left of the notebook",
        )
        assert ours.run("x").result == "1"


def test_a_deleted_gateway_takes_all_that_is_its_own_along(new_team: Callable[..., Team]) -> None:
    team = new_team(cullIdleTimeout=3600)
    tab = team.server.open()
    tab.run("1", within=60)
    team.cluster.kubectl("delete", "jupytergateway", "gw", "-n", team.namespace, "--wait=false")
    eventually(
        lambda: [*everything(team, "gw"), *everything(team, "jovyan-")],
        lambda left: not left,
        # A pod's IP is in use until its 60 s of grace end; the gateway needs few of them.
        within=75,
        what="nothing left of the gateway",
    )
    tab.close()
    team.cluster.kubectl("delete", "jupyternotebook", "nb", "-n", team.namespace, "--wait=false")
    eventually(
        lambda: everything(team),
        lambda left: not left,
        within=45,
        what="an empty namespace",
    )
