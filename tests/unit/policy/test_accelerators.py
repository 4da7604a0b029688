"""What counts as an accelerator, and how many of them a pod asks for."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.policy import accelerators
from elastic_jupyter.policy.accelerators import Request

GPU = "nvidia.com/gpu"
TPU = "google.com/tpu"

Container = dict[str, Any]


def asking(amount: object, *, of: str = GPU) -> Container:
    return {"resources": {"limits": {of: amount}}}


def a_sidecar(amount: object) -> Container:
    return {"restartPolicy": "Always", **asking(amount)}


def gpus(amount: int) -> tuple[Request, ...]:
    return (Request(GPU, amount),)


@pytest.mark.parametrize(
    ("resource", "want"),
    [
        pytest.param("nvidia.com/gpu", True, id="a vendor's domain"),
        pytest.param("amd.com/gpu", True, id="another vendor's domain"),
        pytest.param("kubernetes.io.example.com/gpu", True, id="a domain that starts like theirs"),
        pytest.param("cpu", False, id="CPU"),
        pytest.param("ephemeral-storage", False, id="disk"),
        pytest.param("hugepages-2Mi", False, id="huge pages have no domain"),
        pytest.param("kubernetes.io/batch-cpu", False, id="the domain of Kubernetes"),
        pytest.param("node.kubernetes.io/gpu", False, id="a subdomain of Kubernetes"),
    ],
)
def test_extended_resources_have_a_domain_that_is_not_kubernetes_own(
    resource: str, want: bool
) -> None:
    assert accelerators.is_extended(resource) is want


@pytest.mark.parametrize(
    ("pod_spec", "want"),
    [
        pytest.param({}, (), id="a pod without containers asks for nothing"),
        pytest.param(
            {"containers": [{"resources": {"limits": {"cpu": "4", "memory": "8Gi"}}}]},
            (),
            id="CPU and memory are no accelerators",
        ),
        pytest.param({"containers": [asking(1)]}, gpus(1), id="a limit alone is a request"),
        pytest.param(
            {"containers": [{"resources": {"requests": {GPU: 2}}}]}, gpus(2), id="a request alone"
        ),
        pytest.param(
            {"containers": [{"resources": {"requests": {GPU: 2}, "limits": {GPU: 2}}}]},
            gpus(2),
            id="request and limit are one wish",
        ),
        pytest.param({"containers": [asking(1), asking(2)]}, gpus(3), id="containers are added up"),
        pytest.param(
            {"containers": [asking(1, of=GPU), asking(4, of=TPU)]},
            (Request(TPU, 4), Request(GPU, 1)),
            id="two resources are apart and sorted",
        ),
        pytest.param(
            {"initContainers": [asking(1), asking(3), asking(2)], "containers": [asking(2)]},
            gpus(3),
            id="the largest init container counts",
        ),
        pytest.param(
            {"initContainers": [asking(2)], "containers": [asking(1), asking(2)]},
            gpus(3),
            id="a small init container does not count",
        ),
        pytest.param(
            {"initContainers": [a_sidecar(2)], "containers": [asking(1)]},
            gpus(3),
            id="a sidecar runs beside the containers",
        ),
        pytest.param(
            {"initContainers": [a_sidecar(2), asking(3)], "containers": [asking(1)]},
            gpus(5),
            id="a sidecar runs beside later init containers",
        ),
        pytest.param(
            {"initContainers": [asking(4), a_sidecar(2)], "containers": [asking(1)]},
            gpus(4),
            id="a sidecar does not run beside earlier init containers",
        ),
        pytest.param({"containers": [asking(0)]}, (), id="0 asks for nothing"),
        pytest.param({"containers": [asking("2")]}, gpus(2), id="text is as good as a number"),
        pytest.param({"containers": [asking("1.5")]}, gpus(1), id="a fraction counts as 1"),
        pytest.param({"containers": [asking("many")]}, gpus(1), id="nonsense counts as 1"),
        pytest.param({"containers": asking(1)}, (), id="containers are no list"),
        pytest.param({"containers": ["kernel", None]}, (), id="a container is no object"),
        pytest.param({"containers": [{"resources": GPU}]}, (), id="resources are no object"),
        pytest.param(
            {"containers": [{"resources": {"limits": [GPU], "requests": None}}]},
            (),
            id="limits are no object",
        ),
        pytest.param({"containers": [asking("3k")]}, gpus(3000), id="thousands have a suffix"),
        pytest.param({"containers": [asking("2Ki")]}, gpus(2048), id="so have powers of two"),
        pytest.param({"containers": [asking("2000m")]}, gpus(2), id="thousandths that are whole"),
    ],
)
def test_what_a_pod_asks_for(pod_spec: dict[str, Any], want: tuple[Request, ...]) -> None:
    assert accelerators.requests(pod_spec) == want


AMOUNTS = st.integers(0, 9)


def most_held(initial: list[tuple[int, bool]], running: list[int]) -> int:
    """What a pod holds at most when its containers start one after the other, as they do."""
    held = most = 0
    for amount, stays in initial:
        most = max(most, held + amount)
        held += amount if stays else 0
    return max(most, held + sum(running))


@given(st.lists(st.tuples(AMOUNTS, st.booleans()), max_size=4), st.lists(AMOUNTS, max_size=4))
def test_a_pod_asks_for_the_most_that_it_holds_at_any_time(
    initial: list[tuple[int, bool]], running: list[int]
) -> None:
    pod_spec = {
        "initContainers": [
            a_sidecar(amount) if stays else asking(amount) for amount, stays in initial
        ],
        "containers": [asking(amount) for amount in running],
    }
    want = most_held(initial, running)
    assert accelerators.requests(pod_spec) == (gpus(want) if want else ())


@given(st.lists(st.tuples(st.sampled_from([GPU, TPU, "amd.com/gpu"]), AMOUNTS)), st.randoms())
def test_pods_with_the_same_containers_ask_for_the_same_in_whatever_order(
    wishes: list[tuple[str, int]], random: Random
) -> None:
    containers = [asking(amount, of=resource) for resource, amount in wishes]
    asked = accelerators.requests({"containers": containers})
    random.shuffle(containers)
    assert accelerators.requests({"containers": containers}) == asked
