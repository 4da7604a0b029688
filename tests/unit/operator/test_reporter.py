import pytest

from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.errors import Conflict
from elastic_jupyter.kube.kinds import JUPYTER_GATEWAY, Key
from elastic_jupyter.policy.report import Condition, Event
from tests.support.kernels import a_gateway, model
from tests.unit.operator.world import World

KEY = Key("team", "gw")
READY = Condition("Ready", True, "Available")
EVENT = Event("Warning", "ImageReplaced", "another image runs")


async def report(world: World, obj: JupyterGateway, **fields: object) -> None:
    await world.reporter().report(
        JUPYTER_GATEWAY, obj, obj.status, [READY], events=[EVENT], **fields
    )


def gateway(world: World) -> JupyterGateway:
    return model(JupyterGateway, world.server.get(JUPYTER_GATEWAY, KEY))


async def test_a_status_is_written_once_and_then_its_event(world: World) -> None:
    world.server.put(JUPYTER_GATEWAY, a_gateway(status={"readyReplicas": 1, "replicas": 1}))
    for _ in range(2):
        await report(world, gateway(world), readyReplicas=None, updatedReplicas=1)
    status = world.server.get(JUPYTER_GATEWAY, KEY)["status"]
    stamp = "2026-11-24T18:00:00Z"
    assert status == {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Available",
                "message": "",
                "observedGeneration": 1,
                "lastUpdateTime": stamp,
                "lastTransitionTime": stamp,
            }
        ],
    }
    assert world.events() == [("Warning", "ImageReplaced")]
    assert world.server.writes == 2


async def test_an_old_copy_is_a_conflict_and_tells_nothing(world: World) -> None:
    world.server.put(JUPYTER_GATEWAY, a_gateway())
    old = gateway(world)
    world.server.put(JUPYTER_GATEWAY, a_gateway(logLevel="DEBUG"))
    with pytest.raises(Conflict):
        await report(world, old)
    assert world.events() == []


async def test_an_object_that_is_gone_needs_no_status_and_no_event(world: World) -> None:
    world.server.put(JUPYTER_GATEWAY, a_gateway())
    old = gateway(world)
    world.server.remove(JUPYTER_GATEWAY, KEY)
    await report(world, old)
    assert world.events() == []
