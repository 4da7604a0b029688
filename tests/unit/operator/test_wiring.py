import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

import pytest

from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    EVENT,
    JUPYTER_GATEWAY,
    JUPYTER_KERNEL,
    JUPYTER_KERNEL_SPEC,
    JUPYTER_KERNEL_TEMPLATE,
    JUPYTER_NOTEBOOK,
    LEASE,
    NAMESPACE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Key,
    Object,
)
from elastic_jupyter.operator.config import OperatorConfig
from elastic_jupyter.operator.objects import common
from elastic_jupyter.operator.wiring import CHILDREN, Operator
from tests.support.clock import LoopClock
from tests.support.fake_apiserver import FakeApiServer
from tests.support.kernels import (
    CREATED,
    IMAGES,
    RUNNING,
    a_gateway,
    a_kernel,
    a_kernel_spec,
    a_kernel_template,
    a_notebook,
    a_pod_of,
    pod_condition,
    waiting,
)
from tests.support.objects import an_object, until

CONFIG = OperatorConfig(IMAGES, frozenset(), "INFO", "text")
GATEWAY, NOTEBOOK, KERNEL = Key("team", "gw"), Key("team", "nb"), Key("team", "jovyan-1")
WANT = {
    DEPLOYMENT: {"gw", "nb"},
    LEASE: {"gw-gateway"},
    NETWORK_POLICY: {"gw-kernels"},
    PERSISTENT_VOLUME_CLAIM: {"nb-storage"},
    POD: {"jovyan-1"},
    ROLE: {"gw"},
    ROLE_BINDING: {"gw"},
    SECRET: {
        "gw-master-key",
        "gw-notebooks",
        "gw-tombstones",
        "nb-gateway-token",
        "nb-auth",
        "jovyan-1-connection",
    },
    SERVICE: {"gw", "nb"},
    SERVICE_ACCOUNT: {"gw"},
}


@contextlib.asynccontextmanager
async def operator(client: Client) -> AsyncIterator[None]:
    """Run an operator process until the block ends; it dies of nothing else."""
    task = asyncio.create_task(Operator(client, CONFIG, LoopClock()).run())
    try:
        yield
        assert not task.done(), "the operator ended"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def children(server: FakeApiServer) -> dict[object, set[str]]:
    return {kind: {key.name for key in server.all(kind)} for kind in CHILDREN}


def phase(server: FakeApiServer, key: Key = KERNEL) -> str | None:
    status: Object = server.get(JUPYTER_KERNEL, key).get("status") or {}
    return status.get("phase")


def admitted(server: FakeApiServer, key: Key) -> bool:
    pod = server.all(POD).get(key)
    return pod is not None and "schedulingGates" not in pod["spec"]


def change(
    server: FakeApiServer, name: str, *, spec: Object | None = None, **status: object
) -> None:
    """Do what the scheduler and the kubelet do to a pod."""
    pod = server.get(POD, Key("team", name))
    server.put(POD, {**pod, "spec": {**pod["spec"], **(spec or {})}, "status": status})


def told(server: FakeApiServer) -> set[str]:
    """Return the reasons of all Events."""
    return {event["reason"] for event in server.all(EVENT).values()}


async def quiet(server: FakeApiServer) -> None:
    """Wait until nothing was written for three seconds, longer than any pause of the operator's."""
    writes = -1
    while writes != server.writes:
        writes = server.writes
        await asyncio.sleep(3)


def put_team(server: FakeApiServer) -> None:
    """Put a notebook, a kernel and their gateway, the one that all wait for last."""
    notebook = server.put(JUPYTER_NOTEBOOK, a_notebook(storage={"size": "1Gi"}))
    reference = {"namespace": "team", "name": "nb", "uid": notebook["metadata"]["uid"]}
    server.put(JUPYTER_KERNEL, a_kernel(notebookRef=reference))
    server.put(JUPYTER_GATEWAY, a_gateway())


async def test_a_team_gets_its_children_and_a_restart_doubles_nothing(
    server: FakeApiServer, client: Client
) -> None:
    async with operator(client):
        put_team(server)
        await until(lambda: children(server) == WANT)
        await until(lambda: phase(server) == "Pending")
        await quiet(server)
    before = {kind: server.all(kind) for kind in (*CHILDREN, JUPYTER_KERNEL, EVENT)}
    writes = server.writes
    async with operator(client):
        await quiet(server)
        assert server.writes == writes
        assert {kind: server.all(kind) for kind in before} == before
        # And it goes on where the first one was.
        change(server, KERNEL.name, **RUNNING)
        await until(lambda: phase(server) == "Running")
        counts = {"queued": 0, "pending": 0, "running": 1, "asleep": 0, "failed": 0}
        await until(lambda: server.get(JUPYTER_GATEWAY, GATEWAY)["status"]["kernels"] == counts)


@pytest.mark.parametrize("down", [True, False], ids=["while it is down", "while it runs"])
async def test_a_notebook_that_is_deleted_takes_its_kernels_along(
    server: FakeApiServer, client: Client, down: bool
) -> None:
    async with operator(client):
        put_team(server)
        await until(lambda: children(server) == WANT)
        await quiet(server)
        if not down:
            server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
            await until(lambda: not server.all(JUPYTER_KERNEL))
    if down:
        server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
    async with operator(client):
        await until(lambda: not server.all(JUPYTER_KERNEL) and not server.all(POD))
        await until(lambda: Key("team", "jovyan-1-connection") not in server.all(SECRET))


async def test_a_kernel_that_comes_after_its_notebook_went_goes_too(
    server: FakeApiServer, client: Client
) -> None:
    reference = {"namespace": "team", "name": "nb", "uid": "gone"}
    async with operator(client):
        await until(lambda: server.watching)
        server.put(JUPYTER_KERNEL, a_kernel(notebookRef=reference))
        server.put(JUPYTER_KERNEL, a_kernel("by-hand", gatewayRef=None))
        await until(lambda: list(server.all(JUPYTER_KERNEL)) == [Key("team", "by-hand")])


async def test_a_child_that_somebody_deletes_is_made_again(
    server: FakeApiServer, client: Client
) -> None:
    async with operator(client):
        put_team(server)
        await until(lambda: children(server) == WANT)
        await quiet(server)
        for kind in set(CHILDREN) - {POD, SECRET}:
            for key in server.all(kind):
                server.remove(kind, key)
        await until(lambda: children(server) == WANT)


async def test_a_new_master_key_reaches_notebooks_and_ends_kernels_with_the_old_one(
    server: FakeApiServer, client: Client
) -> None:
    token = Key("team", "nb-gateway-token")
    async with operator(client):
        put_team(server)
        await until(lambda: children(server) == WANT)
        await quiet(server)
        before = server.get(SECRET, token)["data"]
        server.remove(SECRET, Key("team", "gw-master-key"))
        await until(lambda: server.get(SECRET, token)["data"] != before)
        await until(lambda: phase(server) == "Failed")
        await until(lambda: {"MasterKeyReplaced", "KeyReplaced"} <= told(server))


async def test_what_keeps_a_server_pod_from_answering_reaches_its_owner(
    server: FakeApiServer, client: Client
) -> None:
    def reasons() -> list[str]:
        owners = (server.get(JUPYTER_GATEWAY, GATEWAY), server.get(JUPYTER_NOTEBOOK, NOTEBOOK))
        return [owner["status"]["conditions"][0]["reason"] for owner in owners]

    async with operator(client):
        put_team(server)
        await until(lambda: children(server) == WANT)
        for app, name in (("jupyter-gateway", "gw"), ("jupyter-notebook", "nb")):
            pod = an_object(f"{name}-1", labels=common.labels(app, name), spec={"containers": []})
            server.put(POD, pod)
            await quiet(server)
            refused = {"name": "main", **waiting("ImagePullBackOff")}
            server.put(POD, {**pod, "status": {"containerStatuses": [refused]}})
        await until(lambda: reasons() == ["ImagePullBackOff", "ImagePullBackOff"])


async def test_an_idle_operator_writes_nothing_also_not_after_a_restart(
    server: FakeApiServer, client: Client
) -> None:
    async with operator(client):
        put_team(server)
        await until(lambda: children(server) == WANT)
        await quiet(server)
    writes = server.writes
    async with operator(client):
        await quiet(server)
    assert server.writes == writes


async def test_labels_of_a_namespace_and_a_gateways_spec_reach_the_notebooks(
    server: FakeApiServer, client: Client
) -> None:
    """A notebook in ``team``, its gateway in ``lab``."""
    selector = {"from": "Selector", "selector": {"matchLabels": {"course": "ml"}}}
    gateway = a_gateway(allowedNamespaces=selector)
    gateway["metadata"]["namespace"] = "lab"
    notebook = a_notebook()
    notebook["spec"]["gateway"]["namespace"] = "lab"
    served = Key("lab", "gw-notebooks")

    def reason() -> str | None:
        status = server.get(JUPYTER_NOTEBOOK, NOTEBOOK).get("status") or {}
        return next((one["reason"] for one in status.get("conditions", ())), None)

    def uids() -> list[str]:
        data = server.get(SECRET, served)["data"]
        return base64.b64decode(data["uids"]).decode().split()

    def allowed() -> list[str | None]:
        (container,) = server.get(DEPLOYMENT, NOTEBOOK)["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        return [env.get("JUPYTER_GATEWAY_ALLOWED_ENVS")]

    async with operator(client):
        server.put(JUPYTER_GATEWAY, gateway)
        uid = server.put(JUPYTER_NOTEBOOK, notebook)["metadata"]["uid"]
        await until(lambda: reason() == "GatewayNotAllowed" and served in server.all(SECRET))
        assert uids() == []
        server.put(NAMESPACE, {"metadata": {"name": "team", "labels": {"course": "ml"}}})
        await until(lambda: reason() == "Progressing" and uids() == [uid])
        gateway["spec"]["allowedEnv"] = ["LANG"]
        server.put(JUPYTER_GATEWAY, gateway)
        await until(lambda: allowed() == ["LANG"])
        server.put(NAMESPACE, {"metadata": {"name": "team"}})
        await until(lambda: reason() == "GatewayNotAllowed" and uids() == [])
        server.put(JUPYTER_GATEWAY, {**gateway, "spec": {}})
        await until(lambda: uids() == [uid])
        server.remove(JUPYTER_NOTEBOOK, NOTEBOOK)
        await until(lambda: uids() == [])


def place(server: FakeApiServer, key: Key) -> int | None:
    """Return the place of a kernel in the queue, None: it is not queued."""
    status = server.get(JUPYTER_KERNEL, key)["status"]
    return status["queue"]["position"] if status.get("phase") == "Queued" else None


async def test_kernels_take_turns_at_a_gpu(server: FakeApiServer, client: Client) -> None:
    server.defaulting = lambda obj: obj["metadata"].setdefault("creationTimestamp", CREATED)
    no_gpu = pod_condition("PodScheduled", "False", "Unschedulable", "no GPU is free")
    one, two = Key("team", "k1"), Key("team", "k2")
    async with operator(client):
        server.put(JUPYTER_GATEWAY, a_gateway())
        for key in (
            one,
            two,
        ):  # first in, first out: which pod was first must not be left to chance
            server.put(JUPYTER_KERNEL, a_kernel(key.name, gpus=1, kernelID=key.name))
            await until(lambda key=key: key in server.all(POD))
        await until(lambda: admitted(server, one))
        change(server, one.name, conditions=[no_gpu])
        want = {"position": 1, "length": 2, "reason": "no GPU is free"}
        await until(lambda: server.get(JUPYTER_KERNEL, one)["status"].get("queue") == want)
        await until(lambda: place(server, two) == 2)
        assert not admitted(server, two)
        change(server, one.name, spec={"nodeName": "n"}, **RUNNING)
        await until(lambda: admitted(server, two))
        await until(lambda: (phase(server, one), phase(server, two)) == ("Running", "Pending"))
        change(server, two.name, conditions=[no_gpu])
        await until(lambda: place(server, two) == 1)


async def test_a_foreign_pod_with_our_label_holds_up_nobody(
    server: FakeApiServer, client: Client
) -> None:
    server.defaulting = lambda obj: obj["metadata"].setdefault("creationTimestamp", CREATED)
    foreign = a_pod_of(a_kernel("foreign", gpus=1), gated=True)
    async with operator(client):
        server.put(JUPYTER_GATEWAY, a_gateway())
        server.put(POD, foreign)
        server.put(JUPYTER_KERNEL, a_kernel(gpus=1))
        await until(lambda: KERNEL in server.all(POD) and admitted(server, KERNEL))
        assert not admitted(server, Key("team", "foreign"))


async def test_a_template_wakes_the_specs_that_name_it(
    server: FakeApiServer, client: Client
) -> None:
    def reasons() -> list[str]:
        specs = server.all(JUPYTER_KERNEL_SPEC).values()
        told = [(spec.get("status") or {}).get("conditions") or [{}] for spec in specs]
        return [conditions[0].get("reason") for conditions in told]

    async with operator(client):
        server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec("a", template={"name": "template"}))
        server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec("b"))
        await until(lambda: reasons() == ["TemplateNotFound", "Accepted"])
        server.put(JUPYTER_KERNEL_TEMPLATE, a_kernel_template())
        await until(lambda: reasons() == ["Accepted", "Accepted"])


async def test_a_kernel_spec_wakes_the_gateways_that_miss_it(
    server: FakeApiServer, client: Client
) -> None:
    def missing() -> bool:
        conditions = (server.get(JUPYTER_GATEWAY, GATEWAY).get("status") or {}).get("conditions")
        return conditions is not None and "KernelsMissing" in [one["type"] for one in conditions]

    async with operator(client):
        server.put(JUPYTER_GATEWAY, a_gateway(kernels=["a"]))
        await until(missing)
        server.put(JUPYTER_KERNEL_SPEC, a_kernel_spec("a"))
        await until(lambda: not missing())
        server.remove(JUPYTER_KERNEL_SPEC, Key("team", "a"))
        await until(missing)
