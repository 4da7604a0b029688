"""Bad news is told: in the notebook, as a condition, as an Event, in the table of kubectl; soon.

The time that counts starts when the API server tells us what it tells the operator. Each test
prints what it measured (``pytest -rP``). ``place`` is our notebook server, ``stock`` a JupyterLab
that has nothing of ours: every third end among the other tests, all with ``make ends``
(``ALL_CASES``).
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from tests.cluster.test_resources import table
from tests.scenarios.ends import (
    BY_ITSELF,
    COUNT,
    CRASH,
    End,
    cannot_start,
    ends_its_cell,
    said_why,
    the_next_cell_starts_anew,
)
from tests.support import manifests
from tests.support.cases import some
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import NotebookServer, Tab
from tests.support.team import Object, Team, foreign_image, kernel_name, served
from tests.support.watch import Version, Watch, watching

pytestmark = [pytest.mark.measures, pytest.mark.long]

#: Seconds from Kubernetes knowing it to the end of the cell, and to the condition.
TOLD_WITHIN = 4.0
LAUNCH_LIMIT, QUEUE_LIMIT = 12, 8
SEAT = "example.com/seat"


def python(code: str) -> Object:
    return {"command": ["python", "-c", code]}


def a_pod(container: Object | None = None, **spec: Any) -> Object:
    return {"containers": [{"name": "kernel", **(container or {})}], **spec}


def memory(limit: str) -> Object:
    return {"resources": {"limits": {"memory": limit}}}


@dataclass(frozen=True)
class AtStart:
    """A pod that never becomes a kernel: the reason, and what has to be in its words."""

    name: str
    pod: Object
    reason: str
    words: tuple[str, ...]
    #: Whether the API server refuses the pod, so that there is none.
    refused: bool = False


CANNOT_START = [
    AtStart("bad-name", a_pod({"image": "no/such:image:name"}), "InvalidImageName", ("no/such",)),
    AtStart(
        "never-pulled",
        a_pod({"image": "localhost/nowhere:1", "imagePullPolicy": "Never"}),
        "ErrImageNeverPull",
        ("localhost/nowhere:1", "pull policy of Never"),
    ),
    AtStart(
        "no-command",
        a_pod({"command": ["/no/such/kernel"]}),
        "StartError",
        ("exit code 128", "/no/such/kernel", "no such file"),
    ),
    AtStart(CRASH.name, a_pod(python(CRASH.code)), CRASH.reason, CRASH.words),
    AtStart(
        "init-crash",
        a_pod(
            initContainers=[
                {"name": "fetch", "image": "KERNEL", **python("import sys\nsys.exit('no route')")}
            ]
        ),
        "Error",
        ("the init container fetch ended with exit code 1", "no route"),
    ),
    AtStart(
        "oom-at-start",
        a_pod({**python("x = b'1' * (200 << 20)"), **memory("64Mi")}),
        "OOMKilled",
        ("more memory than its limit of 64Mi",),
    ),
    AtStart(
        "invalid",
        a_pod({"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}),
        "Invalid",
        ("spec.containers[0].volumeMounts[0].name", "nowhere"),
        refused=True,
    ),
    AtStart(
        "too-large",
        a_pod({"resources": {"limits": {"cpu": "9"}}}),
        "Forbidden",
        ("maximum cpu usage per Container is 8, but limit is 9",),
        refused=True,
    ),
    AtStart(
        "insecure",
        a_pod(hostNetwork=True),
        "Forbidden",
        ('violates PodSecurity "baseline', "hostNetwork"),
        refused=True,
    ),
]


@dataclass(frozen=True)
class Held:
    """A pod that waits for what does not come. ``limit`` in s ends it."""

    name: str
    pod: Object
    reason: str
    words: tuple[str, ...]
    limit: int = LAUNCH_LIMIT
    field: str = "launchTimeoutSeconds"


CANNOT_GO_ON = [
    Held(
        "no-image",
        a_pod({"image": "localhost/nowhere:1"}),
        "ErrImagePull|ImagePullBackOff",
        ("localhost/nowhere:1", "failed to pull"),
    ),
    Held(
        "no-config",
        a_pod({"envFrom": [{"configMapRef": {"name": "nowhere"}}]}),
        "CreateContainerConfigError",
        ('configmap "nowhere" not found',),
    ),
    Held(
        "no-volume",
        a_pod(
            {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            volumes=[{"name": "v", "secret": {"secretName": "nowhere"}}],
        ),
        "FailedMount",
        ('secret "nowhere" not found',),
    ),
    Held(
        "no-node",
        a_pod(nodeSelector={"no": "where"}),
        "Unschedulable",
        ("0/1 nodes are available", "node affinity/selector"),
    ),
    Held(
        "no-room",
        a_pod({"resources": {"requests": {"memory": "9Ti"}}}),
        "Unschedulable",
        ("Insufficient memory",),
    ),
    Held(
        "no-claim",
        a_pod(
            {"resources": {"limits": {"nvidia.com/gpu": 77}}},
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "nowhere"}}],
        ),
        "Unschedulable",
        ('persistentvolumeclaim "nowhere" not found',),
    ),
    Held(
        "quota",
        a_pod({"resources": {"limits": {SEAT: 1}}}),
        "QuotaExceeded",
        ("exceeded quota: seats", f"requests.{SEAT}"),
    ),
    Held(
        "no-gpu",
        a_pod({"resources": {"limits": {"nvidia.com/gpu": 99}}}),
        "Queued",
        ("1st of 1", "Insufficient nvidia.com/gpu"),
        limit=QUEUE_LIMIT,
        field="queueTimeoutSeconds",
    ),
]


@dataclass(frozen=True)
class WhileRunning(End):
    """What ends a kernel in the middle of a cell. ``deed`` does it, or ``code`` does it itself."""

    pod: Object = field(default_factory=a_pod)
    deed: Callable[[Team, str], object] | None = None
    within: float = 30


def evict(team: Team, name: str) -> None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": team.namespace},
    }
    path = f"/api/v1/namespaces/{team.namespace}/pods/{name}/eviction"
    team.cluster.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(body))


def delete(team: Team, name: str) -> None:
    team.cluster.kubectl("delete", "pod", name, "-n", team.namespace, "--wait=false")


def preempt(team: Team, name: str) -> None:
    pod = manifests.plain_pod(
        f"urgent-{name[-6:]}",
        namespace=team.namespace,
        image=foreign_image(team.cluster, "plain-kernel"),
        command=["sleep", "600"],
        limits={SEAT: 1},
        priorityClassName=team.namespace,
    )
    team.cluster.create(pod)


CANNOT_LAST = [
    *(
        WhileRunning(**vars(end), pod=a_pod(memory(end.memory) if end.memory else None))
        for end in BY_ITSELF
    ),
    WhileRunning(
        "disk",
        "Evicted",
        ("ephemeral local storage", "10Mi"),
        pod=a_pod({"resources": {"limits": {"ephemeral-storage": "10Mi"}}}),
        code="open('/tmp/x', 'wb').write(bytes(50 << 20))\n" + COUNT,
        within=60,  # the kubelet measures every 10 s
    ),
    WhileRunning("evicted", "EvictionByEvictionAPI", ("Eviction API: evicting",), deed=evict),
    WhileRunning("deleted", "PodDeleted", ("the kernel's pod was deleted",), deed=delete),
    WhileRunning(
        "preempted",
        "PreemptionByScheduler",
        ("preempting to accommodate a higher priority pod",),
        pod=a_pod({"resources": {"limits": {SEAT: 1}}}),
        deed=preempt,
    ),
]


def offers(*news: AtStart | Held | WhileRunning, kernel_image: str) -> Iterator[Object]:
    """Yield the kernel specs and templates of a team whose kernels come to such ends."""
    for one in news:
        pod = json.loads(json.dumps(one.pod).replace('"KERNEL"', json.dumps(kernel_image)))
        yield manifests.kernel_template(one.name, spec=pod)
        yield manifests.kernel_spec(one.name, template=one.name)


@dataclass(frozen=True)
class Place:
    """A team, one of its notebook servers, and what the API server tells of its kernels."""

    team: Team
    server: NotebookServer
    pods: Watch
    kernels: Watch

    def events_of(self, name: str) -> set[tuple[str, str]]:
        """Return reason and message of the Events about a JupyterKernel."""
        return {
            (event["reason"], event["message"])
            for event in self.team.cluster.list(self.team.namespace, "events")
            if event["involvedObject"]["kind"] == "JupyterKernel"
            and event["involvedObject"]["name"] == name
        }

    def left_but(self, tab: Tab, *kept: str) -> None:
        """Wait until nothing but the objects of these kinds is left of a kernel."""
        eventually(
            lambda: self.team.left_of(tab),
            lambda left: left == [f"{plural}/{kernel_name(tab)}" for plural in kept],
            within=15,
            what="the end of what the kernel held",
        )


def condition(version: Version, kind: str) -> Object:
    conditions = (version.object.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


def has_ended(version: Version) -> bool:
    """Whether this version of a pod tells that its kernel is no more, or will not be."""
    status = version.object.get("status") or {}
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    states = [container.get("state") or {} for container in containers]
    return (
        version.gone
        or status.get("phase") in ("Failed", "Succeeded")
        or any("terminated" in state for state in states)
        or any(
            (state.get("waiting") or {}).get("reason") in ("InvalidImageName", "ErrImageNeverPull")
            for state in states
        )
    )


def lags(name: str, known: float, *, within: float = TOLD_WITHIN, **told: float) -> None:
    """Print how long after ``known`` each was told, and check that it was soon."""
    after = {what: round(at - known, 3) for what, at in told.items()}
    print(f"{name}: s after Kubernetes knew it: {after}")
    assert max(after.values()) <= within, after


@pytest.fixture(scope="module")
def seats(cluster: Cluster) -> Iterator[None]:
    """One seat on the node: an accelerator that no other test asks for."""
    [node, *_] = sorted(cluster.names(None, "nodes"))
    path = f"/status/capacity/{SEAT.replace('/', '~1')}"

    def patch(op: str, **value: str) -> None:
        body = json.dumps([{"op": op, "path": path, **value}])
        cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", body)

    patch("add", value="1")
    yield
    with contextlib.suppress(AssertionError):  # a kubelet that starts anew takes it away, too
        patch("remove")


def confine(cluster: Cluster, namespace: str) -> None:
    """Have the API server refuse what is too large, and what is insecure."""
    limits = {"type": "Container", "max": {"cpu": "8"}, "defaultRequest": {"cpu": "1m"}}
    limit_range = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "limits"},
        "spec": {"limits": [limits]},
    }
    cluster.apply(namespace, limit_range)
    enforce = "pod-security.kubernetes.io/enforce=baseline"
    cluster.kubectl("label", "namespace", namespace, enforce)


@pytest.fixture(scope="module")
def team(cluster: Cluster, new_team: Callable[..., Team], seats: None) -> Iterator[Team]:
    """A patient team: its kernels may take their time."""
    image = foreign_image(cluster, "plain-kernel")
    team = new_team(
        *offers(*CANNOT_START, *CANNOT_GO_ON, *CANNOT_LAST, kernel_image=image),
        cullIdleTimeout=3600,
    )
    namespace = team.namespace
    confine(cluster, namespace)
    urgent = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": namespace},
        "value": 1000,
    }
    cluster.apply(namespace, urgent)
    template = manifests.stock_lab(foreign_image(cluster, "stock-lab"))
    cluster.apply(namespace, manifests.notebook("stock", namespace=namespace, template=template))
    yield team
    cluster.kubectl("delete", "priorityclass", namespace)


@pytest.fixture(scope="module")
def place(team: Team) -> Iterator[Place]:
    """The patient team at our notebook server."""
    with a_place(team, team.server) as place:
        yield place


@pytest.fixture(scope="module")
def stock(team: Team) -> Iterator[Place]:
    """The patient team at a JupyterLab that has nothing of ours."""
    with (
        served(team.cluster, team.namespace, "stock") as server,
        a_place(team, server) as place,
    ):
        yield place


@pytest.fixture(params=some(["place", "stock"], every=2))
def either(request: pytest.FixtureRequest) -> Place:
    """One of the two: ours, and with all cases the other, too."""
    found: Place = request.getfixturevalue(request.param)
    return found


@contextlib.contextmanager
def a_place(team: Team, server: NotebookServer) -> Iterator[Place]:
    with (
        watching(team.cluster, team.namespace, "pods") as pods,
        watching(team.cluster, team.namespace, "jupyterkernels") as kernels,
    ):
        yield Place(team, server, pods, kernels)


def name_of(news: AtStart | Held | WhileRunning) -> str:
    return news.name


@pytest.mark.parametrize("news", CANNOT_START, ids=name_of)
def test_a_kernel_that_cannot_start_ends_the_cell_and_leaves_nothing(
    place: Place, news: AtStart
) -> None:
    ends_the_cell_and_leaves_nothing(place, news)


@pytest.mark.parametrize("news", some(CANNOT_START, every=3), ids=name_of)
def test_a_kernel_that_cannot_start_ends_the_cell_of_a_stock_jupyterlab(
    stock: Place, news: AtStart
) -> None:
    ends_the_cell_and_leaves_nothing(stock, news)


def ends_the_cell_and_leaves_nothing(place: Place, news: AtStart) -> None:
    tab = place.server.open(news.name)
    name = kernel_name(tab)
    cell = cannot_start(tab, news.reason, *news.words)
    assert cell.idle_at is not None
    # On a slow machine a kernel may have failed before the cell came and asked for the next one.
    kernel = place.kernels.newest(name, before=cell.idle_at)
    failed = place.kernels.first(
        name,
        lambda one: one.uid == kernel.uid and condition(one, "Failed").get("status") == "True",
        what="the end",
    )
    assert condition(failed, "Failed")["reason"] == news.reason
    assert all(one in condition(failed, "Failed")["message"] for one in news.words)
    known = (
        kernel
        if news.refused
        else place.pods.first(
            name, lambda one: one.owner == kernel.uid and has_ended(one), what="the end of the pod"
        )
    )
    lags(news.name, known.at, cell=cell.idle_at, condition=failed.at)
    eventually(
        lambda: place.events_of(name),
        lambda events: any(
            reason == news.reason and all(one in message for one in news.words)
            for reason, message in events
        ),
        within=TOLD_WITHIN,
        what="the Event",
    )
    place.left_but(tab)

    # The next cell tries again, and so would the restart button.
    cannot_start(tab, news.reason)
    tab.close()
    tab.shutdown()
    place.left_but(tab)


@pytest.mark.parametrize("news", CANNOT_LAST, ids=name_of)
def test_the_end_of_a_running_kernel_ends_its_cell(place: Place, news: WhileRunning) -> None:
    ends_its_cell_and_the_next_starts_anew(place, news)


@pytest.mark.parametrize("news", some(CANNOT_LAST, every=3), ids=name_of)
def test_the_end_of_a_running_kernel_ends_its_cell_in_a_stock_jupyterlab(
    stock: Place, news: WhileRunning
) -> None:
    ends_its_cell_and_the_next_starts_anew(stock, news)


def ends_its_cell_and_the_next_starts_anew(place: Place, news: WhileRunning) -> None:
    tab = place.server.open(news.name)
    name = kernel_name(tab)
    deed = partial(news.deed, place.team, name) if news.deed else None
    cell = ends_its_cell(tab, news, deed=deed, within=news.within)

    kind = "Succeeded" if news.reason == "Completed" else "Failed"
    ended = place.kernels.first(name, lambda one: condition(one, kind), what="the condition")
    assert condition(ended, kind)["reason"] == news.reason
    known = place.pods.first(name, has_ended, what="the end of the pod")
    assert cell.idle_at is not None
    lags(news.name, known.at, cell=cell.idle_at, condition=ended.at)
    if news.reason != "Completed":
        eventually(
            lambda: {reason for reason, _ in place.events_of(name)},
            lambda reasons: news.reason in reasons,
            within=TOLD_WITHIN,
            what="the Event",
        )
    rows = table(place.team.cluster.kubectl("get", "jk", name, "-n", place.team.namespace))
    assert [(row["PHASE"], row["REASON"]) for row in rows] == [(kind, news.reason)]
    place.left_but(tab, "jupyterkernels")
    for pod in place.team.cluster.names(place.team.namespace, "pods"):
        if pod.startswith("urgent-"):
            place.team.cluster.delete(place.team.namespace, "pods", pod, grace=0)

    the_next_cell_starts_anew(tab, news)
    tab.close()
    tab.shutdown()
    place.left_but(tab)


def test_a_child_process_that_uses_too_much_memory_is_told_by_whoever_knows(either: Place) -> None:
    """With cgroup v2 the container ends with it; with v1 Kubernetes knows nothing of its death."""
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', \"b'1' * (1 << 30)\"])"
    with either.server.notebook("oom-in-a-cell") as tab:
        tab.run("1", within=60)
        cell = tab.run(f"{code}.returncode", within=30)
        if cell.reply["status"] == "ok":
            assert cell.result == "-9"
        else:
            said_why(cell, "OOMKilled", "its limit of 256Mi")


def set_quota(team: Team, seats: int) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "seats"},
        "spec": {"hard": {f"requests.{SEAT}": str(seats)}},
    }
    team.cluster.apply(team.namespace, quota)
    eventually(
        lambda: json.loads(
            team.cluster.kubectl("get", "quota", "seats", "-n", team.namespace, "-o", "json")
        ).get("status", {}),
        lambda status: status.get("hard") == quota["spec"]["hard"],
        within=20,
        what="a quota that counts",
    )


def test_a_wait_for_an_image_that_is_not_there_can_be_interrupted(either: Place) -> None:
    place = either
    tab = place.server.open("no-image")
    cell = tab.start("1")
    cell.until(
        lambda cell: any("failed to pull" in text for text in cell.displayed),
        within=20,
        what="the kubelet's words",
    )
    tab.interrupt()
    cell.wait(within=30)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    place.left_but(tab)
    tab.close()
    tab.shutdown()


def test_a_kernel_that_is_evicted_before_it_runs_says_so(either: Place) -> None:
    place = either
    tab = place.server.open("no-image")
    name = kernel_name(tab)
    cell = tab.start("1")
    cell.until(
        lambda cell: any("failed to pull" in text for text in cell.displayed),
        within=20,
        what="the kubelet's words",
    )
    evict(place.team, name)
    cell.wait(within=20)
    said_why(cell, "EvictionByEvictionAPI", "Eviction API: evicting")
    known = place.pods.first(name, has_ended, what="the end of the pod")
    assert cell.idle_at is not None
    lags("evicted before it ran", known.at, cell=cell.idle_at)
    place.left_but(tab)
    tab.close()
    tab.shutdown()


def by_hand(name: str, pod: Object) -> Object:
    """A JupyterKernel that nobody's gateway made."""
    return {
        "apiVersion": manifests.API,
        "kind": "JupyterKernel",
        "metadata": {"name": name},
        "spec": {"template": {"spec": pod}},
    }
