import base64

import pytest

from elastic_jupyter.errors import Conflict
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    JUPYTER_GATEWAY,
    JUPYTER_KERNEL,
    JUPYTER_KERNEL_SPEC,
    JUPYTER_NOTEBOOK,
    LEASE,
    NETWORK_POLICY,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Key,
    Kind,
    Object,
    key_of,
)
from elastic_jupyter.operator.children import BLOCKED_RETRY
from elastic_jupyter.operator.gateway import GatewayReconciler
from elastic_jupyter.operator.objects import gateway as objects
from elastic_jupyter.policy.keys import digest
from elastic_jupyter.runtime.controller import DONE
from tests.support.kernels import (
    CREATED,
    IMAGES,
    a_gateway,
    a_kernel,
    a_kernel_spec,
    a_notebook,
)
from tests.unit.operator.world import Pass, World, crash_after_each_write

GATEWAY, MASTER_KEY = Key("team", "gw"), Key("team", "gw-master-key")
CHILDREN = [
    (DEPLOYMENT, "gw"),
    (LEASE, "gw-gateway"),
    (NETWORK_POLICY, "gw-kernels"),
    (ROLE, "gw"),
    (ROLE_BINDING, "gw"),
    (SECRET, "gw-master-key"),
    (SECRET, "gw-notebooks"),
    (SECRET, "gw-tombstones"),
    (SERVICE, "gw"),
    (SERVICE_ACCOUNT, "gw"),
]
BOUND = Key("team", "gw-cluster-role")
ORIGINAL = "ccr.ccs.tencentyun.com/kubeflow-oteam/enterprise-gateway:latest"
NO_KERNELS = {"queued": 0, "pending": 0, "running": 0, "asleep": 0, "failed": 0}


def make(world: World, *, cluster_roles: tuple[str, ...] = ()) -> Pass[Key]:
    """Return a reconciler without memory."""
    return GatewayReconciler(
        gateways=world.cache(JUPYTER_GATEWAY),
        specs=world.cache(JUPYTER_KERNEL_SPEC),
        kernels=world.kernel_index,
        admission=world.admission(),
        pods=world.cache(POD),
        children=world.children(),
        reporter=world.reporter(),
        images=IMAGES,
        cluster_roles=frozenset(cluster_roles),
    ).reconcile


def children_of(world: World) -> list[tuple[Kind, str]]:
    kinds = dict.fromkeys(kind for kind, _ in CHILDREN)
    return [(kind, key.name) for kind in kinds for key in sorted(world.server.all(kind))]


def put(world: World, gateway: Object) -> Object:
    return world.server.put(JUPYTER_GATEWAY, gateway)


def condition(world: World, kind: str) -> Object:
    return world.condition(JUPYTER_GATEWAY, GATEWAY, kind)


async def test_a_gateway_gets_its_children_and_they_are_its_own(world: World) -> None:
    gateway = put(world, a_gateway())
    assert await world.run(make(world), GATEWAY) == DONE
    assert children_of(world) == CHILDREN
    for kind, name in CHILDREN:
        (owner,) = world.server.get(kind, Key("team", name))["metadata"]["ownerReferences"]
        assert owner["uid"] == gateway["metadata"]["uid"]
    assert world.server.get(JUPYTER_GATEWAY, GATEWAY)["status"]["kernels"] == NO_KERNELS
    assert condition(world, "Ready")["reason"] == "Progressing"
    pod = world.server.get(DEPLOYMENT, GATEWAY)["spec"]["template"]
    master = objects.master_key(world.server.get(SECRET, MASTER_KEY))
    account = world.server.get(SERVICE_ACCOUNT, GATEWAY)["metadata"]
    assert master is not None
    assert list(pod["metadata"]["annotations"].values()) == [digest(master), account["uid"]]


def listed(world: World) -> list[str]:
    data = world.server.get(SECRET, Key("team", "gw-notebooks"))["data"]
    return base64.b64decode(data["uids"]).decode().split()


async def test_the_notebooks_to_be_served_are_named(world: World) -> None:
    def put_notebook(name: str, **parts: object) -> str:
        made = a_notebook(name, **parts)
        uid: str = world.server.put(JUPYTER_NOTEBOOK, made)["metadata"]["uid"]
        return uid

    put(world, a_gateway(allowedNamespaces={"from": "Same"}))
    uids = [put_notebook("a"), put_notebook("b")]
    put_notebook("of-another", gateway="other")
    foreign = a_notebook("foreign")
    foreign["metadata"]["namespace"] = "elsewhere"
    foreign["spec"]["gateway"]["namespace"] = "team"
    foreign_uid = world.server.put(JUPYTER_NOTEBOOK, foreign)["metadata"]["uid"]
    await world.run(make(world), GATEWAY)
    assert listed(world) == sorted(uids)

    put(world, a_gateway())
    going = world.server.get(JUPYTER_NOTEBOOK, Key("team", "a"))
    going["metadata"] |= {"deletionTimestamp": CREATED, "finalizers": ["a/b"]}
    world.server.put(JUPYTER_NOTEBOOK, going)
    await world.run(make(world), GATEWAY)
    assert listed(world) == sorted([uids[1], foreign_uid])

    # Also by a process that has not seen it longer.
    world.server.remove(JUPYTER_NOTEBOOK, Key("team", "b"))
    world.server.remove(JUPYTER_NOTEBOOK, Key("elsewhere", "foreign"))
    await world.run(make(world), GATEWAY)
    assert listed(world) == []


async def test_a_process_that_dies_after_any_write_is_carried_on() -> None:
    def prepare(world: World) -> Key:
        put(world, a_gateway(image=ORIGINAL))
        return GATEWAY

    def picture(world: World) -> object:
        # The Deployment carries the uid of the Secret, which is another in each world.
        rest = world.picture(ROLE, ROLE_BINDING, SERVICE, LEASE, JUPYTER_GATEWAY)
        return children_of(world), rest

    assert await crash_after_each_write(prepare, make, picture) == len(CHILDREN) + 2


async def test_keys_and_memory_are_made_once_and_the_rest_is_repaired(world: World) -> None:
    put(world, a_gateway())
    await world.run(make(world), GATEWAY)
    before = world.picture(*dict(CHILDREN))
    remembered = {**world.server.get(SECRET, Key("team", "gw-tombstones")), "data": {"k": "e30="}}
    world.server.put(SECRET, remembered)
    role = world.server.get(ROLE, GATEWAY)
    world.server.put(ROLE, {**role, "rules": role["rules"][1:]})
    world.server.remove(SERVICE, GATEWAY)
    await world.run(make(world), GATEWAY)
    before["Secret team/gw-tombstones"]["data"] = {"k": "e30="}
    assert world.picture(*dict(CHILDREN)) == before


@pytest.mark.parametrize(("kind", "name"), CHILDREN, ids=[f"{k} {n}" for k, n in CHILDREN])
async def test_a_foreign_object_of_a_childs_name_is_told_and_left_alone(
    world: World, kind: Kind, name: str
) -> None:
    foreign = {"metadata": {"name": name, "namespace": "team"}, "spec": {"theirs": True}}
    before = world.server.put(kind, foreign)
    put(world, a_gateway())
    assert (await world.run(make(world), GATEWAY)).requeue_after == BLOCKED_RETRY
    assert world.server.get(kind, Key("team", name)) == before
    ready = condition(world, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "AlreadyExists")
    assert f"{kind} team/{name} exists already and belongs to nobody" in ready["message"]
    world.server.remove(kind, Key("team", name))
    await world.run(make(world), GATEWAY)
    assert children_of(world) == CHILDREN


@pytest.mark.parametrize(
    ("verb", "status", "reason"), [("post", 403, "Forbidden"), ("patch", 422, "Invalid")]
)
async def test_what_the_server_refuses_is_told(
    world: World, verb: str, status: int, reason: str
) -> None:
    put(world, a_gateway())
    await world.settle()
    world.server.fail(status, verb=verb, message="no such thing here")
    assert (await make(world)(GATEWAY)).requeue_after == BLOCKED_RETRY
    ready = condition(world, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert "no such thing here" in ready["message"]


async def test_a_master_key_that_cannot_be_used_is_told_and_the_server_stays(
    world: World,
) -> None:
    put(world, a_gateway())
    await world.run(make(world), GATEWAY)
    before = world.server.get(DEPLOYMENT, GATEWAY)
    secret = world.server.get(SECRET, Key("team", "gw-master-key"))
    world.server.put(SECRET, {**secret, "data": {"key": "c2hvcnQ="}})
    assert (await world.run(make(world), GATEWAY)).requeue_after == BLOCKED_RETRY
    ready = condition(world, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "MasterKeyUnusable")
    assert "Secret team/gw-master-key: its key 'key' is missing" in ready["message"]
    assert world.server.get(DEPLOYMENT, GATEWAY) == before
    world.server.put(SECRET, secret)
    await world.run(make(world), GATEWAY)
    assert condition(world, "Ready")["reason"] != "MasterKeyUnusable"


async def test_a_status_decided_on_an_old_copy_is_not_written(world: World) -> None:
    gateway = put(world, a_gateway())
    await world.settle()
    world.server.put(JUPYTER_GATEWAY, {**gateway, "spec": {"logLevel": "DEBUG"}})
    reconcile = make(world)
    with pytest.raises(Conflict):
        await reconcile(GATEWAY)
    assert "status" not in world.server.get(JUPYTER_GATEWAY, GATEWAY)
    await world.run(reconcile, GATEWAY)
    assert condition(world, "Ready")["reason"] == "Progressing"


async def test_a_new_master_key_is_told_though_the_status_was_decided_on_an_old_copy(
    world: World,
) -> None:
    put(world, a_gateway())
    await world.run(make(world), GATEWAY)
    world.server.remove(SECRET, MASTER_KEY)
    kernel = a_kernel(status={"phase": "Running"})
    world.kernel_index.changed(key_of(kernel), None, kernel)
    await world.settle()
    put(world, world.server.get(JUPYTER_GATEWAY, GATEWAY))
    reconcile = make(world)
    with pytest.raises(Conflict):
        await reconcile(GATEWAY)
    await world.run(reconcile, GATEWAY)
    assert [reason for _, reason in world.events()].count("MasterKeyReplaced") == 1


async def test_an_edited_master_key_rolls_the_gateway(world: World) -> None:
    put(world, a_gateway())
    await world.run(make(world), GATEWAY)
    secret = world.server.get(SECRET, MASTER_KEY)
    edited = base64.b64encode(b"another master key, long enough").decode()
    world.server.put(SECRET, {**secret, "data": {**secret["data"], "key": edited}})
    await world.settle()
    before = world.server.get(DEPLOYMENT, GATEWAY)["spec"]["template"]
    await world.run(make(world), GATEWAY)
    assert world.server.get(DEPLOYMENT, GATEWAY)["spec"]["template"] != before
    assert "MasterKeyReplaced" in [reason for _, reason in world.events()]


async def test_the_status_shows_the_deployments_and_counts_kernels(world: World) -> None:
    put(world, a_gateway())
    await world.run(make(world), GATEWAY)
    numbers = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    deployment = world.server.get(DEPLOYMENT, GATEWAY)
    world.server.put(DEPLOYMENT, {**deployment, "status": {**numbers, "observedGeneration": 1}})
    phases = (
        *("Queued", "Pending", None, "Running", "Failed", "Succeeded"),
        *("Dormant", "Hibernating", "Hibernated"),
    )
    for number, phase in enumerate(phases):
        kernel = a_kernel(f"k{number}", status={"phase": phase} if phase else None)
        world.kernel_index.changed(key_of(kernel), None, kernel)
    await world.run(make(world), GATEWAY)
    assert condition(world, "Ready")["status"] == "True"
    status = world.server.get(JUPYTER_GATEWAY, GATEWAY)["status"]
    assert status.items() >= numbers.items()
    assert status["kernels"] == {"queued": 1, "pending": 2, "running": 2, "asleep": 2, "failed": 2}
    assert not world.server.all(JUPYTER_KERNEL)


async def test_only_a_cluster_role_on_the_list_is_bound(world: World) -> None:
    put(world, a_gateway(clusterRole="spark"))
    await world.run(make(world), GATEWAY)
    assert BOUND not in world.server.all(ROLE_BINDING)
    refused = condition(world, "ClusterRoleBound")
    assert (refused["status"], refused["reason"]) == ("False", "NotAllowed")

    await world.run(make(world, cluster_roles=("spark",)), GATEWAY)
    assert world.server.get(ROLE_BINDING, BOUND)["roleRef"]["name"] == "spark"
    assert condition(world, "ClusterRoleBound")["status"] == "True"

    gateway = world.server.get(JUPYTER_GATEWAY, GATEWAY)
    world.server.put(JUPYTER_GATEWAY, {**gateway, "spec": {}})
    await world.run(make(world, cluster_roles=("spark",)), GATEWAY)
    assert BOUND not in world.server.all(ROLE_BINDING)
    told = world.server.get(JUPYTER_GATEWAY, GATEWAY)["status"]["conditions"]
    assert [one["type"] for one in told] == ["Ready", "Available"]


async def test_one_allowed_cluster_role_takes_the_place_of_another(world: World) -> None:
    reconcile = make(world, cluster_roles=("spark", "view"))
    before = None
    for role in ("spark", "view"):
        put(world, a_gateway(clusterRole=role))
        await world.run(reconcile, GATEWAY)
        bound = world.server.get(ROLE_BINDING, BOUND)
        assert bound["roleRef"]["name"] == role
        assert bound["metadata"]["uid"] != before, "a roleRef cannot change"
        before = bound["metadata"]["uid"]
    put(world, a_gateway(clusterRole="admin"))
    await world.run(reconcile, GATEWAY)
    assert BOUND not in world.server.all(ROLE_BINDING)


async def test_a_cluster_role_that_cannot_be_bound_does_not_stop_the_gateway(world: World) -> None:
    gateway = put(world, a_gateway())
    reconcile = make(world, cluster_roles=("spark",))
    await world.run(reconcile, GATEWAY)
    put(world, {**gateway, "spec": {"clusterRole": "spark", "logLevel": "DEBUG"}})
    await world.settle()
    deployed = world.server.get(DEPLOYMENT, GATEWAY)["spec"]
    forbidden = "attempting to grant RBAC permissions not currently held"
    world.server.fail(403, path=f"/rolebindings/{BOUND.name}", times=-1, message=forbidden)
    assert (await world.run(reconcile, GATEWAY)).requeue_after == BLOCKED_RETRY
    assert condition(world, "Ready")["reason"] == "Progressing"
    assert world.server.get(DEPLOYMENT, GATEWAY)["spec"] != deployed
    bound = condition(world, "ClusterRoleBound")
    assert (bound["status"], bound["reason"]) == ("False", "Forbidden")
    assert forbidden in bound["message"]


async def test_kernels_that_are_missing_are_named_until_they_come(world: World) -> None:
    put(world, a_gateway(kernels=["r", "julia"], defaultKernel="julia"))
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec("r"))
    elsewhere = a_kernel_spec("julia")
    elsewhere["metadata"]["namespace"] = "another"
    world.server.put(JUPYTER_KERNEL_SPEC, elsewhere)
    await world.run(make(world), GATEWAY)
    assert condition(world, "KernelsMissing") == {
        "status": "True",
        "reason": "NotFound",
        "message": "spec.kernels: there is no JupyterKernelSpec julia; "
        "spec.defaultKernel: julia is no JupyterKernelSpec; the default is r",
    }
    world.server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec("julia"))
    await world.run(make(world), GATEWAY)
    told = world.server.get(JUPYTER_GATEWAY, GATEWAY)["status"]["conditions"]
    assert [one["type"] for one in told] == ["Ready", "Available"]


async def test_a_replaced_image_is_told_in_one_event(world: World) -> None:
    put(world, a_gateway(image=ORIGINAL))
    for generation in (1, 2):
        gateway = world.server.get(JUPYTER_GATEWAY, GATEWAY)
        gateway["metadata"]["generation"] = generation
        put(world, gateway)
        await world.run(make(world), GATEWAY)
    told = world.server.get(JUPYTER_GATEWAY, GATEWAY)["status"]["conditions"]
    assert [(one["type"], one["observedGeneration"]) for one in told] == [
        ("Ready", 2),
        ("Available", 2),
        ("ImageReplaced", 2),
    ]
    assert world.events() == [("Warning", "ImageReplaced")]
    spec = world.server.get(DEPLOYMENT, GATEWAY)["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == IMAGES.gateway


@pytest.mark.parametrize("exists", [True, False])
async def test_nothing_is_made_for_a_gateway_that_goes(world: World, exists: bool) -> None:
    if exists:
        gateway = a_gateway()
        gateway["metadata"] |= {"deletionTimestamp": CREATED, "finalizers": ["a/b"]}
        put(world, gateway)
    assert await world.run(make(world), GATEWAY) == DONE
    assert world.server.writes == 0
