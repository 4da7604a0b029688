"""A gateway that goes while a cell prints: in good order, and killed."""

import pytest
from tests.scenarios.gateway_gone import (
    GatewayGone,
    Printer,
    a_killed_gateway_leaves_kernel_and_variables_and_the_cell_ends,
)
from tests.support.eventually import eventually
from tests.support.team import GATEWAY, Team

pytestmark = pytest.mark.measures


@pytest.mark.parametrize("how", ["rolled out", "deleted"])
def test_no_line_is_lost_or_doubled_when_the_gateway_goes_in_good_order(
    team: Team, how: str
) -> None:
    old = team.gateway_pod()["metadata"]["name"]
    with team.server.notebook() as tab:
        tab.run("1", within=60)
        printer = Printer(team, tab)
        if how == "rolled out":
            team.cluster.kubectl("rollout", "restart", "-n", team.namespace, f"deploy/{GATEWAY}")
        else:
            team.cluster.delete(team.namespace, "pods", old)
        eventually(
            lambda: team.cluster.names(
                team.namespace, "pods", name="jupyter-gateway", instance=GATEWAY
            ),
            lambda names: len(names) == 1 and old not in names,
            within=90,
            what="a new gateway pod and the end of the old one",
        )
        team.gateway_pod()
        assert not printer.cell.ended, tab.transcript()
        printer.more(20)
        printer.stop()
        printer.cell.wait(within=10)

        assert printer.cell.reply["status"] == "ok"
        assert printer.seen == [f"line {n}" for n in range(int(printer.cell.result or 0))]
        assert tab.open
        assert not {"restarting", "dead"} & set(tab.statuses())


def test_a_deleted_gateway_leaves_kernel_and_variables_and_the_cell_ends(team: Team) -> None:
    def force_delete() -> None:
        pod = team.gateway_pod()
        team.cluster.delete(team.namespace, "pods", pod["metadata"]["name"], grace=0)
        team.gateway_after(pod)

    a_killed_gateway_leaves_kernel_and_variables_and_the_cell_ends(team, force_delete)


class TestGatewayGone(GatewayGone):
    """As on every engine."""

    @pytest.fixture(autouse=True)
    def never_killed(self, team: Team) -> None:
        """Have a gateway that was not killed before: the kubelet delays each further start."""
        if team.gateway_pod()["status"]["containerStatuses"][0]["restartCount"]:
            team.restart_gateway()
