import pytest

from elastic_jupyter.kube.kinds import Key, Object
from elastic_jupyter.operator import server_pod
from elastic_jupyter.operator.objects import common
from tests.support.kernels import pod_condition, waiting
from tests.support.objects import an_object

READY = pod_condition("Ready", "True", "")
NO_NODE = pod_condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available")
BACK_OFF = "back-off 10s restarting failed container"
CRASHED = {**waiting("CrashLoopBackOff", BACK_OFF), "name": "gateway"}


def a_pod(
    name: str = "gw-1",
    *,
    created: str = "2026-11-24T17:00:00Z",
    going: bool = False,
    **status: object,
) -> Object:
    pod = an_object(name, labels=common.labels("jupyter-gateway", "gw"), status=status)
    pod["metadata"]["creationTimestamp"] = created
    if going:
        pod["metadata"]["deletionTimestamp"] = created
    return pod


def last_words(text: str) -> Object:
    return {"lastState": {"terminated": {"exitCode": 1, "message": text}}}


@pytest.mark.parametrize(
    ("pods", "want"),
    [
        pytest.param([], None, id="no pod"),
        pytest.param([a_pod()], None, id="nothing known yet"),
        pytest.param(
            [a_pod(containerStatuses=[waiting("ContainerCreating")])], None, id="as usual"
        ),
        pytest.param(
            [a_pod(conditions=[NO_NODE])],
            ("Unschedulable", "pod gw-1: 0/1 nodes are available"),
            id="no node",
        ),
        pytest.param(
            [a_pod(conditions=[{"type": "PodScheduled", "status": "False"}])],
            ("Unschedulable", "pod gw-1: not scheduled"),
            id="another scheduler, which says nothing but no",
        ),
        pytest.param(
            [a_pod(containerStatuses=[waiting("ErrImagePull", "not found")])],
            ("ErrImagePull", "pod gw-1, container kernel: not found"),
            id="no image",
        ),
        pytest.param(
            [
                a_pod(
                    initContainerStatuses=[waiting("InvalidImageName")],
                    containerStatuses=[waiting("PodInitializing")],
                )
            ],
            ("InvalidImageName", "pod gw-1, container kernel: InvalidImageName"),
            id="an init container",
        ),
        pytest.param(
            [a_pod(containerStatuses=[{**CRASHED, **last_words("no such module\n")}])],
            (
                "CrashLoopBackOff",
                f"pod gw-1, container gateway: {BACK_OFF}; its last words: no such module",
            ),
            id="crashes",
        ),
        pytest.param(
            [
                a_pod("new", created="2026-11-24T18:00:00Z", containerStatuses=[CRASHED]),
                a_pod("old", conditions=[NO_NODE]),
            ],
            ("CrashLoopBackOff", f"pod new, container gateway: {BACK_OFF}"),
            id="the newest",
        ),
        pytest.param([a_pod(conditions=[READY, NO_NODE])], None, id="answers"),
        pytest.param([a_pod(going=True, conditions=[NO_NODE])], None, id="on its way out"),
    ],
)
def test_the_newest_pod_that_does_not_answer_tells_why(
    pods: list[Object], want: tuple[str, str] | None
) -> None:
    assert server_pod.trouble(pods) == want


def test_a_pod_is_its_owners_by_its_labels_and_namespace() -> None:
    gateway, pod = Key("team", "gw"), a_pod()
    pods = {
        Key("team", "gw-1"): pod,
        Key("other", "gw-1"): pod,
        Key("team", "x"): an_object("x"),
        Key("team", "nb"): an_object("nb", labels=common.labels("jupyter-notebook", "gw")),
    }
    assert server_pod.of(pods, "jupyter-gateway", gateway) == [pod]
    assert server_pod.owner_of(Key("team", "gw-1"), None, "jupyter-gateway") is None
