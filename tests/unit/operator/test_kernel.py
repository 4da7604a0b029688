"""The kernels' reconciler against an API server: state in, passes, state out."""

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, JUPYTER_NOTEBOOK, POD, SECRET, Key
from tests.support.kernels import (
    RUNNING,
    a_kernel,
    a_notebook,
    a_pod_of,
    ended,
)
from tests.unit.operator.kernels import CONNECTION, KERNEL, make, put
from tests.unit.operator.world import World, crash_after_each_write


def prepare(world: World) -> Key:
    put(world, a_kernel())
    return KERNEL


async def test_a_kernel_gets_its_secret_and_then_its_pod(world: World) -> None:
    put(world, a_kernel())
    await world.run(make(world), KERNEL)
    created = [seen.path.rsplit("/", 1)[1] for seen in world.server.seen if seen.verb == "post"]
    assert created == ["secrets", "pods"]
    status = world.server.get(JUPYTER_KERNEL, KERNEL)["status"]
    assert (status["phase"], status["epoch"], status["podName"]) == ("Pending", 1, "jovyan-1")


async def test_a_process_that_dies_after_any_write_is_carried_on() -> None:
    def picture(world: World) -> object:
        # The key in the Secret derives from the kernel's uid, which is another in each world.
        secrets = sorted(world.server.all(SECRET))
        return world.picture(POD), secrets, world.server.get(JUPYTER_KERNEL, KERNEL)["status"]

    assert await crash_after_each_write(prepare, make, picture) == 3


async def test_a_kernel_whose_gateway_has_no_key_waits_and_says_so(world: World) -> None:
    put(world, a_kernel(), master_key=False)
    await world.run(make(world), KERNEL)
    assert not world.server.all(POD)
    condition = world.condition(JUPYTER_KERNEL, KERNEL, "Running")
    assert (condition["status"], condition["reason"]) == ("False", "GatewayNotFound")
    assert "JupyterGateway gw" in condition["message"]


async def test_a_pod_of_that_name_which_is_not_a_kernels_is_told_and_left_alone(
    world: World,
) -> None:
    put(world, a_kernel())
    foreign = {"metadata": {"name": "jovyan-1", "namespace": "team"}, "spec": {"containers": []}}
    before = world.server.put(POD, foreign)
    await world.settle()
    result = await make(world)(KERNEL)
    assert result.requeue_after, "nothing in the cluster tells when that is mended"
    assert world.server.get(POD, KERNEL) == before
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Running")["reason"] == "NameTaken"


async def test_an_address_is_told_once_the_pod_has_one(world: World) -> None:
    kernel = put(world, a_kernel())
    world.server.put(POD, a_pod_of(kernel, node="n", **RUNNING))
    await world.run(make(world), KERNEL)
    status = world.server.get(JUPYTER_KERNEL, KERNEL)["status"]
    assert (status["phase"], status["podIP"]) == ("Running", "10.0.0.7")


async def test_a_kernel_that_ended_keeps_its_reason_and_nothing_else(world: World) -> None:
    kernel = put(world, a_kernel(container={"resources": {"limits": {"memory": "1Gi"}}}))
    died = {"phase": "Failed", "containerStatuses": [ended(137, reason="OOMKilled")]}
    world.server.put(POD, a_pod_of(kernel, node="n", **died))
    await world.run(make(world), KERNEL)
    assert not world.server.all(POD)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert failed["reason"] == "OOMKilled"
    assert "its limit of 1Gi" in failed["message"]
    assert ("Warning", "OOMKilled") in world.events()


async def test_what_a_deleted_kernel_left_goes_with_two_seconds_of_grace(world: World) -> None:
    kernel = put(world, a_kernel())
    reconcile = make(world)
    await world.run(reconcile, KERNEL)
    world.server.remove(JUPYTER_KERNEL, KERNEL)
    await world.run(make(world), KERNEL)
    assert not world.server.all(POD)
    assert CONNECTION not in world.server.all(SECRET)
    [deletion] = [
        seen for seen in world.server.seen if seen.verb == "delete" and "/pods/" in seen.path
    ]
    assert deletion.body["gracePeriodSeconds"] == 2
    assert kernel["metadata"]["uid"] not in str(world.server.all(POD))


async def test_the_next_incarnation_has_the_next_epoch(world: World) -> None:
    put(world, a_kernel(annotations={names.ANNOTATION_LAST_EPOCH: "4"}))
    await world.run(make(world), KERNEL)
    labels = world.server.get(POD, KERNEL)["metadata"]["labels"]
    assert labels[names.LABEL_EPOCH] == "5"


@pytest.mark.parametrize(
    ("last", "want"),
    [
        pytest.param("none", "1", id="a word"),
        pytest.param("-7", "1", id="a negative number"),
        pytest.param("9" * 6000, "1", id="more digits than int() takes"),
        pytest.param("9999999999", "2147483647", id="more than an epoch may be"),
    ],
)
async def test_garbage_for_the_last_epoch_starts_a_kernel_all_the_same(
    world: World, last: str, want: str
) -> None:
    put(world, a_kernel(annotations={names.ANNOTATION_LAST_EPOCH: last}))
    await world.run(make(world), KERNEL)
    labels = world.server.get(POD, KERNEL)["metadata"]["labels"]
    assert labels[names.LABEL_EPOCH] == want


async def test_a_kernel_with_the_id_of_another_ends_and_the_other_runs(world: World) -> None:
    put(world, a_kernel())
    world.server.put(JUPYTER_KERNEL, a_kernel("other"))
    other = Key("team", "other")
    await world.run(make(world), other)
    await world.run(make(world), KERNEL)
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Running")["reason"] == "ContainerCreating"
    failed = world.condition(JUPYTER_KERNEL, other, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "KernelIDTaken")
    assert [key.name for key in world.server.all(POD)] == ["jovyan-1"]


async def test_a_template_that_is_no_pod_ends_the_kernel_with_the_name_of_the_field(
    world: World,
) -> None:
    put(world, a_kernel(template={"spec": {"containers": "all of them"}}))
    await world.run(make(world), KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert failed["reason"] == "Invalid"
    assert failed["message"].startswith("spec.template.spec.containers")


async def test_a_kernel_has_the_files_of_its_own_notebook_alone(world: World) -> None:
    notebook = world.server.put(JUPYTER_NOTEBOOK, a_notebook(storage={"size": "1Gi"}))
    for name, uid in (("mine", notebook["metadata"]["uid"]), ("of-a-namesake", "another")):
        kernel = a_kernel(name=name, kernelID=name)
        kernel["spec"]["notebookRef"] = {"namespace": "team", "name": "nb", "uid": uid}
        put(world, kernel)
        await world.run(make(world), Key("team", name))
    mine, other = (
        str(world.server.get(POD, Key("team", name))["spec"].get("volumes"))
        for name in ("mine", "of-a-namesake")
    )
    assert "nb-storage" in mine
    assert "nb-storage" not in other


async def test_a_template_with_a_mount_in_the_place_of_the_notebooks_files_ends_the_kernel(
    world: World,
) -> None:
    notebook = world.server.put(JUPYTER_NOTEBOOK, a_notebook(storage={"size": "1Gi"}))
    container = {"volumeMounts": [{"name": "own", "mountPath": "/home/jovyan"}]}
    kernel = a_kernel(template={"spec": {"containers": [container]}})
    uid = notebook["metadata"]["uid"]
    kernel["spec"]["notebookRef"] = {"namespace": "team", "name": "nb", "uid": uid}
    put(world, kernel)
    await world.run(make(world), KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert failed["reason"] == "Invalid"
    for word in ("spec.template.spec.containers[0].volumeMounts[0]", "spec.storage"):
        assert word in failed["message"]


@pytest.mark.parametrize("restarted", [False, True], ids=["one operator", "another operator"])
@pytest.mark.parametrize("slow", [False, True], ids=["its pod is gone", "its pod is going"])
async def test_a_wake_that_was_taken_back_before_it_was_told_is_no_end_of_the_next(
    world: World, restarted: bool, slow: bool
) -> None:
    asleep = {"phase": "Hibernated", "epoch": 1}
    snapshot = {"id": "1-" + 64 * "a", "epoch": 1}
    put(world, a_kernel(gpus=1, suspend=True, snapshot=snapshot, status=asleep))
    world.server.graceful = slow
    one = make(world)
    for suspend in (False, True, False):  # the queue has not looked at it yet: nothing is told
        world.server.put(
            JUPYTER_KERNEL,
            {
                **(kernel := world.server.get(JUPYTER_KERNEL, KERNEL)),
                "spec": kernel["spec"] | {"suspend": suspend},
            },
        )
        await world.run(make(world) if restarted else one, KERNEL)
        phase = world.server.get(JUPYTER_KERNEL, KERNEL)["status"]["phase"]
        assert phase in ("Hibernated", "Pending"), phase
    if slow:
        world.server.remove(POD, KERNEL)
        await world.run(make(world) if restarted else one, KERNEL)
    assert world.server.get(POD, KERNEL)["metadata"]["labels"][names.LABEL_EPOCH] == "3"
