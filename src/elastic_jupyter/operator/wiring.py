"""Puts the operator together, and says what wakes whom.

A reflector follows each kind; what it tells becomes the key of whoever has to look. Nothing else
passes from an event to a reconciler.
"""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import NoReturn, TypeVar

from elastic_jupyter.api import names
from elastic_jupyter.clock import Clock
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.events import EventRecorder
from elastic_jupyter.kube.kinds import (
    DEPLOYMENT,
    JUPYTER_GATEWAY,
    JUPYTER_KERNEL,
    JUPYTER_KERNEL_SPEC,
    JUPYTER_KERNEL_TEMPLATE,
    JUPYTER_NOTEBOOK,
    LEASE,
    NAMESPACE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Key,
    Kind,
    Object,
    key_of,
)
from elastic_jupyter.kube.reflector import Reflector
from elastic_jupyter.operator import server_pod
from elastic_jupyter.operator.admission import Admission, gateway_named_by
from elastic_jupyter.operator.children import Children
from elastic_jupyter.operator.config import OperatorConfig
from elastic_jupyter.operator.gateway import GatewayReconciler
from elastic_jupyter.operator.kernel import KernelCaches, KernelReconciler
from elastic_jupyter.operator.kernel_index import KernelIndex, gateway_of, notebook_of
from elastic_jupyter.operator.kernelspec import KernelSpecReconciler
from elastic_jupyter.operator.kerneltemplate import KernelTemplateReconciler
from elastic_jupyter.operator.notebook import NotebookReconciler
from elastic_jupyter.operator.queue import QueueReconciler
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.operator.safety_net import Pass, SafetyNet
from elastic_jupyter.policy.queue import ClassKey
from elastic_jupyter.runtime.controller import WORKERS, Controller
from elastic_jupyter.store.kubernetes import KubernetesKernelStore

FOLLOWED = (
    JUPYTER_GATEWAY,
    JUPYTER_KERNEL,
    JUPYTER_KERNEL_SPEC,
    JUPYTER_KERNEL_TEMPLATE,
    JUPYTER_NOTEBOOK,
    NAMESPACE,
)
#: Kinds of children; only those that carry our label are followed.
CHILDREN = (
    *(DEPLOYMENT, LEASE, NETWORK_POLICY, PERSISTENT_VOLUME_CLAIM, POD),
    *(ROLE, ROLE_BINDING, SECRET, SERVICE, SERVICE_ACCOUNT),
)

#: Seconds in which changes of a gateway's kernels are counted together.
_COUNT_PAUSE = 1.0
#: Kernels that are looked at at the same time: a pass is mostly waiting for the API server.
_KERNEL_WORKERS = 16

K = TypeVar("K", bound=Hashable)


class Operator:
    """All reflectors and controllers of one operator process."""

    def __init__(self, client: Client, config: OperatorConfig, clock: Clock) -> None:
        self._reflectors = {
            **{kind: Reflector(client, kind) for kind in FOLLOWED},
            **{kind: Reflector(client, kind, label_selector=_OURS) for kind in CHILDREN},
        }
        self._kernel_index = KernelIndex()
        self._net = SafetyNet(client, clock)
        self._make_controllers(client, config, clock)
        self._wire()

    async def run(self) -> NoReturn:
        """Follow all kinds, and reconcile once all of them are known. Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors.values():
                group.create_task(reflector.run())
            # A cache that is not complete yet looks like objects that are gone.
            for reflector in self._reflectors.values():
                await reflector.synced.wait()
            for controller in self._controllers:
                group.create_task(controller.run())
        raise RuntimeError("the operator's tasks ended")

    # -- parts

    def _make_controllers(self, client: Client, config: OperatorConfig, clock: Clock) -> None:
        recorder = EventRecorder(client, component="elastic-jupyter-operator", clock=clock)
        reporter = Reporter(client, recorder, clock)
        store = KubernetesKernelStore(client)
        admission = Admission(
            notebooks=self._cache(JUPYTER_NOTEBOOK), namespaces=self._cache(NAMESPACE)
        )
        self._children = Children(client, self._reflectors)
        self._line = QueueReconciler(
            client=client,
            kernels=self._cache(JUPYTER_KERNEL),
            pods=self._cache(POD),
            wake_kernel=lambda key: self._kernels.enqueue(key),
            clock=clock,
        )
        kernels = KernelReconciler(
            client=client,
            store=store,
            caches=KernelCaches(
                kernels=self._cache(JUPYTER_KERNEL),
                notebooks=self._cache(JUPYTER_NOTEBOOK),
                pods=self._cache(POD),
                secrets=self._cache(SECRET),
            ),
            kernels=self._kernel_index,
            recorder=recorder,
            clock=clock,
            images=config.images,
            place_of=self._line.place_of,
        )
        self._pod_gone = kernels.pod_gone
        self._kernels = self._controller(
            "kernel", JUPYTER_KERNEL, kernels.reconcile, workers=_KERNEL_WORKERS
        )
        self._queue: Controller[ClassKey] = Controller("queue", self._line.reconcile)
        self._gateways = self._controller(
            "gateway",
            JUPYTER_GATEWAY,
            GatewayReconciler(
                gateways=self._cache(JUPYTER_GATEWAY),
                specs=self._cache(JUPYTER_KERNEL_SPEC),
                kernels=self._kernel_index,
                admission=admission,
                pods=self._cache(POD),
                children=self._children,
                reporter=reporter,
                images=config.images,
                cluster_roles=config.cluster_roles,
            ).reconcile,
        )
        self._notebooks = self._controller(
            "notebook",
            JUPYTER_NOTEBOOK,
            NotebookReconciler(
                client=client,
                store=store,
                notebooks=self._cache(JUPYTER_NOTEBOOK),
                gateways=self._cache(JUPYTER_GATEWAY),
                secrets=self._cache(SECRET),
                pods=self._cache(POD),
                kernels=self._kernel_index,
                admission=admission,
                children=self._children,
                reporter=reporter,
                images=config.images,
            ).reconcile,
        )
        self._specs = self._controller(
            "kernelspec",
            JUPYTER_KERNEL_SPEC,
            KernelSpecReconciler(
                client=client,
                specs=self._cache(JUPYTER_KERNEL_SPEC),
                templates=self._cache(JUPYTER_KERNEL_TEMPLATE),
                reporter=reporter,
                images=config.images,
            ).reconcile,
        )
        self._templates = self._controller(
            "kerneltemplate",
            JUPYTER_KERNEL_TEMPLATE,
            KernelTemplateReconciler(
                client=client,
                templates=self._cache(JUPYTER_KERNEL_TEMPLATE),
                reporter=reporter,
                images=config.images,
            ).reconcile,
        )

    def _controller(
        self, name: str, kind: Kind, reconcile: Pass, *, workers: int = WORKERS
    ) -> Controller[Key]:
        """Return the controller of a kind, whose passes are under the safety net."""
        netted = self._net.under(kind, self._cache(kind), reconcile)
        return Controller(name, netted, workers=workers)

    @property
    def _controllers(self) -> tuple[Controller[Key] | Controller[ClassKey], ...]:
        return (
            self._kernels,
            self._queue,
            self._gateways,
            self._notebooks,
            self._specs,
            self._templates,
        )

    def _cache(self, kind: Kind) -> Mapping[Key, Object]:
        return self._reflectors[kind].cache

    # -- what wakes whom

    def _wire(self) -> None:
        on = {kind: reflector.on_change for kind, reflector in self._reflectors.items()}
        on[JUPYTER_KERNEL](self._kernel_index.changed)
        on[JUPYTER_KERNEL](self._kernel_changed)
        on[JUPYTER_GATEWAY](self._gateway_changed)
        on[JUPYTER_NOTEBOOK](self._notebook_changed)
        on[NAMESPACE](self._namespace_changed)
        on[JUPYTER_KERNEL_SPEC](self._spec_changed)
        on[JUPYTER_KERNEL_TEMPLATE](self._template_changed)
        on[POD](self._pod_changed)
        on[SECRET](self._secret_changed)
        on[PERSISTENT_VOLUME_CLAIM](self._claim_changed)
        for kind in CHILDREN:
            on[kind](self._child_changed(kind))

    def _child_changed(self, kind: Kind) -> Callable[[Key, Object | None, Object | None], None]:
        """Return what wakes the owner of a child of this kind."""
        controllers = {
            JUPYTER_KERNEL.kind: self._kernels,
            JUPYTER_GATEWAY.kind: self._gateways,
            JUPYTER_NOTEBOOK.kind: self._notebooks,
        }

        def changed(key: Key, old: Object | None, new: Object | None) -> None:
            if new is None:
                self._children.forget(kind, key)
            for owner in _owners(new or old):
                controller = controllers.get(owner["kind"])
                if controller is not None:
                    controller.enqueue(Key(key.namespace, owner["name"]))

        return changed

    def _kernel_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self._kernels.enqueue(key)
        self._look_at_line(key)
        gateway = gateway_of(new or old)
        if gateway is not None and _phase(old) != _phase(new):
            self._gateways.enqueue(gateway, after=_COUNT_PAUSE)
        notebook = notebook_of(new)
        if notebook is not None and old is None:
            self._notebooks.enqueue(notebook)  # does it exist?

    def _notebook_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self._notebooks.enqueue(key)
        if _served_as(old) != _served_as(new):
            for gateway in filter(None, map(gateway_named_by, (old, new))):
                self._gateways.enqueue(gateway)

    def _namespace_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if _labels(old) == _labels(new):
            return
        for notebook_key, notebook in self._cache(JUPYTER_NOTEBOOK).items():
            gateway = gateway_named_by(notebook)
            if notebook_key.namespace == key.name and gateway is not None:
                self._notebooks.enqueue(notebook_key)
                self._gateways.enqueue(gateway)

    def _gateway_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self._gateways.enqueue(key)
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self._wake_notebooks_of(key)

    def _spec_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self._specs.enqueue(key)
        if old is None or new is None:
            for gateway in self._cache(JUPYTER_GATEWAY):
                if gateway.namespace == key.namespace:
                    self._gateways.enqueue(gateway)  # is one that it lists missing?

    def _template_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self._templates.enqueue(key)
        for spec_key, spec in self._cache(JUPYTER_KERNEL_SPEC).items():
            reference = (spec.get("spec") or {}).get("template") or {}
            if spec_key.namespace == key.namespace and reference.get("name") == key.name:
                self._specs.enqueue(spec_key)

    def _pod_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        self._look_at_line(key)
        if old is not None and new is None:
            self._pod_gone(key, old)
        for app, controller in (
            (names.APP_GATEWAY, self._gateways),
            (names.APP_NOTEBOOK, self._notebooks),
        ):
            owner = server_pod.owner_of(key, new or old, app)
            if owner is not None:
                controller.enqueue(owner)

    def _look_at_line(self, key: Key) -> None:
        for wanted in self._line.changed(key):
            self._queue.enqueue(wanted)

    def _secret_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        for owner in _owners(new or old):
            gateway = Key(key.namespace, owner["name"])
            if key.name == names.master_key_secret_name(gateway.name):
                self._wake_notebooks_of(gateway)
                for kernel in self._kernel_index.of_gateway(gateway):
                    self._kernels.enqueue(key_of(kernel))

    def _claim_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Wake the notebook of a claim, which has no owner."""
        notebook = key.name.removesuffix(names.storage_claim_name(""))
        self._notebooks.enqueue(Key(key.namespace, notebook))

    def _wake_notebooks_of(self, gateway: Key) -> None:
        for key, notebook in self._cache(JUPYTER_NOTEBOOK).items():
            if gateway_named_by(notebook) == gateway:
                self._notebooks.enqueue(key)


_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


def _owners(obj: Object | None) -> list[Object]:
    owners: list[Object] = (obj or {}).get("metadata", {}).get("ownerReferences") or []
    return [owner for owner in owners if owner["apiVersion"].startswith(f"{names.GROUP}/")]


def _served_as(notebook: Object | None) -> object:
    """Return all of a notebook that matters to its gateway."""
    metadata = (notebook or {}).get("metadata") or {}
    gone = metadata.get("deletionTimestamp") is not None
    return gateway_named_by(notebook), metadata.get("uid"), gone


def _labels(obj: Object | None) -> object:
    return None if obj is None else obj["metadata"].get("labels") or {}


def _phase(kernel: Object | None) -> object:
    """Return what the kernel counts as; None is a kernel that is not there."""
    return None if kernel is None else (kernel.get("status") or {}).get("phase", "")
