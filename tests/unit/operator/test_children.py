import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.errors import AlreadyExists, Invalid, Unavailable
from elastic_jupyter.kube.kinds import ROLE_BINDING, SECRET, SERVICE, Key, Object
from elastic_jupyter.operator.children import covers
from tests.unit.operator.world import World

KEY = Key("team", "child")
LABELS = {"app.kubernetes.io/managed-by": "elastic-jupyter"}


def a_child(owner: str = "uid-1", **parts: object) -> Object:
    reference = {"kind": "JupyterGateway", "name": "gw", "uid": owner, "controller": True}
    metadata = {
        "name": KEY.name,
        "namespace": KEY.namespace,
        "labels": dict(LABELS),
        "ownerReferences": [{"apiVersion": "kubeflow.tkestack.io/v1alpha1", **reference}],
    }
    return {"metadata": metadata, **parts}


def foreign() -> Object:
    """Return an object that a person made; it has no label of ours, so no cache holds it."""
    return {"metadata": {"name": KEY.name, "namespace": KEY.namespace}, "data": {"theirs": "eA=="}}


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


def with_additions(value: Any) -> Any:
    """Return ``value`` with a default of the API server in each of its objects."""
    if isinstance(value, dict):
        return {**{key: with_additions(inner) for key, inner in value.items()}, "default": 1}
    if isinstance(value, list):
        return [with_additions(inner) for inner in value]
    return value


@given(objects)
def test_an_object_covers_itself_also_with_additions(value: Any) -> None:
    assert covers(value, value)
    assert covers(with_additions(value), value)


@pytest.mark.parametrize(
    ("live", "desired", "want"),
    [
        pytest.param({"a": 2}, {"a": 1}, False, id="another value"),
        pytest.param({}, {"a": 1}, False, id="a value is missing"),
        pytest.param({"a": [1, 2]}, {"a": [1]}, False, id="a list is longer"),
        pytest.param({"a": [2, 1]}, {"a": [1, 2]}, False, id="a list is in another order"),
        pytest.param({"a": [1]}, {"a": []}, False, id="a list should be empty"),
        pytest.param({"a": 1}, {"a": {}}, False, id="a value where an object should be"),
        pytest.param({}, {"a": False}, False, id="a false is missing"),
        pytest.param({}, {"a": {}}, False, id="an empty object is missing"),
    ],
)
def test_what_covers_what(live: object, desired: object, want: bool) -> None:
    assert covers(live, desired) is want


async def test_a_child_is_made_kept_and_repaired(world: World) -> None:
    children, server = world.children(), world.server
    desired = a_child(spec={"ports": [{"port": 80}], "type": "ClusterIP"})
    drifts: list[Object | None] = [None, {"ports": []}, {"type": None}]
    for drifted in drifts:
        if drifted:
            server.put(SERVICE, {**server.get(SERVICE, KEY), "spec": drifted})
        await world.settle()
        made = await children.apply(SERVICE, desired)
        assert made["spec"] == server.get(SERVICE, KEY)["spec"] == desired["spec"]
    await world.settle()
    writes = server.writes
    await children.apply(SERVICE, desired)
    assert server.writes == writes == 3


async def test_what_others_add_stays(world: World) -> None:
    children, server = world.children(), world.server
    await children.apply(SERVICE, a_child(spec={"type": "ClusterIP"}))
    added = server.get(SERVICE, KEY)
    added["metadata"]["annotations"] = {"restarted-at": "now"}
    server.put(SERVICE, added)
    await world.settle()
    await children.apply(SERVICE, a_child(spec={"type": "NodePort"}))
    made = server.get(SERVICE, KEY)
    assert made["metadata"]["annotations"].items() >= {"restarted-at": "now"}.items()
    assert made["spec"] == {"type": "NodePort"}


@pytest.mark.parametrize("operator", ["runs on", "was down"])
async def test_what_a_child_was_asked_for_before_goes(world: World, operator: str) -> None:
    children = world.children()
    for spec in ({"type": "NodePort", "ports": []}, {"type": "NodePort"}):
        await world.settle()
        await children.apply(SERVICE, a_child(spec=spec))
        if operator == "was down":
            children = world.children()
    assert world.server.get(SERVICE, KEY)["spec"] == {"type": "NodePort"}


@pytest.mark.parametrize("operator", ["runs on", "was down"])
async def test_a_false_that_somebody_took_out_is_said_again(world: World, operator: str) -> None:
    children, server = world.children(), world.server
    desired = a_child(spec={"automountServiceAccountToken": False})
    await children.apply(SERVICE, desired)
    server.put(SERVICE, {**server.get(SERVICE, KEY), "spec": {}})
    await world.settle()
    await (children if operator == "runs on" else world.children()).apply(SERVICE, desired)
    assert server.get(SERVICE, KEY)["spec"] == desired["spec"]


async def test_an_operator_that_starts_again_writes_nothing(world: World) -> None:
    desired = a_child(spec={"ports": [{"port": 80}], "type": "ClusterIP"})
    world.server.defaulting = lambda obj: obj.get("spec", {}).update(sessionAffinity="None")
    for _ in range(3):
        await world.children().apply(SERVICE, desired)
        await world.settle()
    assert world.server.writes == 1


async def test_what_was_added_is_looked_at_once(world: World) -> None:
    children, server = world.children(), world.server
    for number in (1, 2, 3):
        await children.apply(SERVICE, a_child(spec={"type": "ClusterIP"}))
        scaled = server.get(SERVICE, KEY)
        scaled["spec"]["replicas"] = 0
        server.put(SERVICE, scaled)
        await world.settle()
        assert server.writes == min(number, 2)
    assert server.get(SERVICE, KEY)["spec"]["replicas"] == 0


async def test_a_value_that_the_server_writes_in_another_way_is_sent_once(world: World) -> None:
    def canonical(obj: Object) -> None:
        if "spec" in obj:
            obj["spec"]["cpu"] = obj["spec"]["cpu"].replace("000m", "")

    children, server = world.children(), world.server
    server.defaulting = canonical
    for cpu, want in (("1000m", 1), ("1000m", 1), ("2000m", 2), ("2000m", 2)):
        await children.apply(SERVICE, a_child(spec={"cpu": cpu}))
        await world.settle()
        assert server.writes == want
    await world.children().apply(SERVICE, a_child(spec={"cpu": "2000m"}))  # after a restart
    assert server.writes == 3
    assert server.get(SERVICE, KEY)["spec"] == {"cpu": "2"}


async def test_a_child_that_must_not_change_is_made_once(world: World) -> None:
    children, server = world.children(), world.server
    made = await children.make_once(SECRET, a_child(data={"key": "Zmlyc3Q="}))
    # The cache may be behind or not.
    again = await children.make_once(SECRET, a_child(data={"key": "c2Vjb25k"}))
    await world.settle()
    cached = await children.make_once(SECRET, a_child(data={"key": "dGhpcmQ="}))
    for one in (made, again, cached, server.get(SECRET, KEY)):
        assert one["data"] == {"key": "Zmlyc3Q="}


@pytest.mark.parametrize(
    ("lost", "left"),
    [
        pytest.param({"labels": {}}, "the owner", id="all labels"),
        pytest.param({"labels": {"a": "b"}}, "the owner", id="our labels"),
        pytest.param({"ownerReferences": []}, "the labels", id="the owner"),
        pytest.param({"labels": {}, "ownerReferences": []}, None, id="both"),
    ],
)
async def test_a_child_that_is_made_once_is_known_again_by_what_is_left(
    world: World, lost: Object, left: str | None
) -> None:
    server, mine = world.server, a_child(data={"key": "Zmlyc3Q="})
    made = server.put(SECRET, mine)
    server.put(SECRET, {**made, "metadata": {**made["metadata"], **lost}})
    await world.settle()
    another = a_child(data={"key": "c2Vjb25k"})
    if left is None:
        with pytest.raises(AlreadyExists, match="belongs to nobody"):
            await world.children().make_once(SECRET, another)
        return
    await world.children().make_once(SECRET, another)
    await world.settle()
    now = world.cache(SECRET)[KEY]
    assert now["data"] == {"key": "Zmlyc3Q="}
    assert now["metadata"]["labels"] == {**LABELS, **lost.get("labels", {})}
    assert now["metadata"]["ownerReferences"] == made["metadata"]["ownerReferences"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("answer", "want"),
    [
        pytest.param(400, Invalid, id="a child that is refused is not an outage"),
        pytest.param(503, Unavailable, id="an outage is one"),
        pytest.param(None, Unavailable, id="a fault that a create does not have is one"),
    ],
)
async def test_an_apply_that_fails_tells_what_is_wrong_with_the_child(
    world: World, answer: int | None, want: type[Exception], there: bool
) -> None:
    if there:
        world.server.put(SERVICE, a_child())
        await world.settle()
    world.server.fail(500, verb="patch", message="field not declared in schema")
    if answer is not None:
        world.server.fail(answer, verb="post", message='unknown field "spec.ports[0].prot"')
    with pytest.raises(want):
        await world.children().apply(SERVICE, a_child(spec={"ports": [{"prot": 1}]}))
    assert world.server.writes == 1


async def test_an_entry_that_comes_twice_is_told_as_invalid(world: World) -> None:
    said = "failed to create typed patch object (team/child): .spec.ports: duplicate entries"
    world.server.fail(500, verb="patch", message=said)
    with pytest.raises(Invalid, match="duplicate entries"):
        await world.children().apply(SERVICE, a_child(spec={"ports": [{"port": 1}] * 2}))


@pytest.mark.parametrize("verb", ["apply", "make_once"])
@pytest.mark.parametrize(
    ("theirs", "whose"),
    [
        pytest.param(foreign(), "nobody", id="made by hand"),
        pytest.param(a_child("uid-2"), "JupyterGateway gw", id="of an earlier owner of that name"),
    ],
)
async def test_a_child_is_never_taken_from_another_owner(
    world: World, verb: str, theirs: Object, whose: str
) -> None:
    before = world.server.put(SECRET, copy.deepcopy(theirs))
    await world.settle()
    with pytest.raises(AlreadyExists, match=f"Secret team/child exists already .* {whose}; delete"):
        await getattr(world.children(), verb)(SECRET, a_child(data={"ours": "eA=="}))
    assert world.server.get(SECRET, KEY) == before


async def test_only_ones_own_child_is_removed(world: World) -> None:
    world.server.put(ROLE_BINDING, a_child())
    await world.settle()
    await world.children().remove(ROLE_BINDING, KEY, owner_uid="uid-2")
    assert KEY in world.server.all(ROLE_BINDING)
    await world.children().remove(ROLE_BINDING, KEY, owner_uid="uid-1")
    await world.children().remove(ROLE_BINDING, KEY, owner_uid="uid-1")  # the cache is behind
    assert not world.server.all(ROLE_BINDING)
