"""JupyterGateway: keeps what serves a team's kernels.

Children: the Secrets with the master key and the tombstones and the Lease, made once; the
ServiceAccount with its Role and bindings, the NetworkPolicy, the Service, the Deployment and the
Secret that names the notebooks to be served, kept as the spec says. Writes the status. Woken by the
gateway, its children and pods, the kernels and notebooks that name it, labels of namespaces, and
the JupyterKernelSpecs of its namespace that come and go.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.api.kernel import Phase
from elastic_jupyter.errors import AlreadyExists, Forbidden, Invalid, NotFound
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    JUPYTER_GATEWAY,
    LEASE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Key,
    Object,
    key_of,
)
from elastic_jupyter.operator import deployment_status, server_pod
from elastic_jupyter.operator.admission import Admission
from elastic_jupyter.operator.children import BLOCKED_RETRY, Children
from elastic_jupyter.operator.kernel_index import KernelIndex
from elastic_jupyter.operator.objects import gateway as objects
from elastic_jupyter.operator.objects import gateway_network as network
from elastic_jupyter.operator.objects import gateway_rights as rights
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.policy import images, offer
from elastic_jupyter.policy.images import Choice, Images
from elastic_jupyter.policy.keys import digest
from elastic_jupyter.policy.report import (
    READY,
    Condition,
    Event,
    image_replaced,
    new_replacements,
)
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.parsing import parse

#: Of the master key. The connection keys that derive from it have as many.
_KEY_BYTES = 32

_BOUND = "ClusterRoleBound"
#: What a person has to mend. NotFound: the ClusterRole, or the namespace, is not there.
_REFUSED = (AlreadyExists, Forbidden, Invalid, NotFound)
_RETRIED = frozenset(error.reason for error in _REFUSED)

_WHEN_DOWN = "its kernels run on, but nobody reaches them and idle ones keep their GPU"
_MASTER_KEY_REPLACED = (
    "the gateway's Secret has another master key: kernels that run with the old one are ended, "
    "since nobody can reach them, and notebook servers get new tokens"
)


class _MasterKeyUnusable(Exception):
    """Somebody has edited the Secret with the master key."""


class GatewayReconciler:
    """Makes JupyterGateways true. ``cluster_roles``: those that a gateway may be bound to."""

    def __init__(
        self,
        *,
        gateways: Mapping[Key, Object],
        specs: Mapping[Key, Object],
        kernels: KernelIndex,
        admission: Admission,
        pods: Mapping[Key, Object],
        children: Children,
        reporter: Reporter,
        images: Images,
        cluster_roles: frozenset[str],
    ) -> None:
        self._gateways = gateways
        self._specs = specs
        self._kernels = kernels
        self._admission = admission
        self._pods = pods
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
        before = await self._children.own(DEPLOYMENT, key, owner_uid=gateway.metadata.uid)
        deployment, failed = before, None
        try:
            deployment = await self._make_children(gateway)
        except _MasterKeyUnusable as error:
            failed = Condition(READY, False, "MasterKeyUnusable", str(error))
        except _REFUSED as error:
            failed = Condition(READY, False, error.reason, str(error))
        ready = failed or self._ready(key, deployment)
        bound = await self._bind_cluster_role(gateway)
        said = [ready, deployment_status.available(deployment), *bound, *self._remarks(gateway)]
        await self._report(key, gateway, said, before=before, deployment=deployment)
        refused = failed is not None or any(one.reason in _RETRIED for one in bound)
        return Result(BLOCKED_RETRY) if refused else DONE

    async def _make_children(self, gateway: JupyterGateway) -> Object:
        """Make all children; return the Deployment."""
        children = self._children
        master = await children.make_once(
            SECRET,
            objects.make_master_key_secret(gateway, key=secrets.token_bytes(_KEY_BYTES)),
        )
        key = objects.master_key(master)
        if key is None:  # a gateway that runs, stays with the one it read
            raise _MasterKeyUnusable(
                f"Secret {key_of(master)}: its key '{names.MASTER_KEY_KEY}' is missing, broken or "
                "shorter than 16 bytes, so that nothing new starts; put the former key back, or "
                "delete the Secret: a new one is made then, and kernels that run are ended"
            )
        await children.make_once(SECRET, objects.make_tombstones_secret(gateway))
        await children.apply(
            SECRET, objects.make_notebooks_secret(gateway, uids=self._admission.served(gateway))
        )
        if objects.saves_to_claim(gateway):
            claim = objects.make_snapshots_claim(gateway)
            await children.make_once(PERSISTENT_VOLUME_CLAIM, claim)
        await children.make_once(LEASE, objects.make_handover_lease(gateway))
        account = await children.apply(SERVICE_ACCOUNT, rights.make_service_account(gateway))
        await children.apply(ROLE, rights.make_role(gateway))
        await children.apply(ROLE_BINDING, rights.make_role_binding(gateway))
        await children.apply(NETWORK_POLICY, network.make_network_policy(gateway))
        await children.apply(SERVICE, objects.make_service(gateway))
        return await children.apply(
            DEPLOYMENT,
            objects.make_deployment(
                gateway,
                image=self._image(gateway).image,
                ours=self._images,
                master_digest=digest(key),
                service_account_uid=account["metadata"]["uid"],
            ),
        )

    def _image(self, gateway: JupyterGateway) -> Choice:
        return images.gateway(objects.wanted_image(gateway), self._images)

    def _ready(self, key: Key, deployment: Object | None) -> Condition:
        pods = server_pod.of(self._pods, names.APP_GATEWAY, key)
        return deployment_status.ready(deployment, pods, when_down=_WHEN_DOWN)

    # -- spec.clusterRole

    async def _bind_cluster_role(self, gateway: JupyterGateway) -> list[Condition]:
        """Bind the ClusterRole that is asked for, and no other; return what to say of it.

        Whatever comes of it, the gateway itself is not held up.
        """
        role = gateway.spec.cluster_role
        wanted = role if role in self._cluster_roles else None
        try:
            await self._remove_other_binding(gateway, wanted)
            if wanted:
                binding = rights.make_cluster_role_binding(gateway)
                await self._children.apply(ROLE_BINDING, binding)
        except _REFUSED as error:
            text = f"spec.clusterRole: {role} cannot be bound: {error}"
            return [Condition(_BOUND, False, error.reason, text)]
        if wanted:
            return [Condition(_BOUND, True, "Allowed", f"bound to ClusterRole {role}")]
        if role:
            text = (
                f"spec.clusterRole: {role} is not in the operator's allow-list "
                "(ELASTIC_JUPYTER_CLUSTER_ROLES); the gateway has its own Role alone"
            )
            return [Condition(_BOUND, False, "NotAllowed", text)]
        return []

    async def _remove_other_binding(self, gateway: JupyterGateway, wanted: str | None) -> None:
        """Remove the binding to a role that is not wanted any more: a roleRef cannot change."""
        key = Key(gateway.metadata.namespace or "", rights.cluster_role_binding_name(gateway))
        uid = gateway.metadata.uid
        bound = await self._children.own(ROLE_BINDING, key, owner_uid=uid)
        if bound is not None and bound["roleRef"]["name"] != wanted:
            await self._children.remove(ROLE_BINDING, key, owner_uid=uid or "")

    # -- report

    async def _report(
        self,
        key: Key,
        gateway: JupyterGateway,
        said: list[Condition],
        *,
        before: Object | None,
        deployment: Object | None,
    ) -> None:
        # First: a pass after a conflict of the status would not see it happen any more.
        if before and deployment and _master_digest(before) != _master_digest(deployment):
            event = Event("Warning", "MasterKeyReplaced", _MASTER_KEY_REPLACED)
            await self._reporter.tell(gateway, event)
        await self._reporter.report(
            JUPYTER_GATEWAY,
            gateway,
            gateway.status,
            said,
            events=new_replacements(said, gateway.status),
            kernels=self._counted(key),
            **(deployment_status.counts(deployment) if deployment else {}),
        )

    def _remarks(self, gateway: JupyterGateway) -> Iterator[Condition]:
        choice = self._image(gateway)
        if choice.replaced:
            yield image_replaced(choice)
        if gone := self._missing(gateway):
            yield Condition("KernelsMissing", True, "NotFound", "; ".join(gone))

    def _missing(self, gateway: JupyterGateway) -> list[str]:
        here = {key.name for key in self._specs if key.namespace == gateway.metadata.namespace}
        known = {offer.BUILT_IN, *here}
        return offer.missing(gateway.spec.default_kernel, gateway.spec.kernels or (), known)

    def _counted(self, key: Key) -> dict[str, int]:
        """Return the number of the gateway's kernels in each phase."""
        phases = Counter(
            (kernel.get("status") or {}).get("phase") for kernel in self._kernels.of_gateway(key)
        )
        return {
            "queued": phases[Phase.QUEUED],
            "pending": phases[Phase.PENDING] + phases[None],
            "running": phases[Phase.RUNNING] + phases[Phase.HIBERNATING],
            "asleep": phases[Phase.DORMANT] + phases[Phase.HIBERNATED],
            "failed": phases[Phase.FAILED] + phases[Phase.SUCCEEDED],
        }


def _master_digest(deployment: Object) -> object:
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return annotations.get(names.ANNOTATION_MASTER_KEY_DIGEST)
