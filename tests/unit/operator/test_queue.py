import contextlib
from dataclasses import dataclass, field

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.errors import StoreError
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, POD, Key, Object, key_of
from elastic_jupyter.operator.claims import claim_of
from elastic_jupyter.operator.queue import QueueReconciler
from elastic_jupyter.policy.queue import ClassKey, Place, Refused
from elastic_jupyter.runtime.controller import DONE, Result
from tests.support.kernels import a_kernel, a_pod_of, pod_condition
from tests.unit.operator.world import World

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
JUDGED = [pod_condition("PodScheduled", "False", "Unschedulable", NO_GPU)]


def a_waiting_kernel(name: str, *, minute: int, gpus: int = 1, **pod: object) -> Object:
    """Return a kernel that was asked for in this minute after 17:00."""
    asked = {names.ANNOTATION_ASKED_AT: f"2026-11-24T17:{minute:02}:00Z"}
    return a_kernel(name, gpus=gpus, annotations=asked, pod=dict(pod))


def class_of(kernel: Object) -> ClassKey:
    claim = claim_of(a_pod_of(kernel, gated=True), kernel)
    assert claim is not None
    return claim.wanted


ONE_GPU = class_of(a_waiting_kernel("x", minute=0))


@dataclass
class Line:
    """The queue of one process. ``told`` holds the places that kernels were woken for."""

    world: World
    told: dict[str, Place | Refused | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue = QueueReconciler(
            client=self.world.client,
            kernels=self.world.cache(JUPYTER_KERNEL),
            pods=self.world.cache(POD),
            wake_kernel=self._wake,
            clock=self.world.clock,
        )
        for key in self.world.cache(POD):
            self.queue.changed(key)
        for kind in (POD, JUPYTER_KERNEL):
            self.world.reflectors[kind].on_change(lambda key, old, new: self._changed(key))

    def _changed(self, key: Key) -> None:
        self.queue.changed(key)

    def _wake(self, key: Key) -> None:
        self.told[key.name] = self.queue.place_of(key)

    async def look(self, wanted: ClassKey = ONE_GPU) -> Result:
        await self.world.settle()
        result = await self.queue.reconcile(wanted)
        await self.world.settle()
        return result

    def take_told(self) -> dict[str, Place | Refused | None]:
        told, self.told = self.told, {}
        return told


def bare(world: World) -> tuple[QueueReconciler, dict[Key, Object], dict[Key, Object]]:
    """Return a queue, and the kernels and pods that it sees."""
    kernels, pods = dict[Key, Object](), dict[Key, Object]()
    queue = QueueReconciler(
        client=world.client,
        kernels=kernels,
        pods=pods,
        wake_kernel=lambda key: None,
        clock=world.clock,
    )
    return queue, kernels, pods


def admitted(world: World) -> list[str]:
    return [
        key.name
        for key, pod in sorted(world.server.all(POD).items())
        if names.GATE_QUEUE not in str(pod["spec"].get("schedulingGates"))
    ]


def put(world: World, *kernels: Object) -> None:
    """Put kernels and their pods, which wait, into the world."""
    for kernel in kernels:
        world.server.put(POD, a_pod_of(world.server.put(JUPYTER_KERNEL, kernel), gated=True))


def change(world: World, name: str, *, spec: Object | None = None, **status: object) -> None:
    pod = world.server.get(POD, Key("team", name))
    world.server.put(POD, {**pod, "spec": {**pod["spec"], **(spec or {})}, "status": status})


def three_pods(world: World) -> None:
    put(world, *(a_waiting_kernel(name, minute=at) for name, at in (("b", 2), ("a", 3), ("c", 1))))


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
    assert await line.look() == Result(9.5)
    assert line.take_told() == {"c": Place(1, 3, ""), "b": Place(2, 3, ""), "a": Place(3, 3, "")}
    assert await line.look() == Result(9.5)
    assert line.take_told() == {}


async def test_who_the_scheduler_says_nothing_of_makes_way(world: World) -> None:
    line = Line(world)
    three_pods(world)
    await line.look()
    world.clock.passed = 9
    await line.look()
    line.take_told()
    # Also for the next process, which knows it from the pod.
    for passed, there in ((9.9, ["c"]), (10, ["b", "c"])):
        world.clock.passed = passed
        await line.look()
        await Line(world).look()
        assert admitted(world) == there
    change(world, "b", conditions=JUDGED)
    assert await line.look() == DONE
    assert line.take_told() == {"c": None, "b": Place(1, 2, NO_GPU), "a": Place(2, 2, NO_GPU)}
    change(world, "c", conditions=JUDGED)
    await line.look()
    assert line.take_told()["c"] == Place(1, 3, NO_GPU)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(403, id="a policy forbids it"),
        pytest.param(400, id="a webhook calls it invalid"),
        pytest.param(500, id="a webhook is down"),
    ],
)
async def test_a_gate_that_cannot_be_lifted_stops_nobody_else(world: World, status: int) -> None:
    line = Line(world)
    three_pods(world)
    world.server.fail(status, verb="patch", path="/pods/c", times=2, message="not today")
    assert await line.look() == Result(0)
    told = line.take_told()
    assert list(told) == ["c"]
    assert isinstance(told["c"], Refused)
    assert told["c"].message.startswith("its turn has come, but its scheduling gate cannot be ")
    assert f"not today ({status})" in told["c"].message
    await line.look()
    assert admitted(world) == ["b"]
    change(world, "b", conditions=JUDGED)
    result = await line.look()
    assert 0.5 <= (result.requeue_after or 0) <= 1
    assert line.take_told() == {"b": Place(1, 2, NO_GPU), "a": Place(2, 2, NO_GPU)}

    world.clock.passed = 1  # its turn comes after the one that is with the scheduler
    await line.look()
    assert line.take_told()["c"] == Place(2, 3, NO_GPU)
    change(world, "b", spec={"nodeName": "n"})
    await line.look()
    assert isinstance(line.take_told()["c"], Refused)
    await line.look()
    assert admitted(world) == ["a", "b"]

    change(world, "a", spec={"nodeName": "n"})
    assert 1 <= ((await line.look()).requeue_after or 0) <= 2
    world.clock.passed = 3
    await line.look()
    assert admitted(world) == ["a", "b", "c"]


async def test_a_gate_that_was_lifted_without_an_answer_is_in_the_line(world: World) -> None:
    line = Line(world)
    three_pods(world)
    world.server.lose_answer(1)
    await line.look()
    assert admitted(world) == ["c"]
    await line.look()
    assert admitted(world) == ["c"]


async def test_a_pod_that_is_no_kernels_neither_blocks_nor_is_admitted(world: World) -> None:
    line = Line(world)
    foreign = a_pod_of(a_waiting_kernel("foreign", minute=0), gated=True)
    foreign["metadata"].pop("ownerReferences")
    world.server.put(POD, foreign)
    three_pods(world)
    await line.look()
    change(world, "c", conditions=JUDGED)
    await line.look()
    assert admitted(world) == ["c"]
    assert line.take_told()["a"] == Place(3, 3, NO_GPU)


async def test_a_pod_that_is_known_before_its_kernel_claims_when_that_is_known(
    world: World,
) -> None:
    queue, kernels, pods = bare(world)
    kernel = a_waiting_kernel("a", minute=1)
    key = key_of(kernel)
    pods[key] = a_pod_of(kernel, gated=True)
    assert queue.changed(key) == []
    kernels[key] = kernel
    assert queue.changed(key) == [ONE_GPU]
    del kernels[key]
    assert queue.changed(key) == [ONE_GPU]


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
    big, small = a_waiting_kernel("big", minute=1, gpus=8), a_waiting_kernel("small", minute=2)
    put(world, big, small)
    await line.look(class_of(big))
    await line.look(class_of(small))
    assert admitted(world) == ["big", "small"]
    assert await line.look(class_of(a_waiting_kernel("x", minute=0, gpus=4))) == DONE


async def test_who_has_the_gate_of_somebody_else_is_in_line_once_it_is_lifted(
    world: World,
) -> None:
    line = Line(world)
    put(world, a_waiting_kernel("held", minute=0, schedulingGates=[{"name": "x/hold"}]))
    three_pods(world)
    await line.look()
    assert admitted(world) == ["c"]
    gates = world.server.get(POD, Key("team", "held"))["spec"]["schedulingGates"]
    assert gates == [{"name": "x/hold"}, {"name": names.GATE_QUEUE}]
    change(world, "held", spec={"schedulingGates": gates[1:]})
    change(world, "c", spec={"nodeName": "n"})
    await line.look()
    assert admitted(world) == ["c", "held"]


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
    one, two = a_waiting_kernel("a", minute=1), a_waiting_kernel("a", minute=1, gpus=2)
    key = key_of(one)
    queue, kernels, pods = bare(world)
    kernels[key] = one
    pods[key] = a_pod_of(one, gated=True)
    assert queue.changed(key) == [ONE_GPU]
    assert queue.changed(key) == []
    pods[key] = a_pod_of(two, gated=True)
    assert set(queue.changed(key)) == {ONE_GPU, class_of(two)}
    del pods[key]
    assert queue.changed(key) == [class_of(two)]
    assert queue.changed(key) == []
