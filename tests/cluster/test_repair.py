"""What people do to the children by hand: scaled and restarted is respected, deleted is mended."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from tests.support import manifests
from tests.support.cluster import events_of, is_observed
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.rollout import OPERATOR, SYSTEM, operator_pod
from tests.support.team import GATEWAY, NOTEBOOK, Object, Team, kernel_name, served

pytestmark = pytest.mark.long

BACK_WITHIN = 60.0
ROLLED_OUT_WITHIN = 120.0
OWNERS = {
    "JupyterGateway": ("jupytergateways", GATEWAY),
    "JupyterNotebook": ("jupyternotebooks", NOTEBOOK),
}
#: Without these a gateway or notebook serves on, and gets them back.
PASSIVE = [
    ("services", GATEWAY),
    ("roles", GATEWAY),
    ("rolebindings", GATEWAY),
    ("networkpolicies", f"{GATEWAY}-kernels"),
    ("leases", f"{GATEWAY}-gateway"),
    ("secrets", f"{GATEWAY}-tombstones"),
    ("secrets", f"{GATEWAY}-notebooks"),
    ("secrets", f"{NOTEBOOK}-gateway-token"),
    ("secrets", f"{NOTEBOOK}-auth"),
    ("services", NOTEBOOK),
]
#: Pods end with these, or do not work any more.
VITAL = [("serviceaccounts", GATEWAY), ("deployments", GATEWAY), ("deployments", NOTEBOOK)]
CHILDREN = [*PASSIVE, *VITAL]


def condition(team: Team, kind: str, type_: str) -> Object:
    """Return what the team's gateway or notebook says of its present spec."""
    owner = team.cluster.get(team.namespace, *OWNERS[kind])
    said = owner["status"]["conditions"] if owner and is_observed(owner) else []
    found: Object = {one["type"]: one for one in said}.get(type_, {})
    return found


def is_said(team: Team, kind: str, type_: str, status: str, reason: str) -> Object:
    """Wait until a condition says this, and return it."""
    return eventually(
        lambda: condition(team, kind, type_),
        lambda seen: (seen.get("status"), seen.get("reason")) == (status, reason),
        within=ROLLED_OUT_WITHIN,
        what=f"{kind} {type_} {status} {reason}",
    )


@pytest.fixture
def kept(team: Team) -> Iterator[Tab]:
    """A notebook with a variable in its kernel, which goes also when its server was replaced."""
    with served(team.cluster, team.namespace) as server, server.notebook() as tab:
        tab.run("kept = 'kept'", within=60)
        team.runs(tab)
        yield tab
        team.cluster.delete(team.namespace, "jupyterkernels", kernel_name(tab))


def pods_of(team: Team, app: str, instance: str) -> set[str]:
    return team.cluster.names(team.namespace, "pods", name=app, instance=instance)


def versions(team: Team) -> dict[str, str]:
    """Return the versions of all that the operator makes and reports on, kernels left out."""
    found = {}
    for plural in (*dict(CHILDREN), "jupytergateways", "jupyternotebooks"):
        for obj in team.cluster.list(team.namespace, plural):
            name = obj["metadata"]["name"]
            if name.startswith((GATEWAY, NOTEBOOK)):
                found[f"{plural}/{name}"] = obj["metadata"]["resourceVersion"]
    return found


@pytest.mark.alone
def test_an_operator_that_starts_again_changes_nothing(team: Team) -> None:
    for kind in OWNERS:
        is_said(team, kind, "Ready", "True", "Available")
    before = versions(team)
    assert {f"{plural}/{name}" for plural, name in CHILDREN} <= set(before)
    team.cluster.kubectl("rollout", "restart", "-n", SYSTEM, f"deploy/{OPERATOR}")
    operator_pod(team.cluster)
    # Once it reports on a new object it has looked at all that was there before.
    marker = manifests.gateway("marker")
    team.cluster.apply(team.namespace, marker)
    eventually(
        lambda: (team.cluster.get(team.namespace, "jupytergateways", "marker") or {}).get("status"),
        bool,
        within=60,
        what="the operator's status of a new gateway",
    )
    team.cluster.delete(team.namespace, "jupytergateways", "marker")
    assert versions(team) == before


def test_a_notebook_that_is_scaled_down_stays_down_and_comes_back(team: Team, kept: Tab) -> None:
    scale = ("scale", "-n", team.namespace, f"deploy/{NOTEBOOK}")
    pod = team.pod(kept)
    team.cluster.kubectl(*scale, "--replicas", "0")
    down = is_said(team, "JupyterNotebook", "Ready", "False", "ScaledDown")
    assert f"kubectl scale deployment {NOTEBOOK} --replicas 1" in down["message"]
    # An edit meanwhile does not start it either.
    label: Object = {"metadata": {"labels": {"edited": "yes"}}}
    team.edit("jupyternotebooks", NOTEBOOK, template=label)
    eventually(
        lambda: (team.cluster.get(team.namespace, "deployments", NOTEBOOK) or {})["spec"],
        lambda spec: "edited" in spec["template"]["metadata"]["labels"],
        within=BACK_WITHIN,
        what="the edit in the Deployment",
    )
    is_said(team, "JupyterNotebook", "Ready", "False", "ScaledDown")
    eventually(
        lambda: pods_of(team, "jupyter-notebook", NOTEBOOK),
        lambda names: not names,
        within=60,
        what="the end of the notebook's pod",
    )
    team.cluster.kubectl(*scale, "--replicas", "1")
    is_said(team, "JupyterNotebook", "Ready", "True", "Available")
    reopened_has_its_variables(team, kept, pod)
    team.edit("jupyternotebooks", NOTEBOOK, template=None)
    team.notebook_pod()


def reopened_has_its_variables(team: Team, tab: Tab, pod: Object | None) -> None:
    """A new notebook server lists the kernel, and a websocket through it finds the variables."""
    with served(team.cluster, team.namespace) as server:
        assert tab.kernel_id in server.kernel_ids()
        again = Tab(server, tab.session)
        assert again.run("kept").result == "'kept'"
        again.close()
    assert_same(pod, team.pod(tab))


def assert_same(before: Object | None, after: Object | None) -> None:
    """Assert that a pod is still the one that it was."""
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_gateway_that_is_scaled_down_keeps_its_kernels_and_comes_back(
    team: Team, kept: Tab
) -> None:
    scale = ("scale", "-n", team.namespace, f"deploy/{GATEWAY}")
    pod = team.pod(kept)
    team.cluster.kubectl(*scale, "--replicas", "0")
    down = is_said(team, "JupyterGateway", "Ready", "False", "ScaledDown")
    assert "idle ones keep their GPU" in down["message"]
    eventually(
        lambda: pods_of(team, "jupyter-gateway", GATEWAY),
        lambda names: not names,
        within=90,
        what="the end of the gateway's pod",
    )
    cell = kept.start("kept")
    team.cluster.kubectl(*scale, "--replicas", "1")
    is_said(team, "JupyterGateway", "Ready", "True", "Available")
    assert cell.wait(within=60).result == "'kept'"
    assert_same(pod, team.pod(kept))


def test_more_than_one_pod_is_told_to_be_one_too_many(team: Team) -> None:
    scale = ("scale", "-n", team.namespace, f"deploy/{GATEWAY}")
    team.cluster.kubectl(*scale, "--replicas", "2")
    is_said(team, "JupyterGateway", "Ready", "False", "TooManyReplicas")
    team.cluster.kubectl(*scale, "--replicas", "1")
    is_said(team, "JupyterGateway", "Ready", "True", "Available")


def test_a_restarted_rollout_is_done_once_and_kept(team: Team, kept: Tab) -> None:
    pod = team.pod(kept)
    for name in (GATEWAY, NOTEBOOK):
        target = ("-n", team.namespace, f"deploy/{name}")
        team.cluster.kubectl("rollout", "restart", *target)
        team.cluster.kubectl("rollout", "status", *target, "--timeout=120s", within=130)
    for kind in OWNERS:
        is_said(team, kind, "Ready", "True", "Available")
    for name in (GATEWAY, NOTEBOOK):
        deployment = team.cluster.get(team.namespace, "deployments", name) or {}
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        assert "kubectl.kubernetes.io/restartedAt" in annotations
    reopened_has_its_variables(team, kept, pod)


def deleted_comes_back(team: Team, plural: str, name: str) -> None:
    before = team.cluster.get(team.namespace, plural, name)
    assert before is not None, f"{plural}/{name}"
    team.cluster.delete(team.namespace, plural, name)
    eventually(
        lambda: (team.cluster.get(team.namespace, plural, name) or before)["metadata"]["uid"],
        lambda uid: uid != before["metadata"]["uid"],
        within=BACK_WITHIN,
        what=f"a new one of {plural}/{name}",
    )


@contextlib.contextmanager
def replaced(*pods: Callable[[], Object]) -> Iterator[None]:
    """Wait until what the block does has replaced these pods; each is the one that is Ready."""
    before = [pod()["metadata"]["uid"] for pod in pods]
    yield
    for pod, uid in zip(pods, before, strict=True):
        eventually(
            lambda pod=pod: pod()["metadata"]["uid"],
            lambda now, uid=uid: now != uid,
            within=ROLLED_OUT_WITHIN,
            what=f"the pod after {uid}",
        )


def test_deleted_children_come_back_and_all_goes_on(team: Team, kept: Tab) -> None:
    pod, gateway = team.pod(kept), team.gateway_pod()["metadata"]["uid"]
    # A login that was lost is a new one, with which the server starts again.
    with replaced(team.notebook_pod):
        for plural, name in PASSIVE:
            deleted_comes_back(team, plural, name)
    is_said(team, "JupyterNotebook", "Ready", "True", "Available")
    assert team.gateway_pod()["metadata"]["uid"] == gateway
    with served(team.cluster, team.namespace) as server, server.notebook() as tab:
        assert tab.run("1 + 1", within=60).result == "2"
    reopened_has_its_variables(team, kept, pod)


@pytest.mark.parametrize(("plural", "name"), VITAL, ids=[" ".join(child) for child in VITAL])
def test_deleted_children_that_pods_hang_on_come_back_with_new_pods(
    team: Team, kept: Tab, plural: str, name: str
) -> None:
    pod = team.pod(kept)
    with replaced(team.gateway_pod if name == GATEWAY else team.notebook_pod):
        deleted_comes_back(team, plural, name)
    for kind in OWNERS:
        is_said(team, kind, "Ready", "True", "Available")
    with served(team.cluster, team.namespace) as server, server.notebook() as tab:
        assert tab.run("1 + 1", within=60).result == "2"
    reopened_has_its_variables(team, kept, pod)


def test_a_deleted_connection_secret_comes_back_as_it_was(team: Team, kept: Tab) -> None:
    name = f"{kernel_name(kept)}-connection"
    before = team.cluster.get(team.namespace, "secrets", name) or {}
    deleted_comes_back(team, "secrets", name)
    after = team.cluster.get(team.namespace, "secrets", name) or {}
    assert after["data"] == before["data"]
    assert kept.run("kept").result == "'kept'"


def test_a_deleted_master_key_ends_the_kernels_that_had_it_and_says_so(
    team: Team, kept: Tab
) -> None:
    with replaced(team.gateway_pod, team.notebook_pod):
        deleted_comes_back(team, "secrets", f"{GATEWAY}-master-key")
        kernel = eventually(
            lambda: team.kernel(kept) or {},
            lambda kernel: (kernel.get("status") or {}).get("phase") == "Failed",
            within=BACK_WITHIN,
            what="the end of the kernel with the old key",
        )
    assert "KeyReplaced" in [one["reason"] for one in kernel["status"]["conditions"]]
    gateway = team.cluster.get(team.namespace, "jupytergateways", GATEWAY)
    assert gateway is not None
    eventually(
        lambda: [event["reason"] for event in events_of(team.cluster, gateway)],
        lambda reasons: "MasterKeyReplaced" in reasons,
        within=20,
        what="the Event",
    )
    for kind in OWNERS:
        is_said(team, kind, "Ready", "True", "Available")
    with served(team.cluster, team.namespace) as server, server.notebook() as tab:
        assert tab.run("1 + 1", within=60).result == "2"


def test_a_new_pod_that_cannot_start_is_named_while_the_old_one_serves(
    team: Team, kept: Tab
) -> None:
    pod = team.pod(kept)
    team.edit("jupytergateways", GATEWAY, image="localhost/no-such-image:1")
    told = eventually(
        lambda: condition(team, "JupyterGateway", "Ready"),
        lambda seen: seen.get("status") == "False" and "Image" in seen["reason"],
        within=60,
        what="the image that cannot be pulled",
    )
    assert "no-such-image" in told["message"]
    assert condition(team, "JupyterGateway", "Available")["status"] == "True"
    assert kept.run("kept").result == "'kept'"
    team.edit("jupytergateways", GATEWAY, image=None)
    is_said(team, "JupyterGateway", "Ready", "True", "Available")
    assert kept.run("kept", within=30).result == "'kept'"
    assert_same(pod, team.pod(kept))


MANAGED_BY = "app.kubernetes.io/managed-by"


@pytest.mark.parametrize("what", ["the master key", "a kernel's pod", "a kernel's Secret"])
def test_a_label_that_somebody_takes_off_is_put_back(team: Team, kept: Tab, what: str) -> None:
    plural, name = {
        "the master key": ("secrets", f"{GATEWAY}-master-key"),
        "a kernel's pod": ("pods", kernel_name(kept)),
        "a kernel's Secret": ("secrets", f"{kernel_name(kept)}-connection"),
    }[what]
    team.cluster.kubectl("label", plural, name, f"{MANAGED_BY}-", "-n", team.namespace)
    eventually(
        lambda: team.cluster.get(team.namespace, plural, name) or {},
        lambda live: live["metadata"]["labels"].get(MANAGED_BY) == "elastic-jupyter",
        within=BACK_WITHIN,
        what=f"the label of {plural}/{name}",
    )
    assert kept.run("kept", within=60).result == "'kept'"


def test_a_connection_secret_that_somebody_edits_is_written_again(team: Team, kept: Tab) -> None:
    name = f"{kernel_name(kept)}-connection"
    before = team.cluster.get(team.namespace, "secrets", name)
    assert before is not None
    edit = '{"data": {"connection.json": "e30="}}'
    team.cluster.kubectl("patch", "secret", name, "-n", team.namespace, "--type=merge", "-p", edit)
    eventually(
        lambda: team.cluster.get(team.namespace, "secrets", name) or {},
        lambda live: live["data"] == before["data"],
        within=BACK_WITHIN,
        what=f"what Secret {name} held",
    )
    assert kept.run("kept", within=60).result == "'kept'"
