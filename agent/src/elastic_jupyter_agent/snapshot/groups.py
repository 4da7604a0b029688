"""Which values share objects, and are pickled together so that they still do afterwards.

Each value is pickled alone first. That says whether it can be at all, so that one value which
cannot loses no other; and which objects it holds. Of those only the addresses are kept, and of the
pickle nothing but where it is small: there may be millions of objects in a kernel whose memory is
nearly full.
"""

import sys
import types
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from cloudpickle import cloudpickle as internals

from elastic_jupyter_agent.snapshot.outputs import Kept, Output

#: Nobody can tell whether two names have the same one of these, or it is found by its name.
_NOT_SHARED = (
    str | bytes | int | float | complex | tuple | frozenset | range | slice | None,
    types.ModuleType | types.BuiltinFunctionType | types.CodeType | types.EllipsisType,
)
#: Of libraries that are not imported for this; both are made once and shared by all.
_NOT_SHARED_NAMES = {
    "numpy.dtype",
    "numpy.dtypes",
    "pickle.PickleBuffer",
    "torch.device",
    "torch.dtype",
}
#: Bytes of all pickles that are kept. What is larger is pickled again, at 0.2 GB/s.
KEPT = 32 * 1024 * 1024
#: Addresses are compared in so many parts, with a table of one part at a time.
_PARTS = 64

Out = TypeVar("Out", bound=Output)


class Pickle(Protocol):
    """Writes a pickle of some values; ``visit`` is called with each object, and returns None.

    Returns whether it is whole: with ``visit`` costly parts may be left out. Raises whatever the
    objects' own hooks raise.
    """

    def __call__(
        self, several: list[Any], output: Output, visit: Callable[[Any], None] | None = None
    ) -> bool: ...


def group(
    values: Mapping[str, Any],
    live: list[Any],
    pickle: Pickle,
    output: Callable[[], Out],
    cannot: Callable[[str, Any, BaseException], None],
) -> Iterator[tuple[list[str], Out]]:
    """Yield the keys whose values go together, and the output that has their pickle.

    ``live`` are objects that nobody's pickle holds. ``cannot`` is told of each key whose value
    cannot be pickled. Nothing that users' objects raise comes out of here, but what is meant for
    the process, as a KeyboardInterrupt.
    """
    keys, kept, room = list(values), dict[str, Kept](), KEPT
    roots = {id(value) for value in values.values()}
    known: set[int] = set()
    addresses, kinds, own = _Addresses(), _Kinds(), {id(obj) for obj in live}
    for place, key in enumerate(keys):
        value = values[key]
        if id(value) in known:  # as a part of another; of two hundred widgets each may hold all
            addresses.add(id(value), place)
            continue
        look = _Look(own, kinds, room)
        try:
            whole = pickle([value], look, look.visited.append)
        except (Exception, SystemExit) as error:
            cannot(key, value, error)
            keys[place] = ""
            continue
        if whole and look.kept.whole:
            kept[key] = look.kept
            room -= look.kept.size
        for address in _of_others(look.objects):
            addresses.add(address, place)
            if address in roots:
                known.add(address)

    def written(keys: list[str]) -> Out:
        out = output()
        alone = kept.pop(keys[0], None) if len(keys) == 1 else None
        if alone:
            alone.copy(out)
        else:
            pickle([values[key] for key in keys], out)
        return out

    groups = _connected(keys, addresses)
    del addresses
    for key in [key for together in groups if len(together) > 1 for key in together]:
        kept.pop(key, None)
    for together in groups:
        try:
            yield together, written(together)
        except (Exception, SystemExit) as error:
            if len(together) == 1:
                cannot(together[0], values[together[0]], error)
                continue
            for key in together:  # each could alone
                try:
                    yield [key], written([key])
                except (Exception, SystemExit) as error:
                    cannot(key, values[key], error)


class _Look:
    """An output that keeps what is small, and which of the visited objects may be shared.

    A pickle is written by pieces of 64 KB, so few objects wait to be looked at.
    """

    def __init__(self, live: set[int], kinds: "_Kinds", room: int) -> None:
        self.visited: list[Any] = []
        self.objects: list[Any] = []  #: each at least once, those that hold others first
        self.kept = Kept(room)
        self._live, self._kinds = live, kinds

    def write(self, data: Any) -> int:
        kinds = self._kinds
        # Most pieces of a large pickle are of strings and numbers alone.
        some = any(kinds[kind] for kind in set(map(type, self.visited)))
        found = {id(obj): obj for obj in self.visited if kinds[type(obj)]} if some else {}
        self.visited.clear()
        self.objects += [
            obj for at, obj in found.items() if at not in self._live and _may_be_shared(obj)
        ]
        return self.kept.write(data)

    def buffer(self, view: memoryview) -> None:
        self.kept.buffer(view)


class _Kinds(dict[type, bool]):
    """Types, and whether objects of them may be shared."""

    def __missing__(self, kind: type) -> bool:
        self[kind] = not (
            issubclass(kind, _NOT_SHARED[0])
            or issubclass(kind, _NOT_SHARED[1])
            or kind.__module__ in _NOT_SHARED_NAMES
            or f"{kind.__module__}.{kind.__qualname__}" in _NOT_SHARED_NAMES
        )
        return self[kind]


def _may_be_shared(obj: Any) -> bool:
    """Say whether a class or a function is pickled itself, and not its name."""
    kind = type(obj)
    if issubclass(kind, type) and obj in internals._BUILTIN_TYPE_NAMES:
        return False
    if issubclass(kind, type) or kind is types.FunctionType:
        return not internals._should_pickle_by_reference(obj)
    return True


def _of_others(objects: list[Any]) -> Iterator[int]:
    """Empty the list, and yield the addresses of what is still there.

    What was made for the pickle goes, those that hold others first: another may be made at its
    address. Of what stays nobody else is made there.
    """
    objects.reverse()
    while objects:
        there = sys.getrefcount(objects[-1]) > 2  # the list's and the call's own
        address = id(objects.pop())
        if there:
            yield address


class _Addresses:
    """Which objects each value holds: twelve bytes for each, where a table takes a hundred."""

    def __init__(self) -> None:
        self._parts = [(array("Q"), array("I")) for _ in range(_PARTS)]

    def add(self, address: int, place: int) -> None:
        addresses, places = self._parts[(address >> 4) % _PARTS]
        addresses.append(address)
        places.append(place)

    def shared(self) -> Iterator[tuple[int, int]]:
        """Yield two places where one object is, so that all of its places are connected."""
        for addresses, places in self._parts:
            first: dict[int, int] = {}
            for address, place in zip(addresses, places, strict=True):
                other = first.setdefault(address, place)
                if other != place:
                    yield other, place


def _connected(keys: list[str], addresses: _Addresses) -> list[list[str]]:
    """Return the keys in groups that share an object, directly or by others; each in order.

    An empty key stands for none.
    """
    leader = list(range(len(keys)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for one, other in addresses.shared():
        leader[find(other)] = find(one)
    groups: dict[int, list[str]] = {}
    for place, key in enumerate(keys):
        if key:
            groups.setdefault(find(place), []).append(key)
    return list(groups.values())
