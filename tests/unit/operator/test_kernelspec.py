from typing import Any

import pytest

from elastic_jupyter.kube.kinds import (
    JUPYTER_KERNEL_SPEC,
    JUPYTER_KERNEL_TEMPLATE,
    POD,
    Key,
    Object,
)
from elastic_jupyter.operator.kernelspec import KernelSpecReconciler
from tests.support.kernels import IMAGES, a_kernel_spec, a_kernel_template
from tests.unit.operator.world import Pass, World, crash_after_each_write

SPEC, TEMPLATE = Key("team", "spec"), Key("team", "template")
ACCEPTED = ("Ready", "True", "Accepted")
BY_NAME: Object = {"template": {"name": "template"}}


def make(world: World) -> Pass[Key]:
    return KernelSpecReconciler(
        client=world.client,
        specs=world.cache(JUPYTER_KERNEL_SPEC),
        templates=world.cache(JUPYTER_KERNEL_TEMPLATE),
        reporter=world.reporter(),
        images=IMAGES,
    ).reconcile


def told(world: World) -> list[tuple[str, str, str]]:
    conditions = world.server.get(JUPYTER_KERNEL_SPEC, SPEC)["status"]["conditions"]
    return [(one["type"], one["status"], one["reason"]) for one in conditions]


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({}, [ACCEPTED], id="the built-in kernel"),
        pytest.param(BY_NAME, [ACCEPTED], id="a template"),
        pytest.param(
            {"template": {"name": "template", "namespace": "team"}},
            [ACCEPTED],
            id="a template of this namespace",
        ),
        pytest.param(
            {"template": {"name": "template", "namespace": "other"}},
            [("Ready", "False", "TemplateElsewhere")],
            id="a template of another namespace",
        ),
        pytest.param(
            {"template": {"name": "missing"}},
            [("Ready", "False", "TemplateNotFound")],
            id="no such template",
        ),
        pytest.param(
            {"image": "x/jupyter-kernel-py:1"},
            [ACCEPTED, ("ImageReplaced", "True", "OriginalImage")],
            id="an image of the original",
        ),
        pytest.param(
            {"command": ["kubeflow-launcher", "--RemoteProcessProxy.response-address", "x"]},
            [ACCEPTED, ("CommandIgnored", "True", "OriginalLauncher")],
            id="a launcher of the original",
        ),
    ],
)
async def test_what_is_said_of_a_kernel_spec(
    world: World, spec: dict[str, Any], want: list[tuple[str, str, str]]
) -> None:
    world.server.put(JUPYTER_KERNEL_TEMPLATE, a_kernel_template())
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec(**spec))
    await world.run(make(world), SPEC)
    assert told(world) == want
    assert not world.server.all(POD), "a dry run made a pod"


async def test_a_replaced_image_is_told_in_one_event(world: World) -> None:
    for generation in (1, 2):
        spec = a_kernel_spec(image="x/jupyter-kernel-py:1")
        spec["metadata"]["generation"] = generation
        if generation > 1:
            spec["status"] = world.server.get(JUPYTER_KERNEL_SPEC, SPEC)["status"]
        world.server.put(JUPYTER_KERNEL_SPEC, spec)
        await world.run(make(world), SPEC)
    assert world.events() == [("Warning", "ImageReplaced")]


@pytest.mark.parametrize(("status", "reason"), [(422, "Invalid"), (403, "Forbidden")])
async def test_a_pod_that_the_server_would_refuse_is_told_in_its_words(
    world: World, status: int, reason: str
) -> None:
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec())
    world.server.fail(status, verb="post", times=-1, message="spec.priority: no such class")
    await world.run(make(world), SPEC)
    assert told(world) == [("Ready", "False", reason)]
    assert "no such class" in world.condition(JUPYTER_KERNEL_SPEC, SPEC, "Ready")["message"]


async def test_a_spec_that_a_quota_refuses_is_looked_at_again(world: World) -> None:
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec())
    world.server.fail(403, verb="post", times=-1, message="exceeded quota: team")
    assert (await world.run(make(world), SPEC)).requeue_after == 30
    assert told(world) == [("Ready", "False", "QuotaExceeded")]
    world.server.recover()
    assert (await world.run(make(world), SPEC)).requeue_after is None
    assert told(world) == [ACCEPTED]


async def test_the_pod_that_is_tried_is_the_kernels(world: World) -> None:
    """The template's pod with the spec's resources, as a kernel of it would have it."""
    limits = {"limits": {"nvidia.com/gpu": 1}}
    world.server.put(JUPYTER_KERNEL_TEMPLATE, a_kernel_template(spec={"nodeSelector": {"a": "b"}}))
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec(resources=limits, **BY_NAME))
    await world.settle()
    await make(world)(SPEC)
    tried: list[Object] = [seen.body for seen in world.server.seen if seen.verb == "post"]
    assert [(pod["kind"], pod["metadata"]["namespace"]) for pod in tried] == [("Pod", "team")]
    assert tried[0]["spec"]["nodeSelector"] == {"a": "b"}
    assert tried[0]["spec"]["containers"][0]["resources"] == limits


async def test_a_template_that_comes_later_makes_it_ready(world: World) -> None:
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec(**BY_NAME))
    await world.run(make(world), SPEC)
    world.clock.passed = 60
    world.server.put(JUPYTER_KERNEL_TEMPLATE, a_kernel_template())
    await world.run(make(world), SPEC)
    assert told(world) == [ACCEPTED]
    (ready,) = world.server.get(JUPYTER_KERNEL_SPEC, SPEC)["status"]["conditions"]
    assert ready["lastTransitionTime"] == "2026-11-24T18:01:00Z"


async def test_a_process_that_dies_after_its_write_is_carried_on() -> None:
    def prepare(world: World) -> Key:
        world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec())
        return SPEC

    assert await crash_after_each_write(prepare, make, told) == 1


async def test_a_spec_that_is_gone_is_nobodys_business(world: World) -> None:
    await world.run(make(world), SPEC)
    assert [seen for seen in world.server.seen if seen.verb not in ("list", "watch")] == []
