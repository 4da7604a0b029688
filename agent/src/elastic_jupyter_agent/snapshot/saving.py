"""A kernel's state into blobs and a manifest, and back."""

import contextlib
import datetime
import platform
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from elastic_jupyter_agent.snapshot import places, process, reducers, settings, telling, widgets
from elastic_jupyter_agent.snapshot.blobs import Reader, Sink, Source, Writer
from elastic_jupyter_agent.snapshot.groups import group
from elastic_jupyter_agent.snapshot.pickler import Pickled, Pickler, Unpickler, live_objects
from elastic_jupyter_agent.wire import Chunk, Entry, Group, Lost, Manifest, Payload, WireError


@dataclass(frozen=True)
class Saved:
    """A manifest whose blobs are stored, and how many bytes of them were not there before."""

    manifest: Manifest
    written: int


@dataclass(frozen=True)
class Report:
    """What a restore did: the user's names that are back, what is not, sentences to be told."""

    restored: list[str]
    lost: list[Lost]
    notices: list[str]


def save(shell: Any, sink: Sink, known: Manifest | None = None) -> Saved:
    """Save the state of an IPython shell; to be called in its main thread.

    ``known`` is the manifest of an earlier snapshot, whose blobs are used again. What cannot be
    saved is in the manifest's ``lost``, and nothing that users' objects raise comes out, but
    KeyboardInterrupt. Raises what the sink raises.
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

    def pickle(values: list[Any]) -> Pickled:
        return Pickler(live, own).pickled(values)

    with _quiet(), Writer(sink, known) as writer:
        made = [
            (together.keys, *_written(writer, together.pickled))
            for together in group(values, pickle, cannot)
        ]
    manifest = Manifest(
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        python=platform.python_version(),
        packages=process.packages(),
        groups=tuple(
            Group(
                tuple(Entry(key, type_name(values[key])) for key in keys),
                _payload(stream),
                tuple(_payload(chunks, readonly) for chunks, readonly in buffers),
            )
            for keys, stream, buffers in made
        ),
        lost=tuple(lost),
        state=process.state(shell),
    )
    return Saved(manifest, writer.written)


_Chunks = list["Future[Chunk]"]


def _written(writer: Writer, pickled: Pickled) -> tuple[_Chunks, list[tuple[_Chunks, bool]]]:
    buffers = [(writer.add([buffer]), buffer.readonly) for buffer in pickled.buffers]
    return writer.add(pickled.stream), buffers


def _payload(chunks: _Chunks, readonly: bool = True) -> Payload:
    return Payload(tuple(chunk.result() for chunk in chunks), readonly)


def restore(shell: Any, manifest: Manifest, source: Source) -> Report:
    """Bring a fresh shell to a saved state; to be called in its main thread.

    Raises ``WireError`` for what another Python saved and what the source raises, both before any
    name is there; and KeyboardInterrupt.
    """
    here = platform.python_version()
    if _minor(manifest.python) != _minor(here):
        raise WireError(
            f"they were saved by Python {manifest.python}, and this is {here}, which cannot read "
            f"them: they come back with Python {_minor(manifest.python)}"
        )
    telling.begin()
    restored: list[str] = []
    # As in a cell: a library that is imported asks ``get_ipython`` whether it is in a notebook.
    with _quiet(), shell.builtin_trap, Reader(source) as reader:
        reading = [reader.read([g.stream, *g.buffers]) for g in manifest.groups]
        # What was imported is imported meanwhile.
        lost, notices = process.apply(shell, manifest.state)
        data = [read() for read in reading]
        process.apply_to_shell(shell, manifest.state)
        widgets.let_go()
        places.let_go()
        live = live_objects(shell)
        later = []
        with process.nothing_drawn():
            for saved in manifest.groups:
                stream, *buffers = data.pop(0)
                unpickler = Unpickler(stream, buffers, live)
                failed = ""
                for entry in saved.entries:
                    telling.making(places.shown(entry.key))
                    try:
                        later.append((entry, unpickler.unpickled(after=failed)))
                    except (Exception, SystemExit) as error:
                        lost += _lost(entry, reason(error))
                        failed = failed or places.shown(entry.key)
        # Making objects may draw random numbers: those come last.
        for entry, value in sorted(later, key=lambda pair: pair[0].key.startswith("random:")):
            try:
                places.put(shell, entry.key, value)
            except (Exception, SystemExit) as error:
                lost.append(Lost(places.shown(entry.key), entry.type, reason(error)))
            else:
                restored += [places.shown(entry.key)] * entry.key.startswith("name:")
        widgets.tell(manifest.state.get("comms", ()))
    settings.put_filters()
    notices += [*telling.told(), *_differences(manifest.packages)]
    return Report(sorted(restored), lost, notices)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Libraries warn about pickling to nobody: no cell runs that could show it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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
    if isinstance(error, reducers.NotKept | TypeError) and text:
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
