"""A crash at each step of a sleep and of a wake in pods, an API server that stands still, and a
gateway that is replaced in the middle.

Every fifth case among the other tests, all with ``make crashes`` (``ALL_CASES``).
"""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.crashes import DIES_SAVED, WITHIN, Crash, Patient, both, some
from tests.scenarios.gpu_queue import phase
from tests.support import manifests
from tests.support.cases import ALL
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.rollout import OPERATOR, SYSTEM, operator_pod
from tests.support.team import Object, Team, image_of, kernel_name

from elastic_jupyter.policy import notices

pytestmark = pytest.mark.alone  # the operator is everybody's, and the API server

CODE = Path(__file__).parents[1] / "support" / "failpoints" / "sitecustomize.py"
#: Where the failpoints' code is in a pod, and where it is told at which one there is trouble.
MOUNTED, FOLDER = "/failpoints", "/failpoint"
ENV = [
    {"name": "PYTHONPATH", "value": MOUNTED},
    {"name": "FAILPOINT", "value": f"{FOLDER}/trouble.json"},
]
MOUNTS = [{"name": "failpoints", "mountPath": MOUNTED}, {"name": "trouble", "mountPath": FOLDER}]
VOLUMES = [
    {"name": "failpoints", "configMap": {"name": "failpoints"}},
    {"name": "trouble", "emptyDir": {}},
]

SLEEP = [
    Crash("gateway", "_DiskDraft._append", do="fill"),
    *both("gateway", "KubernetesKernelStore.wish"),
    *both("gateway", "BlobDraft.commit"),
    *both("gateway", "Save.seal"),
    *both("gateway", "KubernetesKernelStore.save"),
    *both("gateway", "SnapshotStore.sweep"),
    *both("operator", "KubernetesKernelStore.patch_status"),
    *both("operator", "KernelReconciler._delete"),
    *both("kernel", "Gateway.put", loses=True),
    Crash("kernel", "Gateway.put_manifest", loses=True),
    DIES_SAVED,
]
WAKE = [
    *both("gateway", "KubernetesKernelStore.wish"),
    *both("gateway", "SnapshotStore.manifest"),
    *both("gateway", "KubernetesKernelStore.save"),
    *both("operator", "KubernetesKernelStore.patch_status"),
    *both("operator", "KernelReconciler._create"),
]


def with_failpoints(name: str) -> dict[str, Any]:
    """Return the part of a pod template that has trouble where it is told to."""
    container = {"name": name, "env": ENV, "volumeMounts": MOUNTS}
    return {"spec": {"containers": [container], "volumes": VOLUMES}}


def code(namespace: str) -> Object:
    """Return the ConfigMap with the failpoints."""
    metadata = {"name": "failpoints", "namespace": namespace}
    data = {CODE.name: CODE.read_text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class InPods(Patient):
    """A kernel of a team; gateway, operator and kernel have trouble where they are told to."""

    def __init__(self, team: Team) -> None:
        self.team, self.cluster = team, team.cluster
        self.tab = team.server.open("failing")

    def goes_to_sleep(self) -> None:
        self.team.edit("jupyterkernels", kernel_name(self.tab), suspend=True)

    def sleeps(self) -> None:
        eventually(
            lambda: (phase(self.team, self.tab), self.team.pod(self.tab)),
            lambda seen: seen == ("Hibernated", None),
            within=WITHIN,
            what="sleep",
        )

    def pod_is_deleted(self) -> None:
        """Delete the kernel's pod as a node that goes away does."""
        self.cluster.delete(self.team.namespace, "pods", kernel_name(self.tab), grace=0)

    def fails_at(self, crash: Crash) -> Object:
        """Have the victim fail at that step; return its pod as it is now."""
        pod = self.victim(crash)
        metadata = pod["metadata"]
        said = json.dumps({"point": crash.point, "when": crash.when, "do": crash.do})
        script = f"echo '{said}' > {FOLDER}/draft && mv {FOLDER}/draft {FOLDER}/trouble.json"
        self.cluster.exec(metadata["namespace"], metadata["name"], "sh", "-c", script)
        return pod

    def victim(self, crash: Crash) -> Object:
        """Return the pod that runs and is to fail."""
        if crash.victim == "operator":
            return operator_pod(self.cluster)
        if crash.victim == "gateway":
            return self.team.gateway_pod()
        self.team.runs(self.tab)
        pod = self.team.pod(self.tab)
        assert pod is not None
        return pod

    def has_failed(self, crash: Crash, before: Object) -> None:
        """Wait for the crash, and for who comes after it."""
        metadata = before["metadata"]
        if crash.do == "fill":
            where = metadata["namespace"], metadata["name"]
            look = partial(self.cluster.exec, *where, "ls", FOLDER)
            eventually(
                look, lambda seen: "trouble.json.had" in seen, within=WITHIN, what=str(crash)
            )
            return

        def container() -> str | None:
            pod = self.cluster.get(metadata["namespace"], "pods", metadata["name"])
            statuses = (pod or {}).get("status", {}).get("containerStatuses")
            return (
                statuses[0].get("containerID")
                if statuses and "running" in statuses[0]["state"]
                else None
            )

        dead = before["status"]["containerStatuses"][0]["containerID"]
        eventually(container, lambda seen: seen != dead, within=WITHIN, what=str(crash))
        if crash.victim != "kernel":
            # The kubelet restarts a container later each time; that of another pod at once.
            self.cluster.delete(metadata["namespace"], "pods", metadata["name"], grace=0)
            self.victim(crash)


@pytest.fixture(scope="module")
def failing_operator(cluster: Cluster) -> Iterator[None]:
    """An operator that has trouble where it is told to."""
    cluster.apply(SYSTEM, code(SYSTEM))
    template = {"template": with_failpoints("operator")}
    patch = json.dumps({"spec": template})
    cluster.kubectl("patch", "-n", SYSTEM, "deployment", OPERATOR, "-p", patch)
    operator_pod(cluster)
    yield
    cluster.kubectl("rollout", "undo", "-n", SYSTEM, f"deployment/{OPERATOR}")
    operator_pod(cluster)
    cluster.kubectl("delete", "-n", SYSTEM, "configmap", "failpoints")


@pytest.fixture(scope="module")
def in_pods(failing_operator: None, new_team: Callable[..., Team]) -> InPods:
    # The namespace is that of whoever applies it.
    config_map = code("")
    del config_map["metadata"]["namespace"]
    team = new_team(
        config_map,
        manifests.kernel_template("failing", **with_failpoints("kernel")),
        manifests.kernel_spec("failing", template="failing"),
        cullIdleTimeout=3600,
        reclaim={"policy": "Hibernate"},
        snapshot={"size": "2Gi"},
        template=with_failpoints("gateway"),
    )
    return InPods(team)


@pytest.fixture
def patient(in_pods: InPods) -> InPods:
    in_pods.counts_anew()
    return in_pods


@pytest.mark.parametrize("crash", some(SLEEP))
def test_a_kernel_that_was_to_sleep_has_its_variables(patient: InPods, crash: Crash) -> None:
    before = patient.fails_at(crash)
    patient.is_to_sleep(crash)
    patient.has_failed(crash, before)
    if crash == DIES_SAVED:  # a cell before its end is seen would cancel the save
        patient.sleeps()
    patient.knows_the_count(crash)
    patient.goes_on()


@pytest.mark.parametrize("crash", some(WAKE))
def test_a_kernel_that_was_to_wake_has_its_variables(patient: InPods, crash: Crash) -> None:
    patient.goes_to_sleep()
    patient.sleeps()
    before = patient.fails_at(crash)
    cell = patient.tab.start("count")
    patient.has_failed(crash, before)
    patient.knows_the_count(crash, cell)
    patient.goes_on()


Trouble = Callable[[Team], contextlib.AbstractContextManager[None]]

LARGE = "import os\nlarge = os.urandom(400_000_000)\nlen(large)"


@pytest.fixture
def large(patient: InPods) -> Iterator[InPods]:
    """The same with variables that take a while."""
    assert patient.tab.run(LARGE, within=WITHIN).result == "400000000"
    yield patient
    patient.tab.run("large = None", within=WITHIN)


STANDS_STILL = """
import os, signal, time
def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\\0")[0]
    except OSError:
        return b""
found = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()
         and command(pid).endswith(b"kube-apiserver")]
for pid in found:
    os.kill(pid, signal.SIGSTOP)
try:
    time.sleep(10)
finally:
    for pid in found:
        os.kill(pid, signal.SIGCONT)
assert found
"""


@contextlib.contextmanager
def api_server_stands_still(team: Team) -> Iterator[None]:
    """Stop the API server for some seconds from the moment that the block begins.

    A pod does it, which needs no API server to let it go on.
    """
    cluster = team.cluster
    pod = manifests.plain_pod(
        f"stopper-{uuid.uuid4().hex[:6]}",
        namespace=team.namespace,
        image=image_of(cluster, "KERNEL"),
        command=["python", "-c", STANDS_STILL],
        hostPID=True,
    )
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True, "runAsUser": 0}
    cluster.create(pod)
    name = pod["metadata"]["name"]
    try:
        yield
        done = eventually(
            lambda: (cluster.get(team.namespace, "pods", name) or {}).get("status", {}),
            lambda status: status.get("phase") in ("Succeeded", "Failed"),
            within=WITHIN,
            what="an API server that answers again",
        )
        assert done["phase"] == "Succeeded", cluster.log(team.namespace, name)
    finally:
        cluster.delete(team.namespace, "pods", name, grace=0)


@contextlib.contextmanager
def two_gateways(team: Team) -> Iterator[None]:
    """After the block have another gateway in good order, beside the first for a while."""
    yield
    team.restart_gateway()


def test_a_pod_that_is_deleted_amid_a_save_costs_no_variables_without_a_word(
    large: InPods,
) -> None:
    large.goes_to_sleep()
    eventually(
        lambda: phase(large.team, large.tab),
        lambda seen: seen == "Hibernating",
        within=WITHIN,
        what="the beginning of the save",
    )
    large.pod_is_deleted()
    eventually(
        lambda: phase(large.team, large.tab),
        lambda seen: seen in ("Failed", "Hibernated"),
        within=WITHIN,
        what="the end of its kernel",
    )
    cell = large.tab.run("len(large)", within=WITHIN)
    if cell.error in ("KernelDied", "KernelStartError"):  # its gateway had not heard of the end
        cell = large.tab.run("len(large)", within=WITHIN)
    if cell.error == "NameError":
        assert "its variables are gone" in cell.text, cell.text
        large.counts_anew()
    else:
        assert cell.result == "400000000", large.tab.transcript()
    large.goes_on()


def test_a_pod_that_is_deleted_amid_a_wake_costs_no_variables(large: InPods) -> None:
    large.goes_to_sleep()
    large.sleeps()
    cell = large.tab.start("len(large)")
    cell.until(lambda cell: notices.RESTORING in cell.displayed, within=WITHIN, what="the restore")
    large.pod_is_deleted()
    cell.wait(within=WITHIN)
    if cell.result is None:
        assert cell.reply["evalue"], cell.outputs
        cell = large.tab.run("len(large)", within=WITHIN)
    assert cell.result == "400000000", large.tab.transcript()
    large.goes_on()


TROUBLE = [
    pytest.param(api_server_stands_still, id="the API server stands still"),
    pytest.param(two_gateways, id="two gateways at once"),
]


@pytest.mark.parametrize("trouble", TROUBLE[: None if ALL else 1])
def test_trouble_as_a_kernel_goes_to_sleep_costs_no_variables(
    large: InPods, trouble: Trouble
) -> None:
    with trouble(large.team):
        large.goes_to_sleep()
    large.counts()
    large.goes_on()


@pytest.mark.parametrize("trouble", TROUBLE[None if ALL else 1 :])
def test_trouble_as_a_kernel_wakes_costs_no_variables(large: InPods, trouble: Trouble) -> None:
    large.goes_to_sleep()
    large.sleeps()
    with trouble(large.team):
        cell = large.tab.start("len(large)")
    cell.wait(within=WITHIN)
    assert cell.result == "400000000", large.tab.transcript()
    large.goes_on()
