"""Saved values made anew, once more where a method of theirs asks for a name that comes later."""

import gc
from collections.abc import Callable, Sequence
from typing import Any

from elastic_jupyter_agent.snapshot import places, telling
from elastic_jupyter_agent.snapshot.blobs import Reader
from elastic_jupyter_agent.snapshot.pickler import Failed, unpickled
from elastic_jupyter_agent.wire import Entry, Group


def made(
    shell: Any, live: list[Any], *, groups: Sequence[Group], data: list[Any], reader: Reader
) -> list[tuple[Group, list[Any]]]:
    """Return the values of each group: ``Failed`` for what could not be made, None if superseded.

    ``data``, which is emptied, has the stream and the buffers of each. What runs a method that asks
    for a name of the user's is made once more, from bytes that are read once more, when the others'
    names are there: a name binds no two groups together. Raises what the reader's source raises.
    """
    found: list[list[Any]] = []
    again: list[int] = []
    for place, saved in enumerate(groups):
        values = _made(saved, data.pop(0), live)
        if _misses_a_name(values):
            again.append(place)
            values = []
        found.append(values)
    if again:
        gc.collect()  # while nothing is named of what was made in vain
        for saved, values in zip(groups, found, strict=True):
            for entry, value in zip(saved.entries, values, strict=False):
                _name(shell, entry, value)
    while again:
        for place in again:
            found[place] = []
            found[place] = _made_again(shell, groups[place], live, reader=reader)
        left = [place for place in again if _misses_a_name(found[place])]
        again = left if len(left) < len(again) else []  # one may need what another brought
        gc.collect()
    return [*zip(groups, found, strict=True)]


def _made_again(shell: Any, saved: Group, live: list[Any], *, reader: Reader) -> list[Any]:
    """Make a group, of which nothing is held, and name each value as soon as it is made."""
    for entry in saved.entries:  # of a try before this one
        _unname(shell, entry)
    gc.collect()
    pieces = reader.read([saved.stream, *saved.buffers])()
    values = _made(
        saved, pieces, live, done=lambda place, value: _name(shell, saved.entries[place], value)
    )
    for entry, value in zip(saved.entries, values, strict=True):
        if isinstance(value, Failed):
            _unname(shell, entry)
    return values


def _made(
    saved: Group,
    pieces: Sequence[Any],
    live: list[Any],
    *,
    done: Callable[[int, Any], None] = lambda place, value: None,
) -> list[Any]:
    """Make a group of its stream and its buffers."""
    stream, *buffers = pieces
    values = unpickled(stream, buffers, live, len(saved.entries), _begin(saved), done)
    return [None if e.superseded else v for e, v in zip(saved.entries, values, strict=True)]


def _begin(saved: Group) -> Callable[[int], None]:
    """Return what notes which value is made, if anybody will see it."""

    def begin(place: int) -> None:
        entry = saved.entries[place]
        telling.making("" if entry.superseded else places.shown(entry.key))

    return begin


def _misses_a_name(values: list[Any]) -> bool:
    return any(isinstance(v, Failed) and isinstance(v.error, NameError) for v in values)


def _name(shell: Any, entry: Entry, value: Any) -> None:
    """Put a value where methods that run meanwhile look for it."""
    named = entry.key.startswith(("name:", "hidden:", "imported:"))
    if named and not (entry.superseded or isinstance(value, Failed)):
        places.put(shell, entry.key, value)


def _unname(shell: Any, entry: Entry) -> None:
    kind, _, name = entry.key.partition(":")
    if kind in ("name", "hidden") and not entry.superseded:
        shell.user_ns.pop(name, None)
