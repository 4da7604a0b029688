"""What is told of a pass that failed for a fault of the operator's own."""

import pytest

from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.errors import Conflict
from elastic_jupyter.kube.kinds import JUPYTER_GATEWAY, JUPYTER_KERNEL, Key, Kind, Object
from elastic_jupyter.operator.safety_net import SafetyNet
from elastic_jupyter.policy.report import Condition
from elastic_jupyter.runtime.controller import DONE, Result
from tests.support.kernels import a_gateway, a_kernel, model
from tests.unit.operator.world import Pass, World

READY: Object = {"type": "Ready", "status": "True", "reason": "Available"}


def broken(world: World, kind: Kind, error: Exception) -> Pass[Key]:
    async def reconcile(key: Key) -> Result:
        raise error

    return SafetyNet(world.client, world.clock).under(kind, world.cache(kind), reconcile)


def conditions(world: World, kind: Kind, key: Key) -> dict[str, str]:
    status = world.server.get(kind, key).get("status") or {}
    return {one["type"]: one["reason"] for one in status.get("conditions") or []}


@pytest.mark.parametrize(
    ("kind", "obj"),
    [(JUPYTER_GATEWAY, a_gateway(status={"conditions": [READY]})), (JUPYTER_KERNEL, a_kernel())],
    ids=["beside what is said already", "without a status"],
)
async def test_an_unexpected_error_is_told_on_the_object_and_raised(
    world: World, kind: Kind, obj: Object
) -> None:
    key = Key("team", obj["metadata"]["name"])
    world.server.put(kind, obj)
    await world.settle()
    before = conditions(world, kind, key)
    with pytest.raises(ValueError, match="4300"):
        await broken(world, kind, ValueError("4300 digits"))(key)
    assert conditions(world, kind, key) == {**before, "Reconciled": "InternalError"}
    said = world.condition(kind, key, "Reconciled")
    assert (said["status"], "ValueError" in said["message"]) == ("False", True)


async def test_what_is_expected_is_left_to_the_reconcilers(world: World) -> None:
    world.server.put(JUPYTER_GATEWAY, a_gateway())
    await world.settle()
    with pytest.raises(Conflict):
        await broken(world, JUPYTER_GATEWAY, Conflict("read again"))(Key("team", "gw"))
    assert conditions(world, JUPYTER_GATEWAY, Key("team", "gw")) == {}


async def test_a_pass_that_reports_and_then_fails_writes_in_no_loop(world: World) -> None:
    """The report takes the condition away, and each write wakes the next pass at once."""
    key = Key("team", "gw")
    world.server.put(JUPYTER_GATEWAY, a_gateway())
    seen = []

    async def reconcile(key: Key) -> Result:
        seen.append(conditions(world, JUPYTER_GATEWAY, key))
        gateway = world.server.get(JUPYTER_GATEWAY, key)
        world.server.put(JUPYTER_GATEWAY, {**gateway, "status": {"conditions": [READY]}})
        await world.settle()
        raise KeyError

    cache = world.cache(JUPYTER_GATEWAY)
    netted = SafetyNet(world.client, world.clock).under(JUPYTER_GATEWAY, cache, reconcile)
    for passed in (0, 1, 59, 60):
        world.clock.passed = passed
        with pytest.raises(KeyError):
            await netted(key)
    told = [*seen[1:], conditions(world, JUPYTER_GATEWAY, key)]
    assert ["Reconciled" in one for one in told] == [True, False, False, True]


async def test_the_next_report_takes_the_condition_away(world: World) -> None:
    world.server.put(JUPYTER_GATEWAY, a_gateway())
    key = Key("team", "gw")
    await world.settle()
    fails = True

    async def reconcile(key: Key) -> Result:
        if fails:
            raise KeyError
        found = model(JupyterGateway, world.cache(JUPYTER_GATEWAY)[key])
        ready = Condition("Ready", True, "Available")
        await world.reporter().report(JUPYTER_GATEWAY, found, found.status, [ready])
        return DONE

    cache = world.cache(JUPYTER_GATEWAY)
    netted = SafetyNet(world.client, world.clock).under(JUPYTER_GATEWAY, cache, reconcile)
    with pytest.raises(KeyError):
        await netted(key)
    assert "Reconciled" in conditions(world, JUPYTER_GATEWAY, key)
    fails = False
    await world.settle()
    assert await netted(key) == DONE
    assert conditions(world, JUPYTER_GATEWAY, key) == {"Ready": "Available"}
