import pytest

from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator import deployment_status
from elastic_jupyter.operator.report import Condition
from tests.support.objects import an_object


def a_deployment(*, generation: int = 2, observed: int = 2, **status: object) -> Object:
    deployment = an_object("d", status={"observedGeneration": observed, **status})
    deployment["metadata"]["generation"] = generation
    return deployment


def condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


QUOTA = condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: team")
NO_FAILURE = condition("ReplicaFailure", "False", "FailedCreate", "long ago")
STUCK = condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out")


@pytest.mark.parametrize(
    ("deployment", "want"),
    [
        pytest.param(
            None, (False, "DeploymentMissing", "its Deployment does not exist yet"), id="missing"
        ),
        pytest.param(
            a_deployment(observed=1, readyReplicas=1, updatedReplicas=1),
            (False, "Progressing", "its Deployment has a new spec"),
            id="its numbers are of an older spec",
        ),
        pytest.param(
            a_deployment(replicas=1, readyReplicas=1, updatedReplicas=1),
            (True, "Available", ""),
            id="a pod answers",
        ),
        pytest.param(
            a_deployment(replicas=1, readyReplicas=1),
            (False, "Progressing", "its pod does not answer yet"),
            id="only a pod of the older spec answers",
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
            an_object("d"), (False, "Progressing", "its pod does not answer yet"), id="just made"
        ),
    ],
)
def test_ready_says_whether_a_pod_of_the_present_spec_answers(
    deployment: Object | None, want: tuple[bool, str, str]
) -> None:
    assert deployment_status.ready(deployment) == Condition("Ready", *want)


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
