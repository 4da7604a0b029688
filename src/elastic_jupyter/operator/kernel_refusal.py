"""What a JupyterKernel may not say although its schema lets it: a schema sees one object alone.

Pure; the reconciler ends a kernel that is refused here as it ends one that the API server refuses.
"""

from collections.abc import Iterable

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.policy.lifecycle import Sight, Sighting


def refusal(kernel: JupyterKernel, siblings: Iterable[Object]) -> Sighting | None:
    """Return why no pod is made; ``siblings`` are all kernels that name its gateway.

    Of two kernels with the same id the older one keeps it: the gateway knows one of each id.
    """
    gateway, namespace = kernel.spec.gateway_ref, kernel.metadata.namespace
    if gateway is None:
        return None
    if gateway.namespace not in (None, namespace):
        text = f"spec.gatewayRef.namespace: the gateway must be in namespace {namespace}"
        return Sighting(Sight.REFUSED, "GatewayElsewhere", text)
    wanted = kernel.spec.kernel_id
    if wanted is None:
        return None
    ours = min(
        (one for one in siblings if one["spec"].get("kernelID") == wanted),
        key=_seniority,
        default=None,
    )
    if ours is None or ours["metadata"]["uid"] == kernel.metadata.uid:
        return None
    name = ours["metadata"]["name"]
    text = f"spec.kernelID: JupyterKernel {name} has this id already; leave it out or name another"
    return Sighting(Sight.REFUSED, "KernelIDTaken", text)


def _seniority(kernel: Object) -> tuple[str, str]:
    metadata = kernel["metadata"]
    return metadata.get("creationTimestamp") or "", metadata["name"]
