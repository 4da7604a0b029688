"""A kernel's state into blobs and a manifest, and back."""

import contextlib
import datetime
import gc
import platform
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from elastic_jupyter_agent.snapshot import (
    making,
    places,
    process,
    reducers,
    settings,
    telling,
    widgets,
)
from elastic_jupyter_agent.snapshot.blobs import Reader, Sink, Source, Writer
from elastic_jupyter_agent.snapshot.groups import group
from elastic_jupyter_agent.snapshot.outputs import Output, Sent, SinkFailed
from elastic_jupyter_agent.snapshot.pickler import Failed, Pickler, live_objects
from elastic_jupyter_agent.snapshot.telling import NotKept
from elastic_jupyter_agent.urgency import less_urgent
from elastic_jupyter_agent.wire import Entry, Group, Lost, Manifest, WireError

#: Where a value that could not be made anew is tried again; elsewhere is another by then.
_TRIED_AGAIN = ("name:", "hidden:", "out:", "magic:", "widget:", "comm:")

#: Seconds after which another thread has its turn while a kernel is saved; Python's are 0.005.
_TURN = 0.0005


@dataclass(frozen=True)
class Saved:
    """A manifest whose blobs are stored, and how many bytes of them were not there before.

    ``left`` are those of its groups that are of an earlier snapshot, see ``Report``.
    """

    manifest: Manifest
    written: int
    left: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a restore did: the user's names that are back, what is not, sentences to be told.

    ``left`` are the groups with values that could not be made anew, all others being superseded:
    the next snapshot takes them over.
    """

    restored: list[str]
    lost: list[Lost]
    notices: list[str]
    left: tuple[Group, ...] = ()


def save(
    shell: Any, sink: Sink, known: Manifest | None = None, left: Sequence[Group] = ()
) -> Saved:
    """Save the state of an IPython shell; to be called in its main thread.

    ``known`` is the manifest of an earlier snapshot, whose blobs are used again, and ``left`` what
    the restore of it could not bring back. What cannot be saved is in the manifest's ``lost``, and
    nothing that users' objects raise comes out, but KeyboardInterrupt. Raises what the sink raises.
    """
    live = live_objects(shell)
    own = reducers.Reducers()
    values = places.collect(shell)
    lost: list[Lost] = []

    told: set[int] = set()

    def cannot(key: str, value: Any, error: BaseException) -> None:
        # A widget that has a name is told by its name.
        if not (key.startswith(("widget:", "comm:")) and id(value) in told):
            lost.extend(_lost(Entry(key, type_name(value)), reason(error)))
        told.add(id(value))

    def pickle(
        several: list[Any], output: Output, visit: Callable[[Any], None] | None = None
    ) -> bool:
        own.storages.looking, own.storages.left_out = visit is not None, False
        pickler = Pickler(live, own, output, visit)
        for value in several:
            pickler.dump(value)
        return not own.storages.left_out

    try:
        with _quiet(), _taking_turns(), Writer(sink, known) as writer:
            made = []
            for keys, sent in group(values, live, pickle, lambda: Sent(writer), cannot):
                sent.flush()
                made.append((tuple(Entry(key, type_name(values[key])) for key in keys), sent))
    except SinkFailed as failed:
        raise failed.error from None
    older, gone = _taken_over(left, values, sink)
    manifest = Manifest(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        python=platform.python_version(),
        packages=process.packages(),
        # Those before them win where an agent does not know that some are superseded.
        groups=(*older, *(sent.group(entries) for entries, sent in made)),
        lost=(*lost, *gone),
        state=process.state(shell),
    )
    return Saved(manifest, writer.written, older)


def _taken_over(
    left: Sequence[Group], keys: Collection[str], sink: Sink
) -> tuple[tuple[Group, ...], list[Lost]]:
    """Return what is left of groups, and what is lost of them, when there are values for keys."""
    groups, lost = [], []
    for old in left:
        entries = tuple(replace(e, superseded=e.superseded or e.key in keys) for e in old.entries)
        wanted = [entry for entry in entries if not entry.superseded]
        if not wanted:
            continue
        if all(sink.has(blob.digest) for blob in old.blobs):
            groups.append(replace(old, entries=entries))
        else:
            for entry in wanted:
                lost += _lost(entry, "it could not be made anew, and its saved copy is gone")
    return tuple(groups), lost


def restore(shell: Any, manifest: Manifest, source: Source) -> Report:
    """Bring a fresh shell to a saved state; to be called in its main thread.

    Raises ``WireError`` for what another Python saved and what the source raises, both before any
    name is there, but for what has to be read twice; and KeyboardInterrupt.
    """
    here = platform.python_version()
    if _minor(manifest.python) != _minor(here):
        raise WireError(
            f"they were saved by Python {manifest.python}, and this is {here}, which cannot read "
            f"them: they come back with Python {_minor(manifest.python)}"
        )
    telling.begin()
    reducers.closed.clear()
    # As in a cell: a library that is imported asks ``get_ipython`` whether it is in a notebook.
    with _quiet(), shell.builtin_trap, Reader(source) as reader:
        with less_urgent(sum(group.length for group in manifest.groups)):
            reading = [reader.read([g.stream, *g.buffers]) for g in manifest.groups]
            # What was imported is imported meanwhile.
            lost, notices = process.apply(shell, manifest.state)
            data = [read() for read in reading]
        process.apply_to_shell(shell, manifest.state)
        widgets.let_go()
        places.let_go()
        live = live_objects(shell)
        later: list[tuple[Entry, Any]] = []
        left: list[Group] = []
        with process.nothing_drawn():
            made = making.made(shell, live, groups=manifest.groups, data=data, reader=reader)
            for saved, values in made:
                pairs = [p for p in zip(saved.entries, values, strict=True) if not p[0].superseded]
                later += [pair for pair in pairs if not isinstance(pair[1], Failed)]
                failed = {entry.key: v.error for entry, v in pairs if isinstance(v, Failed)}
                lost += _told(saved, failed)
                left += _again(saved, failed)
        # A widget that was made in vain takes the one of its id with it when it goes.
        if lost or len(later) < sum(len(saved.entries) for saved in manifest.groups):
            values, pairs, made = [], [], []
            gc.collect()
        places.forget_callbacks(shell, [entry.key for entry, _ in later])
        restored, not_put = _put(shell, later, {id(file): why for file, _, why in reducers.closed})
        lost += not_put
        reducers.begin_finalizers()
        named = {id(value) for _, value in later}
        inside = [pair for file, *pair in reducers.closed if id(file) not in named]
        notices += dict.fromkeys(f"{where}: {why}" for where, why in inside if where)
        reducers.closed.clear()
        widgets.tell(manifest.state.get("comms", ()))
    settings.put_filters()
    notices += [*telling.told(), *_differences(manifest.packages)]
    return Report(restored, lost, notices, tuple(left))


def _put(
    shell: Any, later: list[tuple[Entry, Any]], closed: dict[int, str]
) -> tuple[list[str], list[Lost]]:
    """Put values in their places; return the user's names that are back, and what is not.

    ``closed`` has the files that are closed now, by their addresses, and why.
    """
    restored: list[str] = []
    lost: list[Lost] = []
    # Making objects may draw random numbers: those come last.
    for entry, value in sorted(later, key=lambda pair: pair[0].key.startswith("random:")):
        try:
            places.put(shell, entry.key, value)
        except (Exception, SystemExit) as error:
            lost.append(Lost(places.shown(entry.key), entry.type, reason(error)))
            continue
        if id(value) in closed:
            lost += _lost(entry, closed[id(value)])
        else:
            restored += [places.shown(entry.key)] * entry.key.startswith("name:")
    return sorted(restored), lost


def _told(saved: Group, failed: dict[str, BaseException]) -> Iterator[Lost]:
    for entry in saved.entries:
        if entry.key in failed:
            again = "; its saved copy is kept, and tried again at the next wake"
            why = reason(failed[entry.key])
            yield from _lost(entry, why + again * entry.key.startswith(_TRIED_AGAIN))


def _again(saved: Group, failed: Collection[str]) -> list[Group]:
    """Return the group with what is to be tried again, if there is anything."""
    entries = tuple(
        replace(e, superseded=not (e.key in failed and e.key.startswith(_TRIED_AGAIN)))
        for e in saved.entries
    )
    return [] if all(e.superseded for e in entries) else [replace(saved, entries=entries)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Libraries warn about pickling to nobody: no cell runs that could show it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _taking_turns() -> Iterator[None]:
    """A thread that has heard from the store waits less for the one that pickles, which is long."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def type_name(value: Any) -> str:
    """Return the qualified name of a value's type, as the user would write it."""
    kind = type(value)
    module = kind.__module__ if isinstance(kind.__module__, str) else ""
    return (
        kind.__qualname__
        if module in ("builtins", "__main__", "")
        else f"{module}.{kind.__qualname__}"
    )


def reason(error: BaseException) -> str:
    """Return why something was not kept, in one line."""
    try:
        text = " ".join(str(error).split())[:500]
    except (Exception, SystemExit):  # it is a user's exception
        text = ""
    if isinstance(error, RecursionError) or "deep recursion" in text:
        return "it is nested too deeply"
    text = re.sub(r"^Can't pickle <[^>]*>: ", "", text)
    if isinstance(error, NotKept | TypeError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _lost(entry: Entry, why: str) -> list[Lost]:
    if entry.key.startswith("under:"):  # it is in Out, which says so
        return []
    if entry.key.startswith("widget:") and entry.type.endswith(("Layout", "Style")):
        return []  # of a widget, which says so
    return [Lost(places.shown(entry.key), entry.type, why)]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _differences(packages: dict[str, str]) -> list[str]:
    now = process.packages()
    return [
        f"{name} was {version} and is {now[name]}"
        for name, version in sorted(packages.items())
        if name in now and now[name] != version
    ]
