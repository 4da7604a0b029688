"""Five kernels for two GPUs: who waits, what the notebook says meanwhile, who comes next."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cluster.test_bad_news import a_pod, by_hand
from tests.cluster.test_how_to import HOW_TO, uses_gpus
from tests.scenarios.gpu_queue import GpuQueue
from tests.support import manifests
from tests.support.cluster import Cluster, events_of
from tests.support.eventually import eventually
from tests.support.team import Object, Team, a_namespace
from tests.support.walkthrough import Walkthrough

pytestmark = pytest.mark.usefixtures("gpus")

IDLE = 8


@pytest.mark.parametrize("page", [*filter(uses_gpus, HOW_TO)], ids=lambda page: page.stem)
def test_every_command_and_cell_of_a_page_works(
    page: Path, cluster: Cluster, tmp_path: Path
) -> None:
    with a_namespace(cluster) as namespace:
        Walkthrough(cluster, namespace, tmp_path).walk(page)


@pytest.fixture(scope="module")
def hasty(new_team: Callable[..., Team]) -> Team:
    """A team whose launcher offers ``gpu``: a kernel with one GPU."""
    return new_team(
        manifests.gpu_template("one-gpu"),
        manifests.kernel_spec("gpu", template="one-gpu", display_name="Python with a GPU"),
        cullIdleTimeout=IDLE,
        cullInterval=2,
    )


class TestGpuQueue(GpuQueue):
    """As on every engine."""


GATE = "kubeflow.tkestack.io/queue"
#: More than there are: nobody gets them, and all who ask for so many are of one class.
MANY = {"resources": {"limits": {"nvidia.com/gpu": 66}}}


def test_whoever_the_scheduler_does_not_judge_holds_up_nobody(cluster: Cluster) -> None:
    with a_namespace(cluster) as namespace:

        def running(name: str) -> Object:
            kernel = cluster.get(namespace, "jupyterkernels", name) or {}
            conditions = kernel.get("status", {}).get("conditions", [])
            return next((one for one in conditions if one["type"] == "Running"), {})

        def gates(name: str) -> list[str]:
            pod = cluster.get(namespace, "pods", name) or {}
            return [gate["name"] for gate in pod["spec"].get("schedulingGates", [])]

        foreign = manifests.plain_pod(
            "foreign",
            namespace=namespace,
            image="nobody/runs:this",
            command=["sleep"],
            schedulingGates=[{"name": GATE}],
            **MANY["resources"],
        )
        foreign["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "elastic-jupyter"}
        cluster.create(foreign)
        held = a_pod(MANY, schedulingGates=[{"name": "example.com/hold"}])
        for name, pod in (
            ("held", held),
            ("unheard", a_pod(MANY, schedulerName="nobody")),
            ("judged", a_pod(MANY)),
        ):
            cluster.apply(namespace, by_hand(name, pod))

        eventually(
            lambda: running("judged").get("message", ""),
            lambda said: (
                said.startswith("1st of 1 in the queue") and "Insufficient nvidia.com/gpu" in said
            ),
            within=9,
            what="the scheduler's word on the kernel that it judges",
        )
        for name, reason, words in (
            ("held", "SchedulingGated", "the scheduling gate example.com/hold"),
            ("unheard", "NoScheduler", "no scheduler named nobody has taken the pod"),
        ):
            said = eventually(
                lambda name=name: running(name),
                lambda seen, reason=reason: seen.get("reason") == reason,
                within=20,
                what=f"what {name} waits for",
            )
            assert words in said["message"]
        assert gates("foreign") == [GATE]

        # Once nobody else holds it, it is in line.
        ours = '[{"op": "replace", "path": "/spec/schedulingGates", "value": [{"name": "%s"}]}]'
        assert gates("held") == ["example.com/hold", GATE]
        cluster.kubectl("patch", "pod", "held", "-n", namespace, "--type=json", "-p", ours % GATE)
        eventually(
            lambda: running("held").get("message", ""),
            lambda message: message.startswith("2nd of 2 in the queue"),
            within=20,
            what="the place of the one that was held",
        )


def test_a_gate_that_a_policy_keeps_holds_up_nobody_and_is_tried_again(cluster: Cluster) -> None:
    with a_namespace(cluster) as namespace, a_policy(cluster, namespace, untouchable="first"):

        def message(name: str) -> str:
            kernel = cluster.get(namespace, "jupyterkernels", name) or {}
            return str(kernel.get("status", {}).get("conditions"))

        cluster.apply(namespace, by_hand("first", a_pod(MANY)))
        first = cluster.get(namespace, "jupyterkernels", "first") or {}
        eventually(
            lambda: [(one["reason"], one["message"]) for one in events_of(cluster, first)],
            lambda seen: any(why == "GateRefused" and "nobody" in said for why, said in seen),
            within=20,
            what="the word on the gate that is kept",
        )
        # Until it is tried again it is not in line.
        cluster.apply(namespace, by_hand("second", a_pod(MANY)))
        eventually(
            lambda: message("second"),
            lambda said: re.search(r"1st of [12] in the queue; 0/", said),
            within=20,
            what="the place of the second, which was behind the first",
        )
        cluster.kubectl("delete", "validatingadmissionpolicybinding", namespace)
        cluster.delete(namespace, "jupyterkernels", "second")
        eventually(
            lambda: message("first"),
            lambda said: "1st of 1 in the queue; 0/" in said,
            within=60,
            what="the scheduler's word on the one whose gate was kept",
        )


@contextlib.contextmanager
def a_policy(cluster: Cluster, namespace: str, *, untouchable: str) -> Iterator[None]:
    """A policy that lets nobody change the pod of this name."""
    kind = "ValidatingAdmissionPolicy"
    api = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": namespace}}
    updates = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": ["pods"],
    }
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {
        "expression": f"object.metadata.name != '{untouchable}'",
        "message": "nobody touches it",
    }
    policy = {
        "matchConstraints": {"resourceRules": [updates], "namespaceSelector": here},
        "validations": [rule],
    }
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    try:
        cluster.apply(namespace, {**api, "kind": kind, "spec": policy})
        cluster.apply(namespace, {**api, "kind": f"{kind}Binding", "spec": binding})
        # It counts some seconds after it was made.
        pod = manifests.plain_pod(untouchable, namespace=namespace, image="no/one", command=["x"])
        pod["spec"]["schedulingGates"] = [{"name": "example.com/hold"}]
        cluster.create(pod)
        label = ("label", "pod", untouchable, "-n", namespace, "a=b", "--dry-run=server")
        eventually(
            lambda: refusal(cluster, *label),
            lambda said: "nobody touches it" in said,
            within=30,
            what="a policy that counts",
        )
        cluster.delete(namespace, "pods", untouchable, grace=0)
        yield
    finally:
        for plural in (f"{kind}Binding", kind):
            cluster.kubectl("delete", plural, namespace, "--ignore-not-found")


def refusal(cluster: Cluster, *command: str) -> str:
    """What kubectl says where it fails, else nothing."""
    try:
        cluster.kubectl(*command)
    except AssertionError as error:
        return str(error)
    return ""
