import pytest

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator import sight
from elastic_jupyter.policy.lifecycle import Sight, Sighting
from tests.support.kernels import RUNNING, a_kernel, a_pod_of, ended, pod_condition, waiting

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
NO_MEMORY = "0/3 nodes are available: 3 Insufficient memory."


def unschedulable(message: str) -> Object:
    return pod_condition("PodScheduled", "False", "Unschedulable", message)


UNSCHEDULABLE: Object = {"conditions": [unschedulable(NO_GPU)]}
GATED: Object = {"conditions": [pod_condition("PodScheduled", "False", "SchedulingGated", "gated")]}
PREEMPTED = pod_condition("DisruptionTarget", "True", "PreemptionByScheduler", "preempted")
EVICTED = pod_condition("DisruptionTarget", "True", "EvictionByEvictionAPI", "drained")
NO_REASON = {"type": "PodScheduled", "status": "False", "message": "queue team-a is full"}
NOT_DISRUPTED = pod_condition("DisruptionTarget", "False", "Old", "long ago")
GPU = a_kernel(gpus=1)
KUEUE = a_kernel(gpus=1, pod_metadata={"labels": {names.LABEL_KUEUE: "q"}})
PLAIN = a_kernel()
LOST_NODE = [pod_condition("Ready", "False", ""), pod_condition("ContainersReady", "True", "")]
TAINTED = [
    *LOST_NODE,
    pod_condition("DisruptionTarget", "True", "DeletionByTaintManager", "tainted"),
]
FETCHES = a_kernel(
    pod={"initContainers": [{"name": "fetch"}, {"name": "proxy", "restartPolicy": "Always"}]}
)
LIMITED = a_kernel(container={"resources": {"limits": {"memory": "2Gi"}}})


def failed(container: Object, **status: object) -> Object:
    return {"phase": "Failed", "containerStatuses": [container], **status}


def gated_by(*gates: str, kernel: Object = GPU) -> Object:
    pod = a_pod_of(kernel, **GATED)
    pod["spec"]["schedulingGates"] = [{"name": gate} for gate in gates]
    return pod


#: A pod that was killed over its limit, and what is seen in it, whether it is there or gone.
OUT_OF_MEMORY = (
    a_pod_of(LIMITED, **failed(ended(137, reason="OOMKilled"))),
    Sighting(
        Sight.FAILED,
        "OOMKilled",
        "the kernel used more memory than its limit of 2Gi and was killed",
    ),
)


@pytest.mark.parametrize(
    ("pod", "want"),
    [
        pytest.param(
            a_pod_of(GPU, gated=True, **GATED), Sighting(Sight.WAITING, "Queued"), id="gated"
        ),
        pytest.param(
            a_pod_of(GPU, **UNSCHEDULABLE),
            Sighting(Sight.WAITING, "Unschedulable", NO_GPU),
            id="first in the queue and no GPU free",
        ),
        pytest.param(
            a_pod_of(PLAIN, **UNSCHEDULABLE),
            Sighting(Sight.STARTING, "Unschedulable", NO_GPU),
            id="unschedulable without a GPU is no queue",
        ),
        pytest.param(
            a_pod_of(GPU, conditions=[unschedulable(NO_MEMORY)]),
            Sighting(Sight.STARTING, "Unschedulable", NO_MEMORY),
            id="a GPU would not help",
        ),
        pytest.param(
            a_pod_of(KUEUE, **UNSCHEDULABLE),
            Sighting(Sight.STARTING, "Unschedulable", NO_GPU),
            id="what Kueue admits is not in our queue",
        ),
        pytest.param(
            gated_by("kueue.x-k8s.io/admission", kernel=KUEUE),
            Sighting(
                Sight.STARTING,
                "SchedulingGated",
                "the pod waits for the scheduling gate kueue.x-k8s.io/admission",
            ),
            id="the gate of another queue",
        ),
        pytest.param(
            gated_by("x/hold", names.GATE_QUEUE, "x/other"),
            Sighting(
                Sight.STARTING,
                "SchedulingGated",
                "the pod waits for the scheduling gates x/hold, x/other",
            ),
            id="our gate and those of others",
        ),
        pytest.param(
            a_pod_of(GPU, conditions=[NO_REASON]),
            Sighting(Sight.WAITING, "Unschedulable", "queue team-a is full"),
            id="another scheduler, which gives no reason",
        ),
        pytest.param(
            a_pod_of(GPU, conditions=[pod_condition("PodScheduled", "False", "SchedulerError")]),
            Sighting(Sight.STARTING, "SchedulerError"),
            id="a fault of the scheduler is no word on a GPU",
        ),
        pytest.param(
            a_pod_of(GPU, **GATED),
            Sighting(Sight.STARTING, "ContainerCreating"),
            id="the word on a gate that was just lifted is old",
        ),
        pytest.param(
            a_pod_of(PLAIN), Sighting(Sight.STARTING, "ContainerCreating"), id="just made"
        ),
        *(
            pytest.param(
                a_pod_of(PLAIN, podIP="10.0.0.7", containerStatuses=[waiting(reason, "why")]),
                Sighting(want, told, why, ip="10.0.0.7"),
                id=f"waits for {reason}",
            )
            for reason, want, told, why in (
                ("ErrImagePull", Sight.STALLED, "ErrImagePull", "why"),
                ("CreateContainerConfigError", Sight.STALLED, "CreateContainerConfigError", "why"),
                ("InvalidImageName", Sight.FAILED, "InvalidImageName", "why"),
                ("ErrImageNeverPull", Sight.FAILED, "ErrImageNeverPull", "why"),
                ("ContainerCreating", Sight.STARTING, "ContainerCreating", ""),
                ("PodInitializing", Sight.STARTING, "ContainerCreating", ""),
            )
        ),
        pytest.param(
            a_pod_of(
                PLAIN,
                initContainerStatuses=[waiting("ImagePullBackOff", "no such image")],
                containerStatuses=[waiting("PodInitializing")],
            ),
            Sighting(Sight.STALLED, "ImagePullBackOff", "no such image"),
            id="an init container cannot be pulled",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING), Sighting(Sight.RUNNING, ip="10.0.0.7"), id="running"
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, conditions=[NOT_DISRUPTED]),
            Sighting(Sight.RUNNING, ip="10.0.0.7"),
            id="a disruption that did not come",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, being_deleted=True),
            Sighting(
                Sight.RUNNING, "Terminating", "the kernel's pod is being deleted", ip="10.0.0.7"
            ),
            id="running and being deleted",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, being_deleted=True, conditions=[EVICTED]),
            Sighting(Sight.RUNNING, "EvictionByEvictionAPI", "drained", ip="10.0.0.7"),
            id="running and drained",
        ),
        pytest.param(
            a_pod_of(PLAIN, being_deleted=True),
            Sighting(Sight.STARTING, "Terminating", "the kernel's pod is being deleted"),
            id="deleted before it ran",
        ),
        *(
            pytest.param(
                a_pod_of(
                    PLAIN,
                    node="n",
                    being_deleted=being_deleted,
                    conditions=[PREEMPTED],
                    containerStatuses=[waiting("ContainerCreating")],
                ),
                Sighting(Sight.STARTING, "PreemptionByScheduler", "preempted"),
                id=f"preempted before it ran, {when}",
            )
            for being_deleted, when in ((False, "as is known at once"), (True, "and is to go"))
        ),
        pytest.param(
            a_pod_of(GPU, gated=True, conditions=[*GATED["conditions"], EVICTED]),
            Sighting(Sight.STARTING, "EvictionByEvictionAPI", "drained"),
            id="evicted while it waits in line",
        ),
        pytest.param(
            a_pod_of(PLAIN, **failed(ended(137)), conditions=[PREEMPTED]),
            Sighting(Sight.FAILED, "PreemptionByScheduler", "preempted"),
            id="preempted",
        ),
        pytest.param(
            *OUT_OF_MEMORY,
            id="out of memory, with the limit",
        ),
        pytest.param(
            a_pod_of(PLAIN, **failed(ended(1, message=" Traceback\nNo module ipykernel\n"))),
            Sighting(
                Sight.FAILED,
                "Error",
                "the kernel's process ended with exit code 1: Traceback\nNo module ipykernel",
            ),
            id="exit code with last words",
        ),
        pytest.param(
            a_pod_of(PLAIN, **failed(ended(137, reason="OOMKilled"))),
            Sighting(
                Sight.FAILED,
                "OOMKilled",
                "the kernel has no memory limit of its own and was killed when the memory ran out",
            ),
            id="out of memory, without a limit",
        ),
        pytest.param(
            a_pod_of(PLAIN, **failed(ended(139))),
            Sighting(
                Sight.FAILED, "Error", "the kernel's process ended with exit code 139 (SIGSEGV)"
            ),
            id="a signal has a name",
        ),
        pytest.param(
            a_pod_of(PLAIN, **failed(ended(137)), being_deleted=True),
            Sighting(Sight.FAILED, "PodDeleted", "the kernel's pod was deleted"),
            id="ended because it was deleted",
        ),
        *(
            pytest.param(
                a_pod_of(
                    FETCHES,
                    phase=phase,
                    initContainerStatuses=[{**ended(3, message="no route\n"), "name": "fetch"}],
                    containerStatuses=[waiting("PodInitializing")],
                ),
                Sighting(
                    Sight.FAILED,
                    "Error",
                    "the init container fetch ended with exit code 3: no route",
                ),
                id=f"an init container failed and the pod is {phase}",
            )
            for phase in ("Pending", "Failed")
        ),
        pytest.param(
            a_pod_of(
                FETCHES,
                initContainerStatuses=[{**ended(1), "name": "proxy"}],
                containerStatuses=[waiting("PodInitializing")],
            ),
            Sighting(Sight.STARTING, "ContainerCreating"),
            id="a sidecar that ended is started again",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, node="n", conditions=LOST_NODE),
            Sighting(
                Sight.RUNNING,
                "NodeLost",
                "node n does not answer; the kernel may still run there",
                ip="10.0.0.7",
            ),
            id="its node does not answer",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, node="n", being_deleted=True, conditions=TAINTED),
            Sighting(Sight.FAILED, "DeletionByTaintManager", "tainted", ip="10.0.0.7"),
            id="to be deleted from a node that does not answer",
        ),
        pytest.param(
            a_pod_of(PLAIN, phase="Running", containerStatuses=[ended(3)]),
            Sighting(Sight.FAILED, "Error", "the kernel's process ended with exit code 3"),
            id="ended while a sidecar still runs",
        ),
        pytest.param(
            a_pod_of(PLAIN, phase="Failed", reason="Evicted", message="low on memory"),
            Sighting(Sight.FAILED, "Evicted", "low on memory"),
            id="evicted by the kubelet",
        ),
        pytest.param(
            a_pod_of(PLAIN, phase="Succeeded", containerStatuses=[ended(0, reason="Completed")]),
            Sighting(Sight.SUCCEEDED, "Completed", "the kernel's process ended with exit code 0"),
            id="succeeded",
        ),
    ],
)
def test_what_a_pod_says(pod: Object, want: Sighting) -> None:
    assert sight.look(pod) == want


def test_only_the_end_of_long_last_words_is_kept() -> None:
    pod = a_pod_of(PLAIN, **failed(ended(1, message="a" * 5000 + "ValueError")))
    message = sight.look(pod).message
    assert message.endswith("ValueError")
    assert len(message) < 2200


@pytest.mark.parametrize(
    ("condition", "want"),
    [
        pytest.param(
            pod_condition("Running", "True", "PreemptionByScheduler", "preempted"),
            ("PreemptionByScheduler", "preempted"),
            id="a reason that was seen before is remembered",
        ),
        pytest.param(
            pod_condition("Running", "True", "Started"),
            ("PodDeleted", "the kernel's pod was deleted"),
            id="it ran and nothing was wrong",
        ),
        pytest.param(
            pod_condition("Running", "True", "Terminating", "being deleted"),
            ("PodDeleted", "the kernel's pod was deleted"),
            id="it was being deleted",
        ),
        pytest.param(
            pod_condition("Running", "False", "ErrImagePull", "no such image"),
            ("PodDeleted", "the kernel's pod was deleted"),
            id="why it did not run yet is no reason to be gone",
        ),
        pytest.param(
            pod_condition("Running", "False", "Terminating", "being deleted"),
            ("PodDeleted", "the kernel's pod was deleted"),
            id="it was being deleted before it ran",
        ),
        *(
            pytest.param(
                pod_condition("Running", "False", reason, "its words"),
                (reason, "its words"),
                id=f"{reason} before it ran",
            )
            for reason in ("PreemptionByScheduler", "EvictionByEvictionAPI", "DeletionByPodGC")
        ),
    ],
)
def test_a_pod_that_is_gone(condition: Object, want: tuple[str, str]) -> None:
    assert sight.lost([condition]) == Sighting(Sight.LOST, *want)


#: As the garbage collector of a deleted node leaves a pod, in the milliseconds before it is gone.
COLLECTED = {
    "phase": "Failed",
    "conditions": [
        pod_condition("DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists")
    ],
    "containerStatuses": RUNNING["containerStatuses"],
}


@pytest.mark.parametrize(
    ("last", "want"),
    [
        pytest.param(
            a_pod_of(PLAIN, node="n", **COLLECTED),
            Sighting(Sight.FAILED, "DeletionByPodGC", "PodGC: node no longer exists"),
            id="its node was deleted",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, being_deleted=True, conditions=[EVICTED]),
            Sighting(Sight.LOST, "EvictionByEvictionAPI", "drained"),
            id="it was evicted",
        ),
        pytest.param(
            a_pod_of(PLAIN, conditions=[PREEMPTED]),
            Sighting(Sight.LOST, "PreemptionByScheduler", "preempted"),
            id="it was preempted before it ran",
        ),
        pytest.param(
            *OUT_OF_MEMORY,
            id="it had ended already",
        ),
        pytest.param(
            a_pod_of(PLAIN, **RUNNING, being_deleted=True),
            Sighting(Sight.LOST, "PodDeleted", "the kernel's pod was deleted"),
            id="somebody deleted it",
        ),
        pytest.param(
            a_pod_of(PLAIN, **failed(ended(137)), being_deleted=True),
            Sighting(Sight.LOST, "PodDeleted", "the kernel's pod was deleted"),
            id="somebody deleted it, and it ended",
        ),
    ],
)
def test_a_pod_that_is_gone_tells_why_by_what_was_last_seen_of_it(
    last: Object, want: Sighting
) -> None:
    assert sight.lost([pod_condition("Running", "True", "Started")], last) == want
