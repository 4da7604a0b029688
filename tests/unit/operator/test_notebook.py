import base64

import pytest

from elastic_jupyter.errors import Conflict
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    JUPYTER_GATEWAY,
    JUPYTER_KERNEL,
    JUPYTER_NOTEBOOK,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    Key,
    Kind,
    Object,
)
from elastic_jupyter.operator.children import BLOCKED_RETRY
from elastic_jupyter.operator.notebook import NotebookReconciler
from elastic_jupyter.policy import tokens
from elastic_jupyter.policy.tokens import NotebookIdentity
from elastic_jupyter.runtime.controller import DONE
from elastic_jupyter.store.kernels import KubernetesKernelStore
from tests.support.kernels import (
    CREATED,
    IMAGES,
    MASTER_KEY,
    a_gateway,
    a_kernel,
    a_master_key,
    a_notebook,
)
from tests.unit.operator.world import Pass, World, crash_after_each_write

NOTEBOOK, TOKEN, LOGIN = (Key("team", name) for name in ("nb", "nb-gateway-token", "nb-auth"))
CHILDREN = [(DEPLOYMENT, NOTEBOOK), (SECRET, LOGIN), (SECRET, TOKEN), (SERVICE, NOTEBOOK)]
ADA = {"spec": {"containers": [{"env": [{"name": "KERNEL_USERNAME", "value": "ada"}]}]}}


def make(world: World, *, notebooks: dict[Key, Object] | None = None) -> Pass[Key]:
    """Return a reconciler without memory; ``notebooks`` None: the cache that follows the server."""
    return NotebookReconciler(
        client=world.client,
        store=KubernetesKernelStore(world.client),
        notebooks=world.cache(JUPYTER_NOTEBOOK) if notebooks is None else notebooks,
        gateways=world.cache(JUPYTER_GATEWAY),
        secrets=world.cache(SECRET),
        pods=world.cache(POD),
        kernels=world.kernel_index,
        admission=world.admission(),
        children=world.children(),
        reporter=world.reporter(),
        images=IMAGES,
    ).reconcile


def put(world: World, notebook: Object) -> Object:
    """Put a notebook and its gateway with its key into the world; return it as stored."""
    world.server.put(JUPYTER_GATEWAY, a_gateway())
    world.server.put(SECRET, a_master_key(a_gateway()))
    return world.server.put(JUPYTER_NOTEBOOK, notebook)


def change(world: World, **spec: object) -> None:
    notebook = world.server.get(JUPYTER_NOTEBOOK, NOTEBOOK)
    world.server.put(JUPYTER_NOTEBOOK, {**notebook, "spec": spec})


def children_of(world: World) -> list[tuple[Kind, Key]]:
    return [
        (kind, key)
        for kind in (DEPLOYMENT, SECRET, SERVICE)
        for key in sorted(world.server.all(kind))
        if key.name != "gw-master-key"
    ]


def value(world: World, key: Key, name: str) -> str:
    return base64.b64decode(world.server.get(SECRET, key)["data"][name]).decode()


def ready(world: World) -> Object:
    return world.condition(JUPYTER_NOTEBOOK, NOTEBOOK, "Ready")


async def test_a_notebook_waits_for_its_gateway_and_then_gets_its_children(world: World) -> None:
    notebook = world.server.put(JUPYTER_NOTEBOOK, a_notebook(template=ADA))
    reconcile = make(world)
    assert await world.run(reconcile, NOTEBOOK) == DONE
    assert children_of(world) == []
    assert (ready(world)["status"], ready(world)["reason"]) == ("False", "GatewayNotFound")
    assert "JupyterGateway team/gw" in ready(world)["message"]

    world.server.put(JUPYTER_GATEWAY, a_gateway())
    world.server.put(SECRET, a_master_key(a_gateway()))
    assert await world.run(reconcile, NOTEBOOK) == DONE
    assert children_of(world) == CHILDREN
    uid = notebook["metadata"]["uid"]
    assert tokens.verify(MASTER_KEY, value(world, TOKEN, "token")) == NotebookIdentity(
        "team", "nb", uid, "ada"
    )
    for kind, key in CHILDREN:
        (owner,) = world.server.get(kind, key)["metadata"]["ownerReferences"]
        assert owner["uid"] == uid
    status = world.server.get(JUPYTER_NOTEBOOK, NOTEBOOK)["status"]
    assert status["url"] == "http://nb.team:8888"
    assert ready(world)["reason"] == "Progressing"


async def test_a_process_that_dies_after_any_write_is_carried_on() -> None:
    def prepare(world: World) -> Key:
        put(world, a_notebook(storage={"size": "2Gi"}))
        return NOTEBOOK

    def picture(world: World) -> object:
        # Token and login are others in each world, and the Deployment carries a word made of them.
        kept = (SERVICE, PERSISTENT_VOLUME_CLAIM, JUPYTER_NOTEBOOK)
        return children_of(world), world.picture(*kept)

    assert await crash_after_each_write(prepare, make, picture) == len(CHILDREN) + 2


async def test_a_login_that_was_made_stays(world: World) -> None:
    put(world, a_notebook())
    await world.run(make(world), NOTEBOOK)
    before = world.server.get(SECRET, LOGIN)["data"]
    world.server.remove(SERVICE, NOTEBOOK)
    await world.run(make(world), NOTEBOOK)
    assert world.server.get(SECRET, LOGIN)["data"] == before
    assert NOTEBOOK in world.server.all(SERVICE)


async def test_a_new_login_rolls_the_pod(world: World) -> None:
    put(world, a_notebook())
    await world.run(make(world), NOTEBOOK)
    before = world.server.get(DEPLOYMENT, NOTEBOOK)["spec"]["template"]["metadata"]
    change(world, gateway={"name": "gw"}, auth={"token": "mine"})
    await world.run(make(world), NOTEBOOK)
    assert value(world, LOGIN, "token") == "mine"
    after = world.server.get(DEPLOYMENT, NOTEBOOK)["spec"]["template"]["metadata"]
    assert after["annotations"] != before["annotations"]
    assert after["labels"] == before["labels"]


async def test_secrets_that_are_not_needed_any_more_go(world: World) -> None:
    put(world, a_notebook())
    await world.run(make(world), NOTEBOOK)
    change(world, template=ADA)
    await world.run(make(world), NOTEBOOK)
    assert children_of(world) == [child for child in CHILDREN if child[1] != TOKEN]


async def test_without_a_login_none_is_kept(world: World) -> None:
    put(world, a_notebook())
    await world.run(make(world), NOTEBOOK)
    assert "token" in world.server.get(SECRET, LOGIN)["data"]
    change(world, gateway={"name": "gw"}, auth={"mode": "disable"})
    await world.run(make(world), NOTEBOOK)
    assert "token" not in world.server.get(SECRET, LOGIN)["data"]


async def test_a_login_from_a_secret_of_the_user(world: World) -> None:
    put(world, a_notebook(auth={"secretRef": {"name": "mine"}}))
    assert (await world.run(make(world), NOTEBOOK)).requeue_after
    assert (ready(world)["reason"], "mine" in ready(world)["message"]) == ("SecretNotFound", True)
    empty = {"metadata": {"name": "mine", "namespace": "team"}, "data": {}}
    world.server.put(SECRET, empty)
    await world.run(make(world), NOTEBOOK)
    assert ready(world)["reason"] == "Invalid"
    for token in ("open-sesame", "changed"):
        encoded = base64.b64encode(f"{token}\n".encode()).decode()
        world.server.put(SECRET, {**empty, "data": {"token": encoded}})
        # It is read again after a while: nothing tells of a change.
        assert (await world.run(make(world), NOTEBOOK)).requeue_after
        assert value(world, LOGIN, "token") == token


async def test_a_token_that_is_no_text_is_refused_unread(world: World) -> None:
    # Replaced characters would make one token of many.
    put(world, a_notebook(auth={"secretRef": {"name": "mine"}}))
    encoded = base64.b64encode(b"\xff\xfe-hidden").decode()
    metadata = {"name": "mine", "namespace": "team"}
    world.server.put(SECRET, {"metadata": metadata, "data": {"token": encoded}})
    await world.run(make(world), NOTEBOOK)
    told = ready(world)
    assert (told["reason"], "key token of Secret mine" in told["message"]) == ("Invalid", True)
    assert "hidden" not in told["message"]
    assert LOGIN not in world.server.all(SECRET)


# -- the files


CLAIM = Key("team", "nb-storage")


def said_of_storage(world: World) -> tuple[str, str] | None:
    """Return reason and message of the condition StorageApplied, if it is said."""
    conditions = world.server.get(JUPYTER_NOTEBOOK, NOTEBOOK)["status"]["conditions"]
    for one in conditions:
        if one["type"] == "StorageApplied":
            return one["reason"], one["message"]
    return None


def size(world: World) -> str:
    claim = world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM)
    asked: str = claim["spec"]["resources"]["requests"]["storage"]
    return asked


async def with_a_claim(world: World) -> Object:
    """Let the operator make a claim of 2Gi; return it."""
    put(world, a_notebook(storage={"size": "2Gi"}))
    await world.run(make(world), NOTEBOOK)
    return world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM)


async def test_a_claim_for_the_files_stays_when_storage_is_given_up(world: World) -> None:
    made = await with_a_claim(world)
    change(world, gateway={"name": "gw"})
    await world.run(make(world), NOTEBOOK)
    assert world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM) == made


async def test_what_others_write_into_a_claim_stays(world: World) -> None:
    made = await with_a_claim(world)
    spec = {**made["spec"], "volumeName": "pv-1", "storageClassName": "standard"}
    spec["resources"] = {"requests": {"storage": "2Gi"}, "limits": {"storage": "9Gi"}}
    changed = world.server.put(PERSISTENT_VOLUME_CLAIM, {**made, "spec": spec})
    await world.run(make(world), NOTEBOOK)
    assert world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM) == changed

    change(world, gateway={"name": "gw"}, storage={"size": "3Gi"})
    await world.run(make(world), NOTEBOOK)
    spec["resources"]["requests"]["storage"] = "3Gi"
    assert world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM)["spec"] == spec
    assert said_of_storage(world) is None


async def test_a_claim_never_shrinks_and_that_is_told(world: World) -> None:
    made = await with_a_claim(world)
    change(world, gateway={"name": "gw"}, storage={"size": "1Gi"})
    await world.run(make(world), NOTEBOOK)
    assert world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM) == made
    reason, text = said_of_storage(world) or ("", "")
    assert reason == "CannotChange"
    for word in ("spec.storage.size 1Gi", "2Gi", "PersistentVolumeClaim team/nb-storage"):
        assert word in text
    assert ready(world)["reason"] == "Progressing", "the server is kept as the spec says"

    change(world, gateway={"name": "gw"}, storage={"size": "2Gi"})
    assert await world.run(make(world), NOTEBOOK) == DONE
    assert said_of_storage(world) is None


@pytest.mark.parametrize(("status", "reason"), [(403, "Forbidden"), (422, "Invalid")])
async def test_a_claim_that_may_not_grow_keeps_nothing_else_up(
    world: World, status: int, reason: str
) -> None:
    await with_a_claim(world)
    change(world, gateway={"name": "gw"}, storage={"size": "3Gi"}, service={"type": "NodePort"})
    await world.settle()
    world.server.fail(status, verb="patch", path=CLAIM.name, message="the class does not permit it")
    assert (await make(world)(NOTEBOOK)).requeue_after == BLOCKED_RETRY
    assert world.server.get(SERVICE, NOTEBOOK)["spec"]["type"] == "NodePort"
    told, text = said_of_storage(world) or ("", "")
    assert told == reason
    assert text.startswith("spec.storage.size: PersistentVolumeClaim team/nb-storage stays at 2Gi")
    assert "the class does not permit it" in text
    await world.run(make(world), NOTEBOOK)  # the class permits it now
    assert (size(world), said_of_storage(world)) == ("3Gi", None)


async def test_a_claim_that_grew_further_meanwhile_is_not_made_smaller(world: World) -> None:
    made = await with_a_claim(world)
    change(world, gateway={"name": "gw"}, storage={"size": "3Gi"})
    await world.settle()
    reconcile = make(world)
    made["spec"]["resources"]["requests"]["storage"] = "9Gi"
    world.server.put(PERSISTENT_VOLUME_CLAIM, made)
    with pytest.raises(Conflict):  # the cache does not have it yet
        await reconcile(NOTEBOOK)
    await world.run(reconcile, NOTEBOOK)
    assert size(world) == "9Gi"


async def test_a_claim_that_was_not_made_for_the_notebook_is_not_taken(world: World) -> None:
    theirs = {"metadata": {"name": CLAIM.name, "namespace": "team"}, "spec": {"volumeName": "pv"}}
    before = world.server.put(PERSISTENT_VOLUME_CLAIM, theirs)
    put(world, a_notebook(storage={"size": "2Gi"}))
    assert (await world.run(make(world), NOTEBOOK)).requeue_after == BLOCKED_RETRY
    assert world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM) == before
    assert (ready(world)["status"], ready(world)["reason"]) == ("False", "AlreadyExists")
    assert "PersistentVolumeClaim team/nb-storage exists already" in ready(world)["message"]
    assert DEPLOYMENT not in [kind for kind, _ in children_of(world)]

    change(world, gateway={"name": "gw"}, storage={"claimName": CLAIM.name})
    await world.run(make(world), NOTEBOOK)
    assert world.server.get(PERSISTENT_VOLUME_CLAIM, CLAIM) == before
    assert children_of(world) == CHILDREN


async def test_a_template_with_a_mount_in_the_place_of_the_files_is_told(world: World) -> None:
    mounts = [{"name": "own", "mountPath": "/home/jovyan"}]
    template = {"spec": {"containers": [{"volumeMounts": mounts}]}}
    put(world, a_notebook(storage={"size": "2Gi"}, template=template))
    await world.run(make(world), NOTEBOOK)
    assert ready(world)["reason"] == "Invalid"
    field = "spec.template.spec.containers[0].volumeMounts[0].mountPath: /home/jovyan"
    assert ready(world)["message"].startswith(field)


async def test_a_gateway_elsewhere_cannot_share_the_files(world: World) -> None:
    notebook = a_notebook(storage={"size": "1Gi"})
    notebook["spec"]["gateway"]["namespace"] = "other"
    master_key = a_master_key(a_gateway())
    master_key["metadata"]["namespace"] = "other"
    world.server.put(SECRET, master_key)
    put(world, notebook)
    await world.run(make(world), NOTEBOOK)
    told = world.condition(JUPYTER_NOTEBOOK, NOTEBOOK, "StorageShared")
    assert (told["status"], told["reason"]) == ("False", "GatewayElsewhere")


async def test_a_server_that_runs_stays_when_its_gateway_goes(world: World) -> None:
    put(world, a_notebook())
    await world.run(make(world), NOTEBOOK)
    deployment = world.server.get(DEPLOYMENT, NOTEBOOK)
    world.server.put(DEPLOYMENT, {**deployment, "status": {"readyReplicas": 1}})
    world.server.remove(SECRET, Key("team", "gw-master-key"))
    await world.run(make(world), NOTEBOOK)
    assert children_of(world) == CHILDREN
    assert ready(world)["reason"] == "GatewayNotFound"
    assert world.server.get(JUPYTER_NOTEBOOK, NOTEBOOK)["status"]["readyReplicas"] == 1


async def test_no_token_is_minted_with_a_master_key_that_can_be_guessed(world: World) -> None:
    put(world, a_notebook())
    world.server.put(SECRET, a_master_key(a_gateway(), key=b"short"))
    await world.run(make(world), NOTEBOOK)
    assert ready(world)["reason"] == "GatewayNotFound"
    assert "no master key to be used" in ready(world)["message"]
    assert children_of(world) == []


@pytest.mark.parametrize(("kind", "key"), CHILDREN, ids=[f"{k} {n}" for k, n in CHILDREN])
async def test_a_foreign_object_of_a_childs_name_is_told_and_left_alone(
    world: World, kind: Kind, key: Key
) -> None:
    foreign = {"metadata": {"name": key.name, "namespace": "team"}, "data": {"token": "eA=="}}
    before = world.server.put(kind, foreign)
    put(world, a_notebook())
    assert (await world.run(make(world), NOTEBOOK)).requeue_after == BLOCKED_RETRY
    assert world.server.get(kind, key) == before
    assert (ready(world)["status"], ready(world)["reason"]) == ("False", "AlreadyExists")
    assert f"{kind} {key}" in ready(world)["message"]


@pytest.mark.parametrize(("status", "reason"), [(403, "Forbidden"), (422, "Invalid")])
async def test_what_the_server_refuses_is_told(world: World, status: int, reason: str) -> None:
    put(world, a_notebook())
    await world.settle()
    world.server.fail(status, verb="patch", message="not here")
    assert (await make(world)(NOTEBOOK)).requeue_after == BLOCKED_RETRY
    assert ready(world)["reason"] == reason
    assert "not here" in ready(world)["message"]


async def test_a_template_without_the_shape_of_a_pod_is_told(world: World) -> None:
    put(world, a_notebook(template={"spec": {"containers": "nb"}}))
    await world.run(make(world), NOTEBOOK)
    assert ready(world)["reason"] == "Invalid"
    assert ready(world)["message"].startswith("spec.template.spec.containers must be a list")


# -- whom a gateway serves, and what it lets pass


def elsewhere(world: World, **gateway: object) -> None:
    """Put a notebook of namespace ``team`` that names a gateway of namespace ``lab``."""
    made = a_gateway(**gateway)
    made["metadata"]["namespace"] = "lab"
    world.server.put(JUPYTER_GATEWAY, made)
    world.server.put(SECRET, a_master_key(made))
    notebook = a_notebook()
    notebook["spec"]["gateway"]["namespace"] = "lab"
    world.server.put(JUPYTER_NOTEBOOK, notebook)


async def test_a_gateway_that_says_nothing_serves_notebooks_of_any_namespace(world: World) -> None:
    elsewhere(world)
    await world.run(make(world), NOTEBOOK)
    assert children_of(world) == CHILDREN


async def test_a_notebook_that_its_gateway_does_not_serve_is_told_what_to_do(world: World) -> None:
    elsewhere(world, allowedNamespaces={"from": "Same"})
    assert await world.run(make(world), NOTEBOOK) == DONE
    assert children_of(world) == []
    assert (ready(world)["status"], ready(world)["reason"]) == ("False", "GatewayNotAllowed")
    for word in ("JupyterGateway lab/gw", "namespace team", "spec.allowedNamespaces"):
        assert word in ready(world)["message"]


async def test_a_namespace_is_let_in_by_its_labels(world: World) -> None:
    selector = {"matchLabels": {"course": "ml"}}
    elsewhere(world, allowedNamespaces={"from": "Selector", "selector": selector})
    await world.run(make(world), NOTEBOOK)
    assert ready(world)["reason"] == "GatewayNotAllowed"
    world.server.put(NAMESPACE, {"metadata": {"name": "team", "labels": {"course": "ml"}}})
    await world.run(make(world), NOTEBOOK)
    assert children_of(world) == CHILDREN


async def test_the_server_hands_on_the_variables_that_its_gateway_lets_pass(world: World) -> None:
    def passed() -> list[str]:
        (container,) = world.server.get(DEPLOYMENT, NOTEBOOK)["spec"]["template"]["spec"][
            "containers"
        ]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        return [env[name] for name in env if name == "JUPYTER_GATEWAY_ALLOWED_ENVS"]

    put(world, a_notebook())
    await world.run(make(world), NOTEBOOK)
    assert passed() == []
    world.server.put(JUPYTER_GATEWAY, a_gateway(allowedEnv=["HF_HOME", "LANG"]))
    await world.run(make(world), NOTEBOOK)
    assert passed() == ["HF_HOME,LANG"]


# -- the kernels of notebooks that are gone


def put_kernel(world: World, name: str, *, uid: str, notebook: str = "nb") -> None:
    reference = {"namespace": "team", "name": notebook, "uid": uid}
    world.server.put(JUPYTER_KERNEL, a_kernel(name, notebookRef=reference))


def kernels(world: World) -> list[str]:
    return [key.name for key in world.server.all(JUPYTER_KERNEL)]


def put_kernels(world: World) -> str:
    """Put a notebook, two kernels of it, and some of others; return the notebook's uid."""
    uid: str = put(world, a_notebook())["metadata"]["uid"]
    for name in ("one", "two"):
        put_kernel(world, name, uid=uid)
    put_kernel(world, "of-another", uid="other", notebook="nb2")
    world.server.put(JUPYTER_KERNEL, a_kernel("by-hand"))
    return uid


async def test_the_kernels_of_a_deleted_notebook_go_and_no_others(world: World) -> None:
    put_kernels(world)
    await world.run(make(world), NOTEBOOK)
    assert kernels(world) == ["one", "two", "of-another", "by-hand"]
    world.server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
    assert await world.run(make(world), NOTEBOOK) == DONE
    assert kernels(world) == ["of-another", "by-hand"]
    assert world.events() == [("Normal", "NotebookGone")] * 2


async def test_kernels_go_with_a_notebook_that_is_being_deleted(world: World) -> None:
    put_kernels(world)
    notebook = world.server.get(JUPYTER_NOTEBOOK, NOTEBOOK)
    notebook["metadata"] |= {"deletionTimestamp": CREATED, "finalizers": ["a/b"]}
    world.server.put(JUPYTER_NOTEBOOK, notebook)
    await world.run(make(world), NOTEBOOK)
    assert kernels(world) == ["of-another", "by-hand"]
    assert children_of(world) == []


async def test_a_notebook_of_the_same_name_keeps_its_own_kernels_only(world: World) -> None:
    put_kernels(world)
    world.server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
    uid = put(world, a_notebook())["metadata"]["uid"]
    put_kernel(world, "new", uid=uid)
    await world.run(make(world), NOTEBOOK)
    assert kernels(world) == ["of-another", "by-hand", "new"]


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "Forbidden"), (503, "Unavailable"), (422, "Invalid")]
)
async def test_kernels_that_cannot_be_deleted_keep_no_notebook_up_and_are_told(
    world: World, status: int, reason: str
) -> None:
    put_kernels(world)
    world.server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
    put(world, a_notebook())
    await world.settle()
    world.server.fail(status, verb="delete", message="a webhook says no", times=100)
    result = await world.run(make(world), NOTEBOOK)
    assert result.requeue_after == BLOCKED_RETRY
    assert children_of(world) == CHILDREN
    said = world.condition(JUPYTER_NOTEBOOK, NOTEBOOK, "EarlierKernelsDeleted")
    assert (said["status"], said["reason"]) == ("False", reason)
    assert "a webhook says no" in said["message"]
    world.server.recover()
    await world.run(make(world), NOTEBOOK)
    assert kernels(world) == ["of-another", "by-hand"]
    conditions = world.server.get(JUPYTER_NOTEBOOK, NOTEBOOK)["status"]["conditions"]
    assert [one["type"] for one in conditions] == ["Ready", "Available"]


async def test_kernels_of_a_notebook_that_the_cache_does_not_know_yet_stay(world: World) -> None:
    put_kernels(world)
    await world.settle()
    await make(world, notebooks={})(NOTEBOOK)
    assert kernels(world) == ["one", "two", "of-another", "by-hand"]


async def test_a_process_that_dies_while_it_deletes_kernels_is_carried_on() -> None:
    def prepare(world: World) -> Key:
        put_kernels(world)
        world.server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
        return NOTEBOOK

    assert await crash_after_each_write(prepare, make, kernels) == 4
