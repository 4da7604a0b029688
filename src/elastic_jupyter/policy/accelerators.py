"""What counts as an accelerator: an extended resource that a pod asks for.

Extended resources are the names with a domain, except Kubernetes' own (``hugepages-*`` has none,
``kubernetes.io`` and its subdomains are reserved). They are whole numbers and cannot be
overcommitted, so a kernel may have to wait for one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from elastic_jupyter.policy import quantity


@dataclass(frozen=True, order=True)
class Request:
    """What a pod asks for of one extended resource, all containers together."""

    resource: str
    amount: int

    def __str__(self) -> str:
        return f"{self.resource}: {self.amount}"


def is_extended(resource: str) -> bool:
    """Say whether a resource of this name is an extended one."""
    domain, slash, _ = resource.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


def requests(pod_spec: Mapping[str, Any]) -> tuple[Request, ...]:
    """Return what a pod asks for, sorted by resource; empty: no accelerator.

    Of init containers the largest counts, as for the scheduler; sidecars (init containers that
    always restart) are added. A quantity that is no whole number counts as 1: the API server
    refuses the pod and says so.
    """
    running = _sum(_mappings(pod_spec.get("containers")))
    sidecars: dict[str, int] = {}
    initial: dict[str, int] = {}
    for container in _mappings(pod_spec.get("initContainers")):
        wanted = _of_container(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _added(sidecars, wanted)
            continue
        for resource, amount in _added(sidecars, wanted).items():
            initial[resource] = max(initial.get(resource, 0), amount)
    total = _added(running, sidecars)
    for resource, amount in initial.items():
        total[resource] = max(total.get(resource, 0), amount)
    return tuple(sorted(Request(name, amount) for name, amount in total.items() if amount > 0))


def _sum(containers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for container in containers:
        total = _added(total, _of_container(container))
    return total


def _of_container(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources")
    if not isinstance(resources, Mapping):
        return {}
    wanted: dict[str, int] = {}
    for part in ("requests", "limits"):  # a limit alone is also the request
        quantities = resources.get(part)
        if isinstance(quantities, Mapping):
            wanted.update(
                {name: _whole(value) for name, value in quantities.items() if is_extended(name)}
            )
    return wanted


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _whole(value: Any) -> int:
    amount = quantity.parse(str(value))
    return int(amount) if amount is not None and amount.denominator == 1 else 1


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, Mapping)]
