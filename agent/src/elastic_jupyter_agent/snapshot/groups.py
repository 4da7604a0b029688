"""Which values share objects, and are pickled together so that they still do afterwards.

Each value is pickled alone first. That says whether it can be at all, so that one value which
cannot loses no other; and the pickle's memo says which objects it holds, in C and not in Python.
"""

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cloudpickle import cloudpickle as internals

from elastic_jupyter_agent.snapshot.pickler import Pickled

#: Nobody can tell whether two names have the same one of these, or it is found by its name.
_NOT_SHARED = (
    str | bytes | int | float | complex | frozenset | range | slice,
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


@dataclass
class Together:
    """Keys whose values go into one pickle, which is there already where there is one key."""

    keys: list[str]
    pickled: Pickled


def group(
    values: Mapping[str, Any],
    pickle: Callable[[list[Any]], Pickled],
    cannot: Callable[[str, Any, BaseException], None],
) -> Iterator[Together]:
    """Yield what goes together. ``cannot`` is told of each key whose value cannot be pickled.

    ``pickle`` makes one of a list of values. Nothing that users' objects raise comes out of here,
    but what is meant for the process, as a KeyboardInterrupt.
    """
    alone: dict[str, Pickled] = {}
    members: dict[str, list[int]] = {}
    known: set[int] = set()
    for key, value in values.items():
        if id(value) in known:  # as a part of another; of two hundred widgets each may hold all
            members[key] = [id(value)]
            continue
        try:
            alone[key] = pickle([value])
        except (Exception, SystemExit) as error:
            cannot(key, value, error)
            continue
        members[key] = _shared(alone[key].objects)
        known.update(members[key])
    for keys in _connected(members):
        if len(keys) == 1:
            yield Together(keys, alone[keys[0]])
            continue
        try:
            yield Together(keys, pickle([values[key] for key in keys]))
        except (Exception, SystemExit):  # each could alone
            for key in keys:
                try:
                    yield Together([key], alone.get(key) or pickle([values[key]]))
                except (Exception, SystemExit) as error:
                    cannot(key, values[key], error)


def _shared(objects: Iterable[Any]) -> list[int]:
    return [id(obj) for obj in objects if _may_be_shared(obj)]


def _may_be_shared(obj: Any) -> bool:
    kind = type(obj)
    if issubclass(kind, _NOT_SHARED[0]) or issubclass(kind, _NOT_SHARED[1]):
        return False
    if issubclass(kind, type) and obj in internals._BUILTIN_TYPE_NAMES:
        return False
    if issubclass(kind, type) or kind is types.FunctionType:
        return not internals._should_pickle_by_reference(obj)
    return kind.__module__ not in _NOT_SHARED_NAMES and (
        f"{kind.__module__}.{kind.__qualname__}" not in _NOT_SHARED_NAMES
    )


def _connected(members: Mapping[str, list[int]]) -> list[list[str]]:
    """Return the keys in groups that share a member, directly or by others; each in order."""
    leader = {key: key for key in members}

    def find(key: str) -> str:
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    first: dict[int, str] = {}
    for key, ids in members.items():
        for member in ids:
            leader[find(key)] = find(first.setdefault(member, key))
    groups: dict[str, list[str]] = {}
    for key in members:
        groups.setdefault(find(key), []).append(key)
    return list(groups.values())
