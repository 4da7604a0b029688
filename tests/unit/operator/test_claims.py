from datetime import UTC, datetime, timedelta

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Key, Object
from elastic_jupyter.operator.claims import claim_of, key_of
from elastic_jupyter.policy.accelerators import Request
from elastic_jupyter.policy.queue import Claim, ClassKey, Ticket
from tests.support.kernels import CREATED, a_kernel, a_pod_of, pod_condition

GPU = a_kernel(gpus=1)
FOREIGN = a_pod_of(GPU, gated=True)
AT = datetime.fromisoformat(CREATED)
NO_MEMORY = pod_condition(
    "PodScheduled", "False", "Unschedulable", "0/3 nodes are available: 3 Insufficient memory."
)


def asked(stamp: str) -> Object:
    return a_pod_of(a_kernel(gpus=1, annotations={names.ANNOTATION_ASKED_AT: stamp}), gated=True)


def test_a_gated_pod_claims_what_it_asks_for() -> None:
    pod = {
        "nodeSelector": {"b": "2", "a": "1"},
        "priorityClassName": "exam",
        "schedulerName": "slow",
    }
    assert claim_of(a_pod_of(a_kernel(gpus=2, pod=pod), gated=True), GPU) == Claim(
        ticket=Ticket(AT, AT, "team", "jovyan-1"),
        wanted=ClassKey((Request("nvidia.com/gpu", 2),), (("a", "1"), ("b", "2")), "exam", "slow"),
    )


@pytest.mark.parametrize(
    ("stamp", "want"),
    [
        pytest.param("2026-11-24T17:00:07.5+00:00", AT + timedelta(seconds=7.5), id="by us"),
        pytest.param("soon", AT, id="nothing that is a time"),
        pytest.param(None, AT, id="by hand"),
    ],
)
def test_the_scheduler_has_a_pod_since_its_gate_was_lifted(
    stamp: str | None, want: datetime
) -> None:
    pod = a_pod_of(GPU)
    pod["metadata"]["annotations"] = {names.ANNOTATION_ADMITTED_AT: stamp} if stamp else {}
    claim = claim_of(pod, GPU)
    assert claim is not None
    assert claim.admitted_at == want


def test_the_head_of_the_queue_carries_the_schedulers_words() -> None:
    said = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    told = pod_condition("PodScheduled", "False", "Unschedulable", said)
    claim = claim_of(a_pod_of(GPU, conditions=[told]), GPU)
    assert claim is not None
    assert (claim.gated, claim.reason) == (False, said)
    assert key_of(claim.ticket) == Key("team", "jovyan-1")


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(a_pod_of(a_kernel()), id="it asks for no accelerator"),
        pytest.param(a_pod_of(GPU, conditions=[NO_MEMORY]), id="a GPU would not help it"),
        pytest.param(a_pod_of(GPU, node="n1"), id="it has a node"),
        pytest.param(a_pod_of(GPU, gated=True, being_deleted=True), id="it is being deleted"),
        pytest.param(a_pod_of(GPU, phase="Failed"), id="it failed before it had a node"),
        pytest.param(
            a_pod_of(a_kernel(gpus=1, pod_metadata={"labels": {names.LABEL_KUEUE: "q"}})),
            id="Kueue admits it",
        ),
        pytest.param(
            a_pod_of(a_kernel(gpus=1, pod={"schedulingGates": [{"name": "x/hold"}]}), gated=True),
            id="somebody else's gate holds it",
        ),
        pytest.param(
            {**FOREIGN, "metadata": {**FOREIGN["metadata"], "ownerReferences": []}},
            id="it is labelled as ours, and nobody's",
        ),
        pytest.param(
            a_pod_of({**GPU, "metadata": {**GPU["metadata"], "uid": "another"}}, gated=True),
            id="its owner is another object than the kernel",
        ),
    ],
)
def test_a_pod_that_does_not_wait_in_our_queue_claims_nothing(pod: Object) -> None:
    assert claim_of(pod, GPU) is None


@pytest.mark.parametrize(
    ("stamp", "want"),
    [
        pytest.param(
            "2026-11-24T16:59:58.123456Z",
            AT - timedelta(seconds=2) + timedelta(microseconds=123456),
            id="the wish is older than the pod",
        ),
        pytest.param("2026-11-24T16:59:58", AT - timedelta(seconds=2), id="no zone is UTC"),
        pytest.param("2026-11-24T17:59:58+01:00", AT - timedelta(seconds=2), id="another zone"),
        pytest.param("2026-11-24T17:05:00Z", AT + timedelta(minutes=5), id="later than the pod"),
        pytest.param("2026-11-24T16:58:59Z", AT, id="nobody jumps the queue by an old stamp"),
        pytest.param("yesterday", AT, id="no time at all"),
    ],
)
def test_the_order_is_by_when_the_user_asked(stamp: str, want: datetime) -> None:
    claim = claim_of(asked(stamp), GPU)
    assert claim is not None
    assert claim.ticket.asked_at == want
    assert claim.ticket.asked_at.tzinfo is not None
    assert claim.ticket.created_at == AT.astimezone(UTC)
