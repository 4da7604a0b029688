import pytest

from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator import deployment_status
from elastic_jupyter.policy.report import Condition
from tests.support.objects import an_object


def a_deployment(
    *, generation: int = 2, observed: int = 2, wanted: int | None = None, **status: object
) -> Object:
    """Return a Deployment; ``wanted`` are the pods of the spec, ``status`` has the JSON names."""
    spec = {} if wanted is None else {"replicas": wanted}
    deployment = an_object("d", spec=spec, status={"observedGeneration": observed, **status})
    deployment["metadata"]["generation"] = generation
    return deployment


def condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


QUOTA = condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: team")
NO_FAILURE = condition("ReplicaFailure", "False", "FailedCreate", "long ago")
PODS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
COMPLETE: Object = dict.fromkeys(PODS, 1)
STUCK = condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out")


@pytest.mark.parametrize(
    ("deployment", "want"),
    [
        pytest.param(
            None, (False, "DeploymentMissing", "its Deployment does not exist yet"), id="missing"
        ),
        pytest.param(
            a_deployment(observed=1, **COMPLETE),
            (False, "Progressing", "its Deployment has a new spec"),
            id="its numbers are of an older spec",
        ),
        pytest.param(
            a_deployment(**COMPLETE), (True, "Available", ""), id="the rollout is complete"
        ),
        pytest.param(
            a_deployment(**COMPLETE | {"replicas": 2}),
            (False, "Progressing", "its pod does not answer yet"),
            id="only a pod of the older spec answers",
        ),
        pytest.param(
            a_deployment(wanted=0),
            (False, "ScaledDown", "scaled to 0: DOWN; kubectl scale deployment d --replicas 1"),
            id="scaled down by hand",
        ),
        pytest.param(
            a_deployment(wanted=2),
            (
                False,
                "TooManyReplicas",
                "scaled to 2, but only one pod at a time can serve; "
                "kubectl scale deployment d --replicas 1",
            ),
            id="scaled up by hand",
        ),
        pytest.param(
            a_deployment(conditions=[QUOTA, STUCK]),
            (False, "FailedCreate", "exceeded quota: team"),
            id="the pod is refused",
        ),
        pytest.param(
            a_deployment(updatedReplicas=1, conditions=[NO_FAILURE, STUCK]),
            (False, "ProgressDeadlineExceeded", "timed out"),
            id="stuck",
        ),
        pytest.param(
            a_deployment(updatedReplicas=1),
            (False, "Progressing", "its pod does not answer yet"),
            id="starting",
        ),
        pytest.param(
            an_object("d", spec={}),
            (False, "Progressing", "its pod does not answer yet"),
            id="just made",
        ),
    ],
)
def test_ready_says_whether_the_present_spec_is_rolled_out(
    deployment: Object | None, want: tuple[bool, str, str]
) -> None:
    have = deployment_status.ready(deployment, [], when_down="DOWN")
    assert have == Condition("Ready", *want)


def test_a_pod_that_does_not_answer_tells_why() -> None:
    deployment = a_deployment(**COMPLETE | {"replicas": 2, "conditions": [STUCK]})
    unschedulable = condition("PodScheduled", "False", "Unschedulable", "no node fits")
    pod = an_object("d-1", status={"conditions": [unschedulable]})
    have = deployment_status.ready(deployment, [pod], when_down="DOWN")
    assert have == Condition("Ready", False, "Unschedulable", "pod d-1: no node fits")


@pytest.mark.parametrize(
    ("deployment", "want"),
    [
        pytest.param(None, False, id="missing"),
        pytest.param(a_deployment(), False, id="no pod answers"),
        pytest.param(a_deployment(availableReplicas=1), True, id="one of an older spec answers"),
    ],
)
def test_available_says_whether_any_pod_answers(deployment: Object | None, want: bool) -> None:
    assert deployment_status.available(deployment).status is want


def test_all_numbers_are_told_and_those_that_are_missing_are_removed() -> None:
    assert deployment_status.counts(a_deployment(replicas=1, availableReplicas=0)) == {
        "replicas": 1,
        "updatedReplicas": None,
        "readyReplicas": None,
        "availableReplicas": 0,
        "unavailableReplicas": None,
        "collisionCount": None,
    }
    assert set(deployment_status.counts(None).values()) == {None}
