"""How objects are pickled that neither pickle nor cloudpickle keep as users expect.

A reducer returns what ``__reduce__`` would. The functions that make the objects anew are named in
snapshots: none is renamed or taken away.
"""

import functools
import importlib
import io
import logging
import os
import sys
import tempfile
import types
import weakref
from collections.abc import Callable
from typing import Any

from elastic_jupyter_agent.snapshot import logs, memory, telling, torch, widgets
from elastic_jupyter_agent.snapshot.telling import NotKept

#: Files that came back closed: each with what was made when it was, and why.
closed: list[tuple[Any, str, str]] = []


class Reducers:
    """The reducers of one snapshot, all of whose pickles share it."""

    def __init__(self) -> None:
        self._arrays = memory.Arrays()
        self.storages = torch.Storages(self._arrays)

    def reduce(self, obj: Any) -> Any:
        """Return how to make the object anew, or NotImplemented. Called for most objects."""
        kind = type(obj)
        reducer = _BY_TYPE.get(kind)
        if reducer is not None:
            return reducer(obj)
        if kind.__name__ in _SINGLE_TYPES and (place := _single(obj)):
            return _found, place
        if kind.__module__.startswith("torch"):
            return self.storages.reduce(obj)
        if kind.__module__ == "numpy" and kind.__name__ in ("ndarray", "memmap"):
            return self._array(obj)
        if kind.__module__.startswith("pandas") and hasattr(obj, "mgr_locs"):
            return _block(obj)
        if kind is types.GeneratorType and obj.gi_frame is None:
            return _used_up, (obj.__name__, obj.__qualname__)
        if isinstance(obj, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType):
            raise NotKept(f"a {kind.__name__} stands in the middle of its code")
        if isinstance(obj, logging.Handler):
            return logs.reduce(obj)
        return widgets.reduce(obj)

    def _array(self, array: Any) -> Any:
        if array.base is None and "torch" not in sys.modules:
            return NotImplemented  # as most are
        reduced = memory.reduce_array(array, self.storages.at)
        if reduced is NotImplemented and type(array).__name__ == "ndarray":
            reduced = _array(array)
            if reduced is NotImplemented and array.nbytes and "torch" in sys.modules:
                self._arrays.note(array)
        return reduced


def _used_up(name: str, qualified: str) -> Any:
    generator: Any = iter(_ for _ in range(0))
    generator.__name__, generator.__qualname__ = name, qualified
    list(generator)
    return generator


# Variables of an enclosing function: those who share one still do. One may hold the function that
# it belongs to, so it is made before what is in it.


def _cell(cell: Any) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:  # nothing was assigned
        return _empty_cell, ()
    return _empty_cell, (), (content,), None, None, _set_cell


def _empty_cell() -> Any:
    return types.CellType()


def _set_cell(cell: Any, content: tuple[Any]) -> None:
    (cell.cell_contents,) = content


# Weak references: the target comes along, and stays where something else holds it, too.


def _weak(reference: "weakref.ref[Any]") -> Any:
    target, callback = reference(), reference.__callback__
    if target is None:
        return _dead, ()
    return weakref.ref, (target,) if callback is None else (target, callback)


class _Target:
    """What a dead reference pointed to."""


def _dead() -> "weakref.ref[Any]":
    return weakref.ref(_Target())


def _weak_method(reference: "weakref.WeakMethod[Any]") -> Any:
    method = reference()
    return (_dead, ()) if method is None else (weakref.WeakMethod, (method,))


def _finalizer(finalizer: "weakref.finalize[..., Any]") -> Any:
    alive = finalizer.peek()
    if alive is None:
        return _finalized, ()
    target, function, arguments, named = alive
    return _finalize, (target, function, arguments, named, finalizer.atexit)


def _finalize(target: Any, function: Any, arguments: Any, named: Any, atexit: bool) -> Any:
    finalizer = weakref.finalize(target, function, *arguments, **named)
    finalizer.atexit = atexit
    _waiting.append((finalizer, _registry().pop(finalizer)))
    return finalizer


#: Finalizers begin when all is back: of what was made in vain none is called.
_waiting: list[tuple[Any, Any]] = []


def _registry() -> dict[Any, Any]:
    return weakref.finalize._registry  # type: ignore[attr-defined,no-any-return]


def begin_finalizers() -> None:
    """Have the finalizers that were made anew called when their objects go, which are back."""
    _registry().update(pair for pair in _waiting if pair[1].weakref() is not None)
    _waiting.clear()


def _finalized() -> Any:
    finalizer = weakref.finalize(_Target(), print)
    finalizer.detach()
    return finalizer


def _weak_keys(mapping: "weakref.WeakKeyDictionary[Any, Any]") -> Any:
    return weakref.WeakKeyDictionary, (), None, None, iter(list(mapping.items()))


def _weak_values(mapping: "weakref.WeakValueDictionary[Any, Any]") -> Any:
    return weakref.WeakValueDictionary, (), None, None, iter(list(mapping.items()))


# Caches begin empty.


def _cached_function(wrapper: Any) -> Any:
    if importable(wrapper):
        return wrapper.__qualname__  # by reference
    parameters = wrapper.cache_parameters()
    state = {k: v for k, v in vars(wrapper).items() if k not in ("__wrapped__", "cache_parameters")}
    return _cached, (parameters["maxsize"], parameters["typed"], wrapper.__wrapped__), state


def _cached(maxsize: int | None, typed: bool, function: Any) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _cached_property(descriptor: Any) -> Any:
    return _property, (descriptor.func, descriptor.attrname)


def _property(function: Any, name: str | None) -> Any:
    descriptor = functools.cached_property(function)
    descriptor.attrname = name
    return descriptor


def importable(obj: Any) -> bool:
    """Say whether a function or class is found by its name, in another module than the user's."""
    place: Any = sys.modules.get(getattr(obj, "__module__", "") or "")
    if place is None or place.__name__ == "__main__":
        return False
    for name in obj.__qualname__.split("."):
        place = getattr(place, name, None)
    return place is obj


def _memoryview(view: memoryview) -> Any:
    shared = memory.reduce_memoryview(view)
    if shared is not NotImplemented:
        return shared
    data = view.tobytes()
    content = data if view.readonly else bytearray(data)
    return _viewed, (content, view.format, view.shape)


def _viewed(data: Any, form: str, shape: Any) -> memoryview:
    view = memoryview(data)
    return view if form == "B" and len(shape) == 1 else view.cast(form, shape)  # type: ignore


# Open files: the same place of the same file, if nobody changed it since; otherwise closed.


def _file(file: Any) -> Any:
    name, mode = getattr(file, "name", None), getattr(file, "mode", "")
    if file in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        return getattr, (sys, {0: "__stdin__", 1: "__stdout__"}.get(file.fileno(), "__stderr__"))
    if not isinstance(name, str | bytes | os.PathLike) or not isinstance(mode, str):
        raise NotKept("an open file without a path")
    text = {}
    if isinstance(file, io.TextIOBase):
        text = {"encoding": file.encoding, "errors": file.errors}
    buffering = 0 if isinstance(file, io.FileIO) else -1
    path = os.path.abspath(os.fspath(name))
    if file.closed:
        return _closed_file, (name, mode, buffering, text)
    if file.writable():
        file.flush()
    try:
        position = file.tell()
        found = os.stat(path)
    except OSError as error:
        raise NotKept(f"an open file that is no plain file: {error}") from error
    opened = os.fstat(file.fileno())
    if (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino):
        raise NotKept(f"an open file that is no more at {name!r}")
    return _open_file, (name, path, mode, buffering, text, position, _stamp(found))


def _stamp(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _open_file(
    name: Any, path: Any, mode: str, buffering: int, text: Any, position: int, stamp: Any
) -> Any:
    kept = ~(os.O_TRUNC | os.O_EXCL | os.O_CREAT)
    try:
        if _stamp(os.stat(path)) == tuple(stamp):
            file = open(  # noqa: SIM115
                name, mode, buffering, **text, opener=lambda _, flags: os.open(path, flags & kept)
            )
            file.seek(position)
            return file
        why = "has changed since"
    except FileNotFoundError:
        why = "is gone"
    except OSError as error:
        why = f"cannot be opened ({error.strerror})"
    file = _closed_file(name, mode, buffering, text)
    closed.append((file, telling.current(), f"the file {path!r} {why}, so it is closed"))
    return file


def _folder(folder: "tempfile.TemporaryDirectory[str]") -> Any:
    return _same_folder, (folder.name,), vars(folder)


def _same_folder(name: str) -> Any:
    if not os.path.isdir(name):  # as a rule it ended with the process that it was of
        raise NotKept(f"its directory {name!r} is gone")
    return tempfile.TemporaryDirectory.__new__(tempfile.TemporaryDirectory)


def _closed_file(name: Any, mode: str, buffering: int, text: Any) -> Any:
    file = open(  # noqa: SIM115
        name, mode, buffering, **text, opener=lambda *_: os.open(os.devnull, os.O_RDWR)
    )
    file.close()
    return file


# What a library has once, and users import by name: ``from random import randint`` is a method of
# it, ``from matplotlib import rcParams`` it itself.

_SINGLES = (
    ("random", "_inst"),
    ("numpy.random", "mtrand._rand"),
    ("os", "environ"),
    ("os", "environb"),
    ("matplotlib", "rcParams"),
    ("matplotlib", "rcParamsDefault"),
    ("matplotlib", "rcParamsOrig"),
    ("matplotlib", "colormaps"),
    ("pandas", "options"),
    ("torch", "default_generator"),
)


#: Most objects are told from these by their type.
_SINGLE_TYPES = {
    "Random",
    "RandomState",
    "_Environ",
    "RcParams",
    "ColormapRegistry",
    "DictWrapper",
    "Generator",
}


def _single(obj: Any) -> tuple[str, str] | None:
    for module, path in _SINGLES:
        if module in sys.modules and _found(module, path) is obj:
            return module, path
    return None


def _found(module: str, path: str) -> Any:
    place: Any = importlib.import_module(module)
    for name in path.split("."):
        place = getattr(place, name, None)
    return place


# numpy: views of one array stay views of one array.


def _array(array: Any) -> Any:
    root = array
    while type(root.base) is type(array):
        root = root.base
    if root is array or array.dtype.hasobject or root.dtype.hasobject or not root.size:
        return NotImplemented
    if not (root.flags.c_contiguous or root.flags.f_contiguous):
        return NotImplemented
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    if offset < 0:
        return NotImplemented
    place = offset, array.shape, array.strides
    return _view, (root, array.dtype, *place, array.flags.writeable)


def _view(root: Any, dtype: Any, offset: int, shape: Any, strides: Any, writeable: bool) -> Any:
    flat = root.reshape(-1, order="A")
    view = type(root)(shape, dtype, flat, offset, strides)
    if not writeable:
        view.flags.writeable = False
    return view


def _block(block: Any) -> Any:
    """A part of a DataFrame. pandas copies on write by counting references that no pickle keeps:

    its arrays must not share memory with anything else afterwards.
    """
    make, (values, *rest) = block.__reduce__()[:2]
    # Of extension arrays pandas shares the object itself, or what is in it.
    ours = _is_array(values) or (
        type(values).__module__.startswith("pandas.")
        and _is_array(getattr(values, "_ndarray", None))
    )
    return make, (_Alone(values) if ours else values.copy(), *rest)


class _Alone:
    """An array, or what is around one, to be pickled as pickle does it: sharing nothing."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __reduce__(self) -> Any:
        if _is_array(self._array) and self._array.dtype.kind in "mM":  # numpy would copy them
            as_numbers = _Alone(self._array.view("i8"))
            return type(self._array).view, (as_numbers, self._array.dtype)
        make, arguments, *state = self._array.__reduce_ex__(5)
        if state and not _is_array(self._array):  # dates, categories: a type and its array
            [within, *rest] = state
            state = [tuple(_Alone(x) if _is_array(x) else x for x in within), *rest]
        return make, arguments, *state


def _is_array(obj: Any) -> bool:
    return type(obj).__module__ == "numpy" and type(obj).__name__ == "ndarray"


_BY_TYPE: dict[type, Callable[[Any], Any]] = {
    types.CellType: _cell,
    weakref.ref: _weak,
    weakref.WeakMethod: _weak_method,
    weakref.finalize: _finalizer,
    weakref.WeakKeyDictionary: _weak_keys,
    weakref.WeakValueDictionary: _weak_values,
    functools._lru_cache_wrapper: _cached_function,
    functools.cached_property: _cached_property,
    memoryview: _memoryview,
    io.TextIOWrapper: _file,
    io.BufferedReader: _file,
    io.BufferedWriter: _file,
    io.BufferedRandom: _file,
    io.FileIO: _file,
    tempfile.TemporaryDirectory: _folder,
}
