"""The kernels' reconciler when something is in the way, is stale, or dies."""

from dataclasses import fields, replace

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.errors import Forbidden
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, POD, SECRET, Key, Object
from elastic_jupyter.operator.children import BLOCKED_RETRY
from elastic_jupyter.operator.kernel import KernelCaches
from elastic_jupyter.policy.queue import Place, Refused
from elastic_jupyter.runtime.controller import DONE
from tests.support.kernels import (
    CREATED,
    IMAGES,
    RUNNING,
    a_gateway,
    a_kernel,
    a_master_key,
    a_pod_of,
    ended,
    pod_condition,
    waiting,
)
from tests.unit.operator.kernels import CONNECTION, KERNEL, make, make_whole, put
from tests.unit.operator.world import Pass, World, caches_of, crash_after_each_write

MASTER_KEY = Key("team", "gw-master-key")
ORIGINAL = "ccr.ccs.tencentyun.com/kubeflow-oteam/jupyter-kernel-py:latest"
NODE_LOST = [
    pod_condition("Ready", "False", ""),
    pod_condition("ContainersReady", "True", ""),
]
EVICTED = pod_condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "the node is drained")


def put_pod(world: World, pod: Object, **status: object) -> None:
    world.server.put(POD, {**pod, "status": {**pod["status"], **status}})


def status_of(world: World) -> Object:
    status: Object = world.server.get(JUPYTER_KERNEL, KERNEL)["status"]
    return status


def running(world: World) -> Object:
    return world.condition(JUPYTER_KERNEL, KERNEL, "Running")


async def running_kernel(world: World, reconcile: Pass[Key]) -> Object:
    """Bring a kernel up; return its pod."""
    kernel = put(world, a_kernel())
    await world.run(reconcile, KERNEL)
    world.server.put(POD, a_pod_of(kernel, **RUNNING))
    await world.run(reconcile, KERNEL)
    assert status_of(world)["phase"] == "Running"
    return world.server.get(POD, KERNEL)


# -- what is there already


@pytest.mark.parametrize("being_deleted", [False, True])
@pytest.mark.parametrize("same_object", [False, True], ids=["other object", "other epoch"])
async def test_the_pod_of_an_older_incarnation_is_waited_for(
    world: World, being_deleted: bool, same_object: bool
) -> None:
    world.server.graceful = True
    old = put(world, a_kernel())
    world.server.put(POD, a_pod_of(old, being_deleted=being_deleted, **RUNNING))
    if not same_object:
        world.server.remove(JUPYTER_KERNEL, KERNEL)
    kernel = put(world, a_kernel(status={"epoch": 2}))
    reconcile = make(world)
    assert await world.run(reconcile, KERNEL) == DONE  # its end wakes us
    assert world.server.get(POD, KERNEL)["metadata"]["deletionGracePeriodSeconds"] == 2
    assert running(world) == {
        "status": "False",
        "reason": "PreviousPodTerminating",
        "message": "the previous Pod jovyan-1 is being deleted",
    }
    world.server.remove(POD, KERNEL)
    await world.run(reconcile, KERNEL)
    made = world.server.get(POD, KERNEL)["metadata"]
    assert made["ownerReferences"][0]["uid"] == kernel["metadata"]["uid"]
    assert made["labels"][names.LABEL_EPOCH] == "2"
    assert running(world)["reason"] == "ContainerCreating"


async def test_the_secret_of_an_older_incarnation_is_replaced(world: World) -> None:
    put(world, a_kernel())
    await world.run(make(world), KERNEL)
    old = world.server.get(SECRET, CONNECTION)["data"]
    world.server.remove(POD, KERNEL)
    world.server.remove(JUPYTER_KERNEL, KERNEL)
    put(world, a_kernel())
    await world.run(make(world), KERNEL)
    assert world.server.get(SECRET, CONNECTION)["data"] != old


async def test_a_secret_of_that_name_which_is_not_a_kernels_is_told_and_left_alone(
    world: World,
) -> None:
    put(world, a_kernel())
    foreign = {"metadata": {"name": CONNECTION.name, "namespace": "team"}, "data": {"a": "eA=="}}
    before = world.server.put(SECRET, foreign)
    result = await world.run(make(world), KERNEL)
    assert result.requeue_after == BLOCKED_RETRY
    assert world.server.get(SECRET, CONNECTION) == before
    assert not world.server.all(POD)
    assert running(world)["reason"] == "NameTaken"
    assert "Secret named jovyan-1-connection" in running(world)["message"]


# -- what the API server refuses


async def test_no_pod_stays_whose_secret_is_refused(world: World) -> None:
    put(world, a_kernel())
    reconcile = make(world)
    world.server.fail(403, verb="post", path="secrets", times=-1, message="exceeded quota: team")
    await world.settle()
    await reconcile(KERNEL)
    made = [seen.path.rsplit("/", 1)[1] for seen in world.server.seen if seen.verb == "post"]
    assert {"secrets", "pods"} <= set(made)
    await world.run(reconcile, KERNEL)
    assert not world.server.all(POD)
    status = world.server.get(JUPYTER_KERNEL, KERNEL)["status"]
    assert (status["phase"], status.get("podName")) == ("Pending", None)
    assert "exceeded quota: team" in running(world)["message"]
    pods = [seen for seen in world.server.seen if seen.verb == "post" and "/pods" in seen.path]
    assert len(pods) == 1, "the next pass makes the Secret first"


async def test_a_quota_that_is_used_up_is_told_once_and_tried_again(world: World) -> None:
    put(world, a_kernel())
    reconcile = make(world)
    world.server.fail(403, verb="post", times=-1, message="exceeded quota: team")
    result = await world.run(reconcile, KERNEL)
    assert result.requeue_after == BLOCKED_RETRY
    assert (status_of(world)["phase"], running(world)["reason"]) == ("Pending", "QuotaExceeded")
    assert "exceeded quota: team" in running(world)["message"]
    before = world.server.get(JUPYTER_KERNEL, KERNEL)
    await reconcile(KERNEL)
    assert world.server.get(JUPYTER_KERNEL, KERNEL) == before
    world.server.recover()
    await world.run(reconcile, KERNEL)
    assert KERNEL in world.server.all(POD)


async def test_a_refusal_that_does_not_pass_ends_the_kernel_in_the_servers_words(
    world: World,
) -> None:
    put(world, a_kernel())
    world.server.fail(403, verb="post", message='violates PodSecurity "restricted:latest"')
    await world.run(make(world), KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert (status_of(world)["phase"], failed["reason"]) == ("Failed", "Forbidden")
    assert 'violates PodSecurity "restricted:latest"' in failed["message"]
    assert world.events() == [("Warning", "Forbidden")]
    assert not world.server.all(POD)
    assert CONNECTION not in world.server.all(SECRET)


async def test_what_the_server_calls_invalid_ends_the_kernel(world: World) -> None:
    put(world, a_kernel())
    world.server.fail(422, verb="post", message="spec.containers[0].image: Required value")
    await world.run(make(world), KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert (status_of(world)["phase"], failed["reason"]) == ("Failed", "Invalid")
    assert "image: Required value" in failed["message"]
    assert world.events() == [("Warning", "Invalid")]
    assert not world.server.all(POD)


# -- stale copies


async def test_a_status_decided_on_an_old_copy_is_decided_again(world: World) -> None:
    kernel = put(world, a_kernel())
    await world.settle()
    connected = {"activity": {"connected": True}}
    world.server.put(JUPYTER_KERNEL, {**kernel, "status": connected})
    reconcile = make(world)
    result = await reconcile(KERNEL)
    assert result.requeue_after
    assert status_of(world) == connected
    await world.run(reconcile, KERNEL)
    assert status_of(world).items() >= {**connected, "phase": "Pending"}.items()


async def test_what_was_just_written_is_known_before_the_watch_tells_it(world: World) -> None:
    put(world, a_kernel())
    await world.settle()
    live = caches_of(world)
    frozen = KernelCaches(*(dict(getattr(live, field.name)) for field in fields(live)))
    reconcile = make(world, caches=frozen)
    await reconcile(KERNEL)
    seen, before = len(world.server.seen), status_of(world)
    await reconcile(KERNEL)
    # The Secret is made again at most: it is not in this cache, and there already.
    assert status_of(world) == before
    assert all(one.verb == "post" for one in world.server.seen[seen:] if one.writes)


async def test_a_kernel_that_the_cache_does_not_know_yet_keeps_its_pod(world: World) -> None:
    put(world, a_kernel())
    await world.run(make(world), KERNEL)
    behind = replace(caches_of(world), kernels={})
    await make(world, caches=behind)(KERNEL)
    assert KERNEL in world.server.all(POD)
    assert CONNECTION in world.server.all(SECRET)


async def test_a_pod_without_a_kernel_that_is_somebody_elses_stays(world: World) -> None:
    pod = a_pod_of(a_kernel())
    pod["metadata"]["ownerReferences"][0] |= {"apiVersion": "batch/v1", "kind": "Job"}
    before = world.server.put(POD, pod)
    await world.run(make(world), KERNEL)
    assert world.server.get(POD, KERNEL) == before


async def test_a_kernel_that_is_being_deleted_loses_its_pod(world: World) -> None:
    kernel = put(world, a_kernel())
    await world.run(make(world), KERNEL)
    kernel = world.server.get(JUPYTER_KERNEL, KERNEL)
    kernel["metadata"] |= {"deletionTimestamp": CREATED, "finalizers": ["foregroundDeletion"]}
    world.server.put(JUPYTER_KERNEL, kernel)
    await world.run(make(world), KERNEL)
    assert not world.server.all(POD)
    assert CONNECTION not in world.server.all(SECRET)


# -- what happens to a pod


async def test_a_pod_that_is_gone_ends_the_kernel(world: World) -> None:
    reconcile = make(world)
    await running_kernel(world, reconcile)
    world.server.remove(POD, KERNEL)
    await world.run(reconcile, KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert (status_of(world)["phase"], failed["reason"]) == ("Failed", "PodDeleted")
    assert CONNECTION not in world.server.all(SECRET)


async def test_why_a_pod_went_is_remembered_when_it_is_gone(world: World) -> None:
    pod = await running_kernel(world, make(world))
    put_pod(world, pod, conditions=[EVICTED])
    await world.run(make(world), KERNEL)
    assert status_of(world)["phase"] == "Running"
    world.server.remove(POD, KERNEL)
    await world.run(make(world), KERNEL)
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Failed") == {
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "the node is drained",
    }


@pytest.mark.parametrize("ran", [True, False], ids=["while it ran", "before it ran"])
async def test_why_a_pod_went_is_told_also_when_it_was_said_only_in_its_last_moment(
    world: World, ran: bool
) -> None:
    reconciler = make_whole(world)
    world.reflectors[POD].on_change(
        lambda key, old, new: reconciler.pod_gone(key, old) if old and not new else None
    )
    kernel = put(world, a_kernel())
    await world.run(reconciler.reconcile, KERNEL)
    pod = a_pod_of(kernel, node="n", **(RUNNING if ran else {}))
    world.server.put(POD, pod)
    await world.run(reconciler.reconcile, KERNEL)
    gone = pod_condition("DisruptionTarget", "True", "DeletionByPodGC", "node no longer exists")
    put_pod(world, pod, phase="Failed", conditions=[gone])
    world.server.remove(POD, KERNEL)
    await world.run(reconciler.reconcile, KERNEL)
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Failed") == {
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "node no longer exists",
    }


async def test_a_pod_that_is_taken_away_before_it_ran_is_told_and_remembered(
    world: World,
) -> None:
    reconcile = make(world)
    kernel = put(world, a_kernel())
    world.server.put(POD, a_pod_of(kernel, node="n", being_deleted=True, conditions=[EVICTED]))
    await world.run(reconcile, KERNEL)
    assert (status_of(world)["phase"], running(world)["reason"]) == (
        "Pending",
        "EvictionByEvictionAPI",
    )
    world.server.remove(POD, KERNEL)
    await world.run(make(world), KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert (failed["reason"], failed["message"]) == (
        "EvictionByEvictionAPI",
        "the node is drained",
    )


async def test_an_image_that_cannot_be_pulled_is_told_once_and_waited_for(world: World) -> None:
    reconcile = make(world)
    kernel = put(world, a_kernel())
    for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
        world.server.put(POD, a_pod_of(kernel, containerStatuses=[waiting(reason, "no host")]))
        result = await world.run(reconcile, KERNEL)
        assert (status_of(world)["phase"], running(world)["reason"]) == ("Pending", reason)
        assert result.requeue_after == 120
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Stalled")["status"] == "True"
    assert world.events() == [("Warning", "ErrImagePull")]

    world.server.put(POD, a_pod_of(kernel, **RUNNING))
    await world.run(reconcile, KERNEL)
    assert [c["type"] for c in status_of(world)["conditions"]] == ["Running"]


async def test_an_image_that_stays_away_is_given_up_also_by_the_next_process(
    world: World,
) -> None:
    kernel = put(world, a_kernel())
    world.server.put(SECRET, a_connection_of(kernel))
    stalled = [waiting("ErrImagePull", "no host")]
    world.server.put(POD, a_pod_of(kernel, containerStatuses=stalled))
    await world.run(make(world), KERNEL)
    world.clock.passed = 119
    result = await world.run(make(world), KERNEL)
    assert (status_of(world)["phase"], result.requeue_after) == ("Pending", 1)
    world.clock.passed = 120
    await world.run(make(world), KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert (failed["reason"], failed["message"]) == (
        "ErrImagePull",
        "no host (given up after 2 min)",
    )
    assert not world.server.all(POD)
    assert CONNECTION not in world.server.all(SECRET)


async def test_a_node_that_is_lost_is_told_while_the_kernel_may_still_run(world: World) -> None:
    reconcile = make(world)
    pod = await running_kernel(world, reconcile)
    put_pod(world, pod, conditions=NODE_LOST)
    await world.run(reconcile, KERNEL)
    assert status_of(world)["phase"] == "Running"
    assert (running(world)["status"], running(world)["reason"]) == ("True", "NodeLost")
    assert world.events() == [("Warning", "NodeLost")]


async def test_a_pod_that_is_to_go_with_a_lost_node_is_removed_by_force(world: World) -> None:
    world.server.graceful = True
    kernel = put(world, a_kernel())
    gone = a_pod_of(kernel, being_deleted=True, node="n", **RUNNING, conditions=NODE_LOST)
    world.server.put(POD, gone)
    await world.settle()
    await make(world)(KERNEL)
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Failed")["reason"] == "NodeLost"
    [deletion] = [one for one in world.server.seen if one.verb == "delete" and "/pods/" in one.path]
    assert deletion.body["gracePeriodSeconds"] == 0


async def test_a_deleted_secret_is_made_again(world: World) -> None:
    reconcile = make(world)
    kernel = put(world, a_kernel())
    await world.run(reconcile, KERNEL)
    before = world.server.get(SECRET, CONNECTION)["data"]
    world.server.remove(SECRET, CONNECTION)
    await world.run(reconcile, KERNEL)
    assert world.server.get(SECRET, CONNECTION)["data"] == before
    world.server.put(POD, a_pod_of(kernel, **RUNNING))
    world.server.remove(SECRET, CONNECTION)
    await world.run(reconcile, KERNEL)
    assert world.server.get(SECRET, CONNECTION)["data"] == before


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param({"labels": {}}, id="all labels"),
        pytest.param({"labels": {names.LABEL_EPOCH: "1"}}, id="all labels but the epoch"),
        pytest.param({"ownerReferences": []}, id="its owner"),
    ],
)
async def test_a_pod_that_lost_its_labels_or_owner_gets_them_back_and_its_end_is_seen(
    world: World, lost: Object
) -> None:
    pod = await running_kernel(world, make(world))
    metadata = pod["metadata"]
    world.server.put(POD, {**pod, "metadata": {**metadata, **lost}})
    await world.run(make(world), KERNEL)
    assert status_of(world)["phase"] == "Running"
    now = world.cache(POD)[KERNEL]["metadata"]
    assert now["labels"] == metadata["labels"]
    assert now["ownerReferences"] == metadata["ownerReferences"]
    put_pod(world, world.server.get(POD, KERNEL), phase="Failed", containerStatuses=[ended(3)])
    await world.run(make(world), KERNEL)
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Failed")["reason"] == "Error"


async def test_a_connection_secret_that_lost_its_label_is_followed_again(world: World) -> None:
    await running_kernel(world, make(world))
    secret = world.server.get(SECRET, CONNECTION)
    labels = {k: v for k, v in secret["metadata"]["labels"].items() if k != names.LABEL_MANAGED_BY}
    world.server.put(SECRET, {**secret, "metadata": {**secret["metadata"], "labels": labels}})
    await world.run(make(world), KERNEL)
    assert world.cache(SECRET)[CONNECTION]["data"] == secret["data"]


@pytest.mark.parametrize(
    ("status", "want"),
    [
        pytest.param({**RUNNING, "conditions": NODE_LOST}, "NodeLost", id="a lost node"),
        pytest.param(RUNNING, "Started", id="its start"),
    ],
)
async def test_a_secret_that_cannot_be_made_again_keeps_no_news_back(
    world: World, status: Object, want: str
) -> None:
    reconcile = make(world)
    kernel = put(world, a_kernel())
    await world.run(reconcile, KERNEL)
    world.server.remove(SECRET, CONNECTION)
    world.server.put(POD, a_pod_of(kernel, node="n", **status))
    await world.settle()
    world.server.fail(403, verb="post", path="/secrets", message="exceeded quota: team")
    with pytest.raises(Forbidden, match="exceeded quota"):
        await reconcile(KERNEL)
    assert (status_of(world)["phase"], running(world)["reason"]) == ("Running", want)
    world.server.recover()
    await world.run(reconcile, KERNEL)
    assert CONNECTION in world.server.all(SECRET)


async def test_no_key_is_made_up_for_a_running_kernel_without_a_gateway(world: World) -> None:
    reconcile = make(world)
    kernel = world.server.put(JUPYTER_KERNEL, a_kernel(gatewayRef=None))
    await world.run(reconcile, KERNEL)
    world.server.put(POD, a_pod_of(kernel, **RUNNING))
    world.server.remove(SECRET, CONNECTION)
    await world.run(reconcile, KERNEL)
    assert status_of(world)["phase"] == "Running"
    assert not world.server.all(SECRET)


async def test_a_kernel_whose_gateway_has_a_new_master_key_is_ended_and_told(world: World) -> None:
    reconcile = make(world)
    await running_kernel(world, reconcile)
    world.server.remove(SECRET, MASTER_KEY)
    await world.run(reconcile, KERNEL)
    assert status_of(world)["phase"] == "Running"  # until there is a new one
    world.server.put(SECRET, a_master_key(a_gateway(), key=bytes(32)))
    await world.run(reconcile, KERNEL)
    failed = world.condition(JUPYTER_KERNEL, KERNEL, "Failed")
    assert (status_of(world)["phase"], failed["reason"]) == ("Failed", "KeyReplaced")
    assert "new master key" in failed["message"]
    assert not world.server.all(POD)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"connection.json": "e30="}, id="another key"),
        pytest.param({"connection.json": "no base64"}, id="nothing that can be read"),
        pytest.param({"call-home.json": "e30="}, id="another way home"),
        pytest.param({}, id="no data"),
    ],
)
@pytest.mark.parametrize("runs", [False, True])
async def test_a_connection_secret_that_was_edited_is_written_again(
    world: World, edit: Object, runs: bool
) -> None:
    reconcile = make(world)
    kernel = put(world, a_kernel())
    await world.run(reconcile, KERNEL)
    world.server.put(POD, a_pod_of(kernel, **(RUNNING if runs else {})))
    before = world.server.get(SECRET, CONNECTION)
    data = {**before["data"], **edit} if edit else {}
    world.server.put(SECRET, {**before, "data": data})
    await world.run(reconcile, KERNEL)
    assert world.server.get(SECRET, CONNECTION)["data"] == before["data"]
    assert status_of(world)["phase"] == ("Running" if runs else "Pending")


async def test_a_master_key_that_cannot_be_used_is_waited_for_and_ends_nobody(
    world: World,
) -> None:
    reconcile = make(world)
    short = a_master_key(a_gateway(), key=b"short")
    world.server.put(SECRET, short)
    kernel = put(world, a_kernel(), master_key=False)
    await world.run(reconcile, KERNEL)
    assert running(world)["reason"] == "GatewayNotFound"
    assert "no master key to be used" in running(world)["message"]
    put(world, kernel)
    await world.run(reconcile, KERNEL)
    world.server.put(POD, a_pod_of(kernel, **RUNNING))
    world.server.put(SECRET, short)
    await world.run(reconcile, KERNEL)
    assert status_of(world)["phase"] == "Running"


async def test_a_kernel_for_a_gpu_waits_for_its_place_before_it_says_so(world: World) -> None:
    places: dict[Key, Place | Refused] = {}
    reconcile = make(world, place_of=places.get)
    put(world, a_kernel(gpus=1))
    await world.run(reconcile, KERNEL)
    assert KERNEL in world.server.all(POD)
    assert "status" not in world.server.get(JUPYTER_KERNEL, KERNEL)
    for place in (Place(2, 2, ""), Place(1, 1, "no GPU")):
        places[KERNEL] = place
        await world.run(reconcile, KERNEL)
        queue = status_of(world)["queue"]
        assert (queue["position"], queue["length"]) == (place.position, place.length)
    assert (status_of(world)["phase"], queue["reason"]) == ("Queued", "no GPU")
    assert world.events() == [("Normal", "Queued")]


async def test_a_kernel_whose_gate_cannot_be_lifted_says_why(world: World) -> None:
    places: dict[Key, Place | Refused] = {KERNEL: Refused("no: a webhook is down")}
    reconcile = make(world, place_of=places.get)
    put(world, a_kernel(gpus=1))
    for _ in range(2):
        await world.run(reconcile, KERNEL)
        assert status_of(world)["phase"] == "Pending"
        assert "queue" not in status_of(world)
        assert (running(world)["reason"], running(world)["message"]) == (
            "GateRefused",
            "no: a webhook is down",
        )
        assert world.events() == [("Warning", "GateRefused")]
    places[KERNEL] = Place(1, 1, "no GPU")
    await world.run(reconcile, KERNEL)
    assert (status_of(world)["phase"], running(world)["reason"]) == ("Queued", "Queued")


async def test_a_pod_that_vanishes_before_the_status_names_it_is_not_made_twice(
    world: World,
) -> None:
    put(world, a_kernel(gpus=1))
    reconcile = make(world)
    await world.run(reconcile, KERNEL)
    world.server.remove(POD, KERNEL)
    await world.run(reconcile, KERNEL)
    assert not world.server.all(POD)
    assert world.condition(JUPYTER_KERNEL, KERNEL, "Failed")["reason"] == "PodDeleted"


async def test_a_replaced_image_is_told_in_one_event(world: World) -> None:
    kernel = put(world, a_kernel(container={"image": ORIGINAL}))
    await world.run(make(world), KERNEL)
    world.server.put(POD, a_pod_of(kernel, **RUNNING))
    await world.run(make(world), KERNEL)
    assert world.events() == [("Warning", "ImageReplaced")]
    assert world.condition(JUPYTER_KERNEL, KERNEL, "ImageReplaced")["status"] == "True"
    assert world.server.get(POD, KERNEL)["spec"]["containers"][0]["image"] == IMAGES.kernel


# -- crashes


def left_over(world: World) -> object:
    secrets = [key for key in world.server.all(SECRET) if key == CONNECTION]
    kernels = [kernel.get("status") for kernel in world.server.all(JUPYTER_KERNEL).values()]
    return world.picture(POD), secrets, kernels


async def test_a_process_that_dies_while_it_ends_a_kernel_is_carried_on() -> None:
    def prepare(world: World) -> Key:
        kernel = put(world, a_kernel())
        world.server.put(SECRET, a_connection_of(kernel))
        world.server.put(POD, a_pod_of(kernel, phase="Failed", containerStatuses=[ended(1)]))
        return KERNEL

    # The status, its Event, the pod, the Secret.
    assert await crash_after_each_write(prepare, make, left_over) == 4


async def test_a_process_that_dies_while_it_removes_orphans_is_carried_on() -> None:
    def prepare(world: World) -> Key:
        kernel = put(world, a_kernel())
        world.server.put(SECRET, a_connection_of(kernel))
        world.server.put(POD, a_pod_of(kernel, **RUNNING))
        world.server.remove(JUPYTER_KERNEL, KERNEL)
        return KERNEL

    assert await crash_after_each_write(prepare, make, left_over) == 2


def a_connection_of(kernel: Object) -> Object:
    """Return the connection Secret of a kernel: its pod's metadata under another name."""
    metadata = a_pod_of(kernel)["metadata"]
    return {"metadata": {**metadata, "name": CONNECTION.name}, "data": {}}
