import contextlib
from dataclasses import dataclass, field

from elastic_jupyter.api import names
from elastic_jupyter.errors import StoreError
from elastic_jupyter.kube.kinds import POD, Key, Object, key_of
from elastic_jupyter.operator.claims import claim_of
from elastic_jupyter.operator.queue import QueueReconciler
from elastic_jupyter.policy.queue import ClassKey, Place
from elastic_jupyter.runtime.controller import DONE, Result
from tests.support.kernels import a_kernel, a_pod_of, pod_condition
from tests.unit.operator.world import World

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
JUDGED = [pod_condition("PodScheduled", "False", "Unschedulable", NO_GPU)]


def a_waiting_pod(name: str, *, minute: int, gpus: int = 1, **pod: object) -> Object:
    """Return a gated pod that was asked for in this minute after 17:00."""
    asked = {names.ANNOTATION_ASKED_AT: f"2026-11-24T17:{minute:02}:00Z"}
    return a_pod_of(a_kernel(name, gpus=gpus, annotations=asked, pod=dict(pod)), gated=True)


def class_of(pod: Object) -> ClassKey:
    claim = claim_of(pod)
    assert claim is not None
    return claim.wanted


ONE_GPU = class_of(a_waiting_pod("x", minute=0))


@dataclass
class Line:
    """The queue of one process. ``told`` holds the places that kernels were woken for."""

    world: World
    told: dict[str, Place | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue = QueueReconciler(
            client=self.world.client,
            pods=self.world.cache(POD),
            wake_kernel=self._wake,
            clock=self.world.clock,
        )
        for key, pod in self.world.cache(POD).items():
            self.queue.pod_changed(key, pod)
        self.world.reflectors[POD].on_change(lambda key, old, new: self._changed(key, new))

    def _changed(self, key: Key, pod: Object | None) -> None:
        self.queue.pod_changed(key, pod)

    def _wake(self, key: Key) -> None:
        self.told[key.name] = self.queue.place_of(key)

    async def look(self, wanted: ClassKey = ONE_GPU) -> Result:
        await self.world.settle()
        result = await self.queue.reconcile(wanted)
        await self.world.settle()
        return result

    def take_told(self) -> dict[str, Place | None]:
        told, self.told = self.told, {}
        return told


def admitted(world: World) -> list[str]:
    return [
        key.name
        for key, pod in sorted(world.server.all(POD).items())
        if names.GATE_QUEUE not in str(pod["spec"].get("schedulingGates"))
    ]


def put(world: World, *pods: Object) -> None:
    for pod in pods:
        world.server.put(POD, pod)


def change(world: World, name: str, *, spec: Object | None = None, **status: object) -> None:
    pod = world.server.get(POD, Key("team", name))
    put(world, {**pod, "spec": {**pod["spec"], **(spec or {})}, "status": status})


def three_pods(world: World) -> None:
    put(world, *(a_waiting_pod(name, minute=at) for name, at in (("b", 2), ("a", 3), ("c", 1))))


async def test_who_asked_first_goes_to_the_scheduler_and_the_others_wait(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    assert admitted(world) == ["c"]
    writes = world.server.writes
    await line.look()
    assert (admitted(world), world.server.writes) == (["c"], writes)


async def test_places_are_told_once_the_scheduler_had_its_time(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    assert await line.look() == Result(0.5)
    world.clock.passed = 0.4
    assert (await line.look()).requeue_after is not None
    assert line.take_told() == {}
    world.clock.passed = 0.5
    assert await line.look() == DONE
    assert line.take_told() == {"c": Place(1, 3, ""), "b": Place(2, 3, ""), "a": Place(3, 3, "")}
    assert await line.look() == DONE
    assert line.take_told() == {}


async def test_the_schedulers_word_on_the_first_is_told_to_all_at_once(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    change(world, "c", conditions=JUDGED)
    assert await line.look() == DONE
    assert line.take_told() == {
        name: Place(place, 3, NO_GPU) for place, name in enumerate("cba", start=1)
    }


async def test_the_next_goes_when_the_first_has_a_node(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    change(world, "c", conditions=JUDGED)
    await line.look()
    line.take_told()
    change(world, "c", spec={"nodeName": "n1"})
    await line.look()
    assert admitted(world) == ["b", "c"]
    assert line.queue.place_of(Key("team", "c")) is None
    change(world, "b", conditions=JUDGED)
    await line.look()
    assert line.take_told() == {"b": Place(1, 2, NO_GPU), "a": Place(2, 2, NO_GPU)}


async def test_who_waits_for_something_else_is_in_nobodys_way(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    no_memory = "0/3 nodes are available: 3 Insufficient memory."
    change(world, "c", conditions=[{**JUDGED[0], "message": no_memory}])
    await line.look()
    assert admitted(world) == ["b", "c"]
    change(world, "b", conditions=JUDGED)
    await line.look()
    assert line.take_told() == {"b": Place(1, 2, NO_GPU), "a": Place(2, 2, NO_GPU)}
    change(world, "c", conditions=JUDGED)  # the memory is there, and no GPU any more
    await line.look()
    assert [line.queue.place_of(Key("team", name)) for name in "cba"] == [
        Place(place, 3, NO_GPU) for place in (1, 2, 3)
    ]


async def test_who_leaves_makes_room(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    world.server.remove(POD, Key("team", "c"))
    await line.look()
    assert admitted(world) == ["b"]


async def test_who_waits_for_something_else_waits_apart(world: World) -> None:
    line = Line(world)
    big, small = a_waiting_pod("big", minute=1, gpus=8), a_waiting_pod("small", minute=2)
    put(world, big, small)
    await line.look(class_of(big))
    await line.look(class_of(small))
    assert admitted(world) == ["big", "small"]
    assert await line.look(class_of(a_waiting_pod("x", minute=0, gpus=4))) == DONE


async def test_only_our_gate_is_lifted(world: World) -> None:
    line = Line(world)
    theirs = {"name": "theirs"}
    put(world, a_waiting_pod("a", minute=1, schedulingGates=[theirs]))
    await line.look()
    assert world.server.get(POD, Key("team", "a"))["spec"]["schedulingGates"] == [theirs]


async def test_a_pod_that_somebody_changed_meanwhile_is_looked_at_again(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await world.settle()
    change(world, "c", reason="changed")
    result = await line.queue.reconcile(ONE_GPU)
    assert result.requeue_after is not None
    assert result.requeue_after < 0.5
    assert admitted(world) == []
    world.server.remove(POD, Key("team", "c"))
    await line.queue.reconcile(ONE_GPU)
    await line.look()
    assert admitted(world) == ["b"]


async def test_after_a_crash_there_is_still_one_with_the_scheduler(world: World) -> None:
    three_pods(world)
    await world.settle()
    world.server.lose_answer(1)
    with contextlib.suppress(StoreError):
        await Line(world).look()
    await Line(world).look()
    assert admitted(world) == ["c"]


async def test_a_change_names_the_classes_that_it_touches(world: World) -> None:
    queue = Line(world).queue
    one, two = a_waiting_pod("a", minute=1), a_waiting_pod("a", minute=1, gpus=2)
    key = key_of(one)
    assert queue.pod_changed(key, one) == [ONE_GPU]
    assert queue.pod_changed(key, one) == []
    assert set(queue.pod_changed(key, two)) == {ONE_GPU, class_of(two)}
    assert queue.pod_changed(key, None) == [class_of(two)]
    assert queue.pod_changed(key, None) == []
