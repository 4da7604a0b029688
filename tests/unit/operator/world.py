"""A fake API server and one operator's view of it: state in, passes, state out."""

import asyncio
import contextlib
import copy
import functools
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import TypeVar

from elastic_jupyter.api import names
from elastic_jupyter.errors import StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.events import EventRecorder
from elastic_jupyter.kube.kinds import (
    EVENT,
    JUPYTER_KERNEL,
    JUPYTER_NOTEBOOK,
    NAMESPACE,
    POD,
    SECRET,
    Key,
    Kind,
    Object,
)
from elastic_jupyter.kube.reflector import Reflector
from elastic_jupyter.operator.admission import Admission
from elastic_jupyter.operator.children import ANNOTATION_APPLIED, Children
from elastic_jupyter.operator.kernel import KernelCaches
from elastic_jupyter.operator.kernel_index import KernelIndex
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.operator.wiring import CHILDREN, FOLLOWED
from elastic_jupyter.runtime.controller import Result
from tests.support.clock import StoppedClock
from tests.support.fake_apiserver import FakeApiServer
from tests.support.objects import until

K = TypeVar("K", bound=Hashable)
Pass = Callable[[K], Awaitable[Result]]

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


class World:
    """What the reconcilers are made of. ``settle`` before each pass: the caches are fresh then."""

    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self.client = client
        self.clock = StoppedClock()
        self.reflectors = {
            **{kind: Reflector(client, kind) for kind in FOLLOWED},
            **{kind: Reflector(client, kind, label_selector=_OURS) for kind in CHILDREN},
        }
        self.kernel_index = KernelIndex()
        self.reflectors[JUPYTER_KERNEL].on_change(self.kernel_index.changed)

    def cache(self, kind: Kind) -> dict[Key, Object]:
        """Return the live cache of a kind, of which mypy need not know that it is read-only."""
        return self.reflectors[kind].cache  # type: ignore[return-value]

    def children(self) -> Children:
        return Children(self.client, self.reflectors)

    def admission(self) -> Admission:
        return Admission(notebooks=self.cache(JUPYTER_NOTEBOOK), namespaces=self.cache(NAMESPACE))

    def recorder(self) -> EventRecorder:
        return EventRecorder(self.client, component="test", clock=self.clock)

    def reporter(self) -> Reporter:
        return Reporter(self.client, self.recorder(), self.clock)

    def events(self) -> list[tuple[str, str]]:
        """Return type and reason of all Events, in order of creation."""
        return [(event["type"], event["reason"]) for event in self.server.all(EVENT).values()]

    def condition(self, kind: Kind, key: Key, type_: str) -> Object:
        """Return a condition of an object, without its times."""
        conditions = self.server.get(kind, key)["status"]["conditions"]
        found: Object = next(one for one in conditions if one["type"] == type_)
        return {name: found[name] for name in ("status", "reason", "message")}

    async def settle(self) -> None:
        """Wait until the caches are what the server has."""
        for kind, reflector in self.reflectors.items():
            await until(functools.partial(self._is_fresh, kind, reflector))

    def _is_fresh(self, kind: Kind, reflector: Reflector) -> bool:
        ours = kind in CHILDREN
        want = {
            key: obj["metadata"]["resourceVersion"]
            for key, obj in self.server.all(kind).items()
            if not ours or (obj["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY)
        }
        have = {k: obj["metadata"]["resourceVersion"] for k, obj in reflector.cache.items()}
        return reflector.synced.is_set() and want == have

    async def run(self, reconcile: Pass[K], key: K) -> Result:
        """Run passes as the controller would until one changes nothing; return its result."""
        for _ in range(10):
            await self.settle()
            before = self.server.version
            with contextlib.suppress(StoreError):
                result = await reconcile(key)
                if self.server.version == before:
                    return result
        raise AssertionError("each of ten passes changed something")

    def picture(self, *kinds: Kind) -> dict[str, Object]:
        """Return the objects of these kinds, without what differs from one run to the next."""
        return {
            f"{kind} {key}": _lasting(obj)
            for kind in kinds
            for key, obj in sorted(self.server.all(kind).items())
        }


def caches_of(world: World) -> KernelCaches:
    """Return what the kernels' reconciler sees of the world."""
    return KernelCaches(
        kernels=world.cache(JUPYTER_KERNEL),
        notebooks=world.cache(JUPYTER_NOTEBOOK),
        pods=world.cache(POD),
        secrets=world.cache(SECRET),
    )


def _lasting(obj: Object) -> Object:
    obj = copy.deepcopy(obj)
    for field in ("uid", "resourceVersion", "managedFields"):
        obj["metadata"].pop(field, None)
    # A digest, of the owner's uid among other things.
    (obj["metadata"].get("annotations") or {}).pop(ANNOTATION_APPLIED, None)
    for owner in obj["metadata"].get("ownerReferences") or ():
        del owner["uid"]
    return obj


@contextlib.asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    """Start a server, a client, and the reflectors of all kinds that the operator follows."""
    async with FakeApiServer() as server, Client.from_server(server.url) as client:
        world = World(server, client)
        tasks = [asyncio.create_task(one.run()) for one in world.reflectors.values()]
        try:
            yield world
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def crash_after_each_write(
    prepare: Callable[[World], K],
    make: Callable[[World], Pass[K]],
    picture: Callable[[World], object],
) -> int:
    """Check that a process that dies after any of its writes is carried on by the next one.

    ``prepare`` puts the state in and returns the key; ``make`` makes a reconciler without memory;
    ``picture`` tells what the world looks like. The same must come out without a crash, after a
    crash, and when only an answer was lost; and then a new process writes nothing. Returns the
    number of writes that were tried.
    """
    async with a_world() as world:
        key = prepare(world)
        await world.run(make(world), key)
        want, writes = picture(world), world.server.writes
        await make(world)(key)
        assert world.server.writes == writes, "a pass over a world that is right wrote something"
    for number in itertools.count(1):
        for dies in (True, False):
            async with a_world() as world:
                key = prepare(world)
                await world.settle()
                world.server.lose_answer(number)
                reconcile = make(world)
                with contextlib.suppress(StoreError):
                    await reconcile(key)
                if world.server.will_lose_answer:
                    return number - 1
                await world.run(make(world) if dies else reconcile, key)
                have = picture(world)
            assert have == want, f"write {number}, {'dies' if dies else 'goes on'}"
    raise AssertionError("unreachable")
