"""The kernels' reconciler, and a kernel for it."""

from collections.abc import Callable

from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, SECRET, Key, Object
from elastic_jupyter.operator.kernel import KernelCaches, KernelReconciler
from elastic_jupyter.policy.queue import Place, Refused
from elastic_jupyter.store.kernels import KubernetesKernelStore
from tests.support.kernels import IMAGES, a_gateway, a_master_key
from tests.unit.operator.world import Pass, World, caches_of

PlaceOf = Callable[[Key], Place | Refused | None]

KERNEL = Key("team", "jovyan-1")
CONNECTION = Key("team", "jovyan-1-connection")


def make(
    world: World,
    *,
    caches: KernelCaches | None = None,
    place_of: PlaceOf = lambda key: None,
) -> Pass[Key]:
    """Return a pass without memory; ``caches`` None: those that follow the server."""
    return make_whole(world, caches=caches, place_of=place_of).reconcile


def make_whole(
    world: World,
    *,
    caches: KernelCaches | None = None,
    place_of: PlaceOf = lambda key: None,
) -> KernelReconciler:
    """Return the reconciler of such passes."""
    return KernelReconciler(
        client=world.client,
        store=KubernetesKernelStore(world.client),
        caches=caches or caches_of(world),
        kernels=world.kernel_index,
        recorder=world.recorder(),
        clock=world.clock,
        images=IMAGES,
        place_of=place_of,
    )


def put(world: World, kernel: Object, *, master_key: bool = True) -> Object:
    """Put a kernel, and by default its gateway's key, into the world; return it as stored."""
    if master_key:
        world.server.put(SECRET, a_master_key(a_gateway()))
    return world.server.put(JUPYTER_KERNEL, kernel)
