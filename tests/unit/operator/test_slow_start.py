from datetime import timedelta

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import EVENT, Object
from elastic_jupyter.operator import sight, slow_start
from elastic_jupyter.policy import queue
from elastic_jupyter.policy.lifecycle import Sight, Sighting
from tests.support.kernels import a_kernel, a_pod_of, pod_condition, waiting
from tests.unit.operator.world import World

STARTING = Sighting(Sight.STARTING, sight.STARTING)
GATED = pod_condition("PodScheduled", "False", "SchedulingGated", "gated")
NO_SECRET = 'MountVolume.SetUp failed for volume "v" : secret "nowhere" not found'


def an_event(
    world: World, number: int, reason: str, message: str = "", *, uid: str = "pod-uid"
) -> None:
    event: Object = {
        "metadata": {"name": f"jovyan-1.{number}", "namespace": "team"},
        "involvedObject": {"uid": uid},
        "lastTimestamp": f"2026-11-24T18:00:{number // 10:02}Z",
        "reason": reason,
        "message": message,
    }
    world.server.put(EVENT, event)


async def explained(world: World, *, after: float) -> Sighting:
    scheduled = {
        **pod_condition("PodScheduled", "True", ""),
        "lastTransitionTime": world.clock.now().isoformat(),
    }
    pod = a_pod_of(
        a_kernel(), conditions=[scheduled], containerStatuses=[waiting("ContainerCreating")]
    )
    seen = sight.look(pod)
    assert seen == STARTING
    now = world.clock.now() + timedelta(seconds=after)
    return await slow_start.explain(world.client, pod, seen, now=now)


async def test_a_slow_start_is_told_in_the_kubelets_newest_words(world: World) -> None:
    an_event(world, 1, "Scheduled")
    an_event(world, 2, "FailedMount", "an older word")
    an_event(world, 3, "FailedMount", NO_SECRET)
    an_event(world, 99, "FailedMount", "of another pod", uid="another")
    want = Sighting(Sight.STARTING, "FailedMount", NO_SECRET)
    assert await explained(world, after=3) == want


async def test_a_quick_start_asks_nobody(world: World) -> None:
    an_event(world, 2, "FailedMount", NO_SECRET)
    seen = len(world.server.seen)
    assert await explained(world, after=2.9) == STARTING
    assert len(world.server.seen) == seen


@pytest.mark.parametrize(
    ("reason", "want"),
    [
        pytest.param("Pulling", ("Pulling", "its message"), id="an image takes its time"),
        pytest.param("Pulled", (sight.STARTING, ""), id="a trouble that is over"),
    ],
)
async def test_what_came_after_a_trouble_counts(
    world: World, reason: str, want: tuple[str, str]
) -> None:
    an_event(world, 10, "FailedMount", NO_SECRET)
    an_event(world, 20, reason, "its message")
    seen = await explained(world, after=10)
    assert (seen.reason, seen.message) == want


async def test_events_that_cannot_be_read_are_no_error(world: World) -> None:
    world.server.fail(403, verb="list", times=-1)
    assert await explained(world, after=3) == STARTING
    world.server.recover()


@pytest.mark.parametrize(
    ("after", "spec", "conditions", "want"),
    [
        pytest.param(9, {}, [], sight.STARTING, id="the scheduler has its time"),
        pytest.param(10, {}, [], queue.UNHEARD, id="nobody spoke of it"),
        pytest.param(10, {}, [GATED], queue.UNHEARD, id="nobody spoke since its gate was lifted"),
        pytest.param(10, {"nodeName": "n"}, [], sight.STARTING, id="it has a node"),
    ],
)
async def test_a_pod_that_no_scheduler_has_taken_is_told(
    world: World, after: int, spec: Object, conditions: list[Object], want: str
) -> None:
    pod = a_pod_of(a_kernel(pod={"schedulerName": "y", **spec}), conditions=conditions)
    pod["metadata"]["annotations"][names.ANNOTATION_ADMITTED_AT] = world.clock.now().isoformat()
    now = world.clock.now() + timedelta(seconds=after)
    seen = await slow_start.explain(world.client, pod, sight.look(pod), now=now)
    assert (seen.sight, seen.reason) == (Sight.STARTING, want)
    assert seen.message.startswith("no scheduler named y has taken the pod") == (
        want == queue.UNHEARD
    )
