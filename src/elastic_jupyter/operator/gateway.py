"""JupyterGateway: keeps what serves a team's kernels.

Children: the Secrets with the master key and the tombstones and the Lease, made once; the
ServiceAccount with its Role and bindings, the NetworkPolicy, the Service, the Deployment and the
Secret that names the notebooks to be served, kept as the spec says. Writes the status. Woken by the
gateway, its children, the kernels and notebooks that name it, the labels of their namespaces, and
the JupyterKernelSpecs of its namespace that come and go.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping

from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.api.kernel import Phase
from elastic_jupyter.errors import AlreadyExists, Forbidden, Invalid
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    JUPYTER_GATEWAY,
    LEASE,
    NETWORK_POLICY,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Key,
    Object,
)
from elastic_jupyter.operator import deployment_status
from elastic_jupyter.operator.admission import Admission
from elastic_jupyter.operator.children import Children
from elastic_jupyter.operator.kernel_index import KernelIndex
from elastic_jupyter.operator.objects import gateway as objects
from elastic_jupyter.operator.objects import gateway_network as network
from elastic_jupyter.operator.objects import gateway_rights as rights
from elastic_jupyter.operator.report import (
    BLOCKED_RETRY,
    IMAGE_REPLACED,
    READY,
    Condition,
    Event,
    image_replaced,
    knows,
)
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.policy import images, offer
from elastic_jupyter.policy.images import Images
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.parsing import parse

#: Of the master key. The connection keys that derive from it have as many.
_KEY_BYTES = 32


class GatewayReconciler:
    """Makes JupyterGateways true. ``cluster_roles``: those that a gateway may be bound to."""

    def __init__(
        self,
        *,
        gateways: Mapping[Key, Object],
        specs: Mapping[Key, Object],
        kernels: KernelIndex,
        admission: Admission,
        children: Children,
        reporter: Reporter,
        images: Images,
        cluster_roles: frozenset[str],
    ) -> None:
        self._gateways = gateways
        self._specs = specs
        self._kernels = kernels
        self._admission = admission
        self._children = children
        self._reporter = reporter
        self._images = images
        self._cluster_roles = cluster_roles

    async def reconcile(self, key: Key) -> Result:
        """Look at one gateway once."""
        found = self._gateways.get(key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return DONE  # owner references clean up
        gateway = parse(JupyterGateway, found)
        deployment: Object | None = None
        try:
            deployment = await self._make_children(gateway)
            ready, result = deployment_status.ready(deployment), DONE
            await self._bind_cluster_role(gateway)
        except (AlreadyExists, Invalid, Forbidden) as error:
            ready = Condition(READY, False, error.reason, str(error))
            result = Result(BLOCKED_RETRY)
        await self._report(key, gateway, ready, deployment)
        return result

    async def _make_children(self, gateway: JupyterGateway) -> Object:
        """Make all children; return the Deployment."""
        children = self._children
        master = await children.make_once(
            SECRET,
            objects.make_master_key_secret(gateway, key=secrets.token_bytes(_KEY_BYTES)),
        )
        await children.make_once(SECRET, objects.make_tombstones_secret(gateway))
        await children.apply(
            SECRET, objects.make_notebooks_secret(gateway, uids=self._admission.served(gateway))
        )
        await children.make_once(LEASE, objects.make_handover_lease(gateway))
        await children.apply(SERVICE_ACCOUNT, rights.make_service_account(gateway))
        await children.apply(ROLE, rights.make_role(gateway))
        await children.apply(ROLE_BINDING, rights.make_role_binding(gateway))
        await children.apply(NETWORK_POLICY, network.make_network_policy(gateway))
        await children.apply(SERVICE, objects.make_service(gateway))
        return await children.apply(
            DEPLOYMENT,
            objects.make_deployment(
                gateway,
                image=images.gateway(gateway.spec.image, self._images).image,
                ours=self._images,
                master_key_uid=master["metadata"]["uid"],
            ),
        )

    async def _bind_cluster_role(self, gateway: JupyterGateway) -> None:
        if self._may_bind(gateway):
            await self._children.apply(ROLE_BINDING, rights.make_cluster_role_binding(gateway))
            return
        name = rights.cluster_role_binding_name(gateway)
        await self._children.remove(
            ROLE_BINDING,
            Key(gateway.metadata.namespace or "", name),
            owner_uid=gateway.metadata.uid or "",
        )

    def _may_bind(self, gateway: JupyterGateway) -> bool:
        return gateway.spec.cluster_role in self._cluster_roles

    # -- report

    async def _report(
        self, key: Key, gateway: JupyterGateway, ready: Condition, deployment: Object | None
    ) -> None:
        said = [ready, *self._remarks(gateway)]
        events = [
            Event("Warning", one.type, one.message)
            for one in said
            if one.type == IMAGE_REPLACED and not knows(gateway.status, one.type)
        ]
        await self._reporter.report(
            JUPYTER_GATEWAY,
            gateway,
            gateway.status,
            said,
            events=events,
            kernels=self._counted(key),
            **(deployment_status.counts(deployment) if deployment else {}),
        )

    def _remarks(self, gateway: JupyterGateway) -> Iterator[Condition]:
        choice = images.gateway(gateway.spec.image, self._images)
        if choice.replaced:
            yield image_replaced(choice)
        if gone := self._missing(gateway):
            yield Condition("KernelsMissing", True, "NotFound", "; ".join(gone))
        role = gateway.spec.cluster_role
        if role and self._may_bind(gateway):
            yield Condition("ClusterRoleBound", True, "Allowed", f"bound to ClusterRole {role}")
        elif role:
            text = (
                f"spec.clusterRole: {role} is not in the operator's allow-list "
                "(ELASTIC_JUPYTER_CLUSTER_ROLES); the gateway has its own Role alone"
            )
            yield Condition("ClusterRoleBound", False, "NotAllowed", text)

    def _missing(self, gateway: JupyterGateway) -> list[str]:
        here = {key.name for key in self._specs if key.namespace == gateway.metadata.namespace}
        return offer.missing(gateway.spec.default_kernel, gateway.spec.kernels or (), here)

    def _counted(self, key: Key) -> dict[str, int]:
        """Return the number of the gateway's kernels in each phase."""
        phases = Counter(
            (kernel.get("status") or {}).get("phase") for kernel in self._kernels.of_gateway(key)
        )
        return {
            "queued": phases[Phase.QUEUED],
            "pending": phases[Phase.PENDING] + phases[None],
            "running": phases[Phase.RUNNING],
            "failed": phases[Phase.FAILED] + phases[Phase.SUCCEEDED],
        }
