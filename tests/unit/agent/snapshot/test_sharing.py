"""Nested structures of hypothesis with sharing and cycles keep their shape, name by name."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastic_jupyter_agent.snapshot.groups import group
from elastic_jupyter_agent.snapshot.outputs import Kept
from elastic_jupyter_agent.snapshot.pickler import Failed, Pickler, unpickled
from elastic_jupyter_agent.snapshot.reducers import Reducers

LIVE: list[Any] = [{}]
#: What a structure is made of: for each node its kind, a plain value, and the nodes it refers to.
NODES = st.lists(
    st.tuples(
        st.sampled_from(["list", "dict", "object", "tuple of list", "array"]),
        st.one_of(st.none(), st.integers(), st.text(max_size=3), st.binary(max_size=3)),
        st.lists(st.integers(0, 11), max_size=4),
    ),
    min_size=1,
    max_size=12,
)


class Node:
    """An object with a dictionary."""


def build(nodes: list[tuple[str, Any, list[int]]]) -> list[Any]:
    made: list[Any] = [
        {
            "list": [],
            "dict": {},
            "object": Node(),
            "tuple of list": ([],),
            "array": np.empty(1, dtype=object),
        }[kind]
        for kind, _, _ in nodes
    ]
    for value, (kind, plain, references) in zip(made, nodes, strict=True):
        content = [plain, *(made[place % len(made)] for place in references)]
        if kind == "list":
            value.extend(content)
        elif kind == "dict":
            value.update(enumerate(content))
        elif kind == "object":
            value.content = content
        elif kind == "array":
            value[0] = content
        else:
            value[0].extend(content)
    return made


def shape(roots: list[Any]) -> list[Any]:
    """Describe everything reachable: equal where, and only where, the same objects are shared."""
    numbers: dict[int, int] = {}
    described: list[Any] = []
    todo = list(roots)
    while todo:
        value = todo.pop(0)
        if isinstance(value, list | dict | Node | np.ndarray):
            known = id(value) in numbers
            described.append(numbers.setdefault(id(value), len(numbers)))
            if known:
                continue
        described.append(type(value).__name__)
        if isinstance(value, Node):
            todo.append(value.content)  # type: ignore[attr-defined]
        elif isinstance(value, dict):
            todo += [*value, *value.values()]
        elif isinstance(value, list | tuple | np.ndarray):
            described.append(len(value))
            todo.extend(value)
        else:
            described.append(value)
    return described


def grouped(values: dict[str, Any], lost: list[str]) -> list[tuple[list[str], Kept]]:
    reducers = Reducers()

    def pickle(several: list[Any], output: Any, visit: Any = None) -> bool:
        pickler = Pickler(LIVE, reducers, output, visit)
        for value in several:
            pickler.dump(value)
        return True

    return list(group(values, LIVE, pickle, Kept, lambda key, value, error: lost.append(key)))


def round_trip(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what comes back, and what could not be pickled."""
    lost: list[str] = []
    back: dict[str, Any] = {}
    for keys, kept in grouped(values, lost):
        stream = memoryview(b"".join(kept.stream))
        back |= zip(keys, unpickled(stream, kept.buffers, LIVE, len(keys)), strict=True)
    return {key: back[key] for key in values if key in back}, lost


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NODES)
def test_sharing_and_cycles_survive(nodes: list[tuple[str, Any, list[int]]]) -> None:
    values = {f"n{place}": value for place, value in enumerate(build(nodes))}
    back, lost = round_trip(values)
    assert lost == []
    assert shape(list(back.values())) == shape(list(values.values()))


@settings(max_examples=60, deadline=None)
@given(NODES, st.integers(0, 11))
def test_only_names_that_reach_what_cannot_be_saved_are_lost(
    nodes: list[tuple[str, Any, list[int]]], place: int
) -> None:
    made = build(nodes)
    _hold(made[place % len(made)], (n for n in ()))
    reach = {f"n{n}" for n, value in enumerate(made) if "generator" in shape([value])}
    values = {f"n{n}": value for n, value in enumerate(made)}
    back, lost = round_trip(values)
    assert set(lost) == reach
    kept = [value for key, value in values.items() if key not in reach]
    assert shape(list(back.values())) == shape(kept)


def _hold(holder: Any, held: Any) -> None:
    """Have what ``build`` made hold one thing more."""
    holder = holder[0] if isinstance(holder, tuple | np.ndarray) else holder
    if isinstance(holder, dict):
        holder["held"] = held
    elif isinstance(holder, Node):
        holder.content.append(held)  # type: ignore[attr-defined]
    else:
        holder.append(held)


class Broken:
    """Cannot be made anew."""

    def __reduce__(self) -> Any:
        return _raise, ()


def _raise() -> None:
    raise ValueError("not again")


class HalfMade:
    """Is there before it fails, so that others may hold it."""

    def __init__(self, content: Any = None) -> None:
        self.content = content

    def __setstate__(self, state: Any) -> None:
        _raise()


class SetBy(HalfMade):
    """Is filled by a function that fails."""

    def __reduce__(self) -> Any:
        return SetBy, (), self.content, None, None, lambda made, content: _raise()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NODES, st.integers(0, 11), st.sampled_from([Broken, HalfMade, SetBy]))
def test_only_names_that_reach_what_cannot_be_made_anew_are_lost(
    nodes: list[tuple[str, Any, list[int]]], place: int, kind: Any
) -> None:
    made = build(nodes)
    # What is half made holds others, too, and they come back.
    _hold(made[place % len(made)], kind() if kind is Broken else kind([made[-1], made[0]]))
    values = {f"n{n}": value for n, value in enumerate(made)}
    reach = {key for key, value in values.items() if kind.__name__ in shape([value])}
    back, lost = round_trip(values)
    assert lost == []
    failed = {key for key, value in back.items() if isinstance(value, Failed)}
    assert failed == reach
    assert {str(back[key].error) for key in failed} <= {"not again"}
    kept = [value for key, value in values.items() if key not in reach]
    assert shape([back[key] for key in values if key not in reach]) == shape(kept)


class Stateful:
    """Has a state that is made for each pickle, in memory that was another's before."""

    def __getstate__(self) -> Any:
        return {"made": [[n] for n in range(100)]}


def test_what_is_made_for_a_pickle_is_shared_by_nobody() -> None:
    values = {f"n{n}": Stateful() for n in range(20)}
    assert [len(keys) for keys, _ in grouped(values, [])] == [1] * 20


def test_what_shares_nothing_is_pickled_apart() -> None:
    shared: list[int] = []
    values = {"a": shared, "b": [shared], "c": [1], "d": "text", "e": ["text"]}
    assert [keys for keys, _ in grouped(values, [])] == [["a", "b"], ["c"], ["d"], ["e"]]
