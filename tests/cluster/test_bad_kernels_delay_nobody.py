"""Kernels that the API server refuses cost the others nothing that their users would notice."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import manifests
from tests.support.cluster import Cluster
from tests.support.team import a_namespace

pytestmark = pytest.mark.alone

Object = dict[str, Any]
BAD = 50
TURNS = 5


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with a_namespace(cluster) as name:
        yield name


def a_kernel(name: str, namespace: str, container: Object | None = None, **spec: Any) -> Object:
    """A JupyterKernel whose pod finds no node."""
    one = {"name": "kernel", **(container or {})}
    template = {"spec": {"nodeSelector": {"no": "node"}, "containers": [one]}}
    return {
        "apiVersion": manifests.API,
        "kind": "JupyterKernel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": template, **spec},
    }


def seconds_to_the_pod(cluster: Cluster, namespace: str, name: str) -> float:
    """Create a kernel and return how long its pod's object takes."""
    start = time.monotonic()
    cluster.create(a_kernel(name, namespace))
    while cluster.get(namespace, "pods", name) is None:
        assert time.monotonic() - start < 30, f"no pod of {name}"
    return time.monotonic() - start


def bad_kernels(cluster: Cluster, namespace: str, turn: int) -> None:
    mount = {"volumeMounts": [{"name": "no", "mountPath": "/x"}]}
    for number in range(BAD):
        name = f"bad-{turn}-{number}"
        cluster.create(
            a_kernel(name, namespace, mount)
            if number % 2
            else a_kernel(name, namespace, gatewayRef={"name": "none"})
        )


def test_fifty_bad_kernels_do_not_delay_a_good_one(cluster: Cluster, namespace: str) -> None:
    """Ten of them delayed a good one by 10.4 s in the original."""
    alone, beside = [], []
    for turn in range(TURNS):
        alone.append(seconds_to_the_pod(cluster, namespace, f"alone-{turn}"))
        bad_kernels(cluster, namespace, turn)
        beside.append(seconds_to_the_pod(cluster, namespace, f"beside-{turn}"))
    figures = {
        "alone_s": [round(one, 3) for one in alone],
        "beside_50_s": [round(one, 3) for one in beside],
        "ratio_of_medians": round(statistics.median(beside) / statistics.median(alone), 2),
    }
    print(figures)
    assert statistics.median(beside) < statistics.median(alone) + 1, figures
