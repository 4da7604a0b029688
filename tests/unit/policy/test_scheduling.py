"""Whether a GPU would help a pod, by the words of a real kube-scheduler 1.34."""

import pytest

from elastic_jupyter.policy import scheduling

GPU = {"nvidia.com/gpu"}
PREEMPTION = (
    " no new claims to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims"
    " found for incoming pod."
)


@pytest.mark.parametrize(
    ("message", "want"),
    [
        pytest.param(
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            True,
            id="every GPU is taken",
        ),
        pytest.param(
            f"0/3 nodes are available: {'3' * 5000} Insufficient memory.",
            False,
            id="a number that nobody can read says nothing",
        ),
        pytest.param(
            f"0/3 nodes are available: 3 Insufficient nvidia.com/gpu.{PREEMPTION}",
            True,
            id="nor would preemption help",
        ),
        pytest.param(
            "0/3 nodes are available: 1 Insufficient memory, 3 Insufficient nvidia.com/gpu.",
            True,
            id="one node is too small, too",
        ),
        pytest.param(
            "0/3 nodes are available: 2 node(s) had untolerated taint {pool: cpu, a: }, "
            "1 Insufficient nvidia.com/gpu.",
            True,
            id="other nodes are ruled out",
        ),
        pytest.param(
            "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory, "
            "3 Insufficient nvidia.com/gpu.",
            True,
            id="in doubt a GPU would help",
        ),
        pytest.param(
            "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 3 Insufficient memory.",
            False,
            id="no node has the memory",
        ),
        pytest.param(
            "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 1 Insufficient memory, "
            "2 node(s) didn't match Pod's node affinity/selector.",
            False,
            id="the one node that it may use is too small",
        ),
        pytest.param(
            "0/3 nodes are available: 3 Insufficient memory.", False, id="it is about memory"
        ),
        pytest.param(
            '0/1 nodes are available: persistentvolumeclaim "gone" not found. not found',
            False,
            id="it is about a volume",
        ),
        pytest.param("the gang is not complete", True, id="the words of another scheduler"),
    ],
)
def test_whether_a_gpu_would_help(message: str, want: bool) -> None:
    assert scheduling.lacks(message, GPU) is want
