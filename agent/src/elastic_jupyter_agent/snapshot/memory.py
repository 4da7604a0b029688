"""Objects that look at the memory of another one, or at a file: arrays, memoryviews, memmaps.

What shares memory still does afterwards, as far as Python can tell whose memory it is.
"""

import bisect
import contextlib
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elastic_jupyter_agent.snapshot.telling import NotKept

Stamp = tuple[int, int]


class Arrays:
    """The arrays of a snapshot that own memory, by their addresses."""

    def __init__(self) -> None:
        self._arrays: dict[int, weakref.ref[Any]] = {}
        self._starts: list[int] = []

    def note(self, array: Any) -> None:
        """Remember an array without gaps, as long as it lives: something else may look at it."""
        if array.flags.c_contiguous or array.flags.f_contiguous:
            self._arrays[_address(array)] = weakref.ref(array)

    def at(self, address: int, length: int) -> tuple[Any, int] | None:
        """Return the array that has this memory, and where in it; None: none is known."""
        if len(self._starts) != len(self._arrays):
            self._starts = sorted(self._arrays)
        place = bisect.bisect(self._starts, address)
        start = self._starts[place - 1] if place else 0
        array = self._arrays[start]() if place else None
        inside = array is not None and address + length <= start + array.nbytes
        return (array, address - start) if inside else None


def reduce_array(array: Any, of_tensor: Callable[[Any], Any]) -> Any:
    """Return how to make an array anew that looks at other memory; NotImplemented: it has its own.

    ``of_tensor`` says whose memory an array has, as ``torch.Storages.at``.
    """
    numpy = sys.modules["numpy"]
    root = array
    while (base := _base(root)) is not None and isinstance(base, numpy.ndarray):
        root = base
        if type(root) not in (numpy.ndarray, numpy.memmap):
            break  # it is pickled in a way of its own, with a memory of its own
    if type(root) is numpy.memmap and root._mmap is not None:  # and no copy of one
        if root is array:
            return _mapped(root)
        return _of_map, (root, type(array), *_place(array, _address(root)))
    if type(array) is numpy.memmap:
        return NotImplemented
    if array.dtype.hasobject or root.dtype.hasobject or not array.nbytes:
        return NotImplemented
    source: Any = base.obj if type(base) is memoryview else None
    if type(source) is bytearray or type(source).__module__ == "array":
        return _over, (source, *_place(array, _address(numpy.frombuffer(source, numpy.uint8))))
    # Views that numpy made of plain arrays are made anew by numpy's own means.
    other = type(root) is not numpy.ndarray or type(array.base) is memoryview
    gapless = root.flags.c_contiguous or root.flags.f_contiguous
    if root is not array and other and gapless:
        return _in_array, (root, *_place(array, _address(root)))
    if (found := of_tensor(root)) is not None:
        owner, start = found
        make = _in_array if isinstance(owner, numpy.ndarray) else _over_storage
        return make, (owner, *_place(array, start))
    return NotImplemented


def _base(array: Any) -> Any:
    base = array.base
    # numpy looks through a memoryview at whatever that is of.
    through = type(base) is memoryview and type(base.obj).__module__ == "numpy"
    return base.obj if through else base


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _place(array: Any, start: int) -> tuple[Any, ...]:
    offset = _address(array) - start
    return array.dtype, offset, array.shape, array.strides, array.flags.writeable


def _look(flat: Any, dtype: Any, offset: int, shape: Any, strides: Any, writeable: bool) -> Any:
    numpy = sys.modules["numpy"]
    array = numpy.ndarray(shape, dtype, flat, offset, strides)
    if not writeable:
        array.flags.writeable = False
    return array


def _over(source: Any, *place: Any) -> Any:
    numpy = sys.modules["numpy"]
    return _look(numpy.frombuffer(source, numpy.uint8), *place)


def _in_array(root: Any, *place: Any) -> Any:
    return _look(flat(root), *place)


def _over_storage(storage: Any, *place: Any) -> Any:
    torch = sys.modules["torch"]
    return _look(torch.tensor([], dtype=torch.uint8).set_(storage).numpy(), *place)


def flat(root: Any) -> Any:
    """Return the bytes of an array without gaps, which they are still after a change of either."""
    numpy = sys.modules["numpy"]
    return root.view(numpy.ndarray).reshape(-1, order="A").view(numpy.uint8)


# Files in memory: the same part of the same file, if nobody changed it since.


def _mapped(array: Any) -> Any:
    numpy = sys.modules["numpy"]
    if array.filename is None or not isinstance(array.base, mmap.mmap):
        raise NotKept("a mapped file without a path")
    path = os.fspath(array.filename)
    if array.mode in ("r+", "w+"):
        array.flush()
    try:
        found = os.stat(path)
    except OSError as error:
        raise NotKept(f"a mapped file that is gone: {error}") from error
    if _inode(_address(array)) not in (None, found.st_ino):
        raise NotKept(f"a mapped file that is no more at {path!r}")
    order = "C" if array.flags.c_contiguous else "F"
    place = path, array.dtype, array.mode, array.offset, array.shape, order
    content = None
    if array.mode == "c":  # what was changed is in no file
        there = numpy.memmap(path, array.dtype, "r", array.offset, array.shape, order)
        content = None if (flat(there) == flat(array)).all() else numpy.array(array, subok=False)
    return _map, (*place, (found.st_size, found.st_mtime_ns), content)


def _map(
    path: str,
    dtype: Any,
    mode: str,
    offset: int,
    shape: Any,
    order: Any,
    stamp: Stamp,
    content: Any,
) -> Any:
    numpy = sys.modules["numpy"]
    try:
        found = os.stat(path)
    except OSError as error:
        raise NotKept(f"its file {path!r} is gone") from error
    if (found.st_size, found.st_mtime_ns) != tuple(stamp):
        raise NotKept(f"its file {path!r} has changed since")
    array = numpy.memmap(path, dtype, mode.replace("w", "r"), offset, shape, order)
    array.mode = mode
    if content is not None:
        array[...] = content
    return array


def _of_map(root: Any, kind: Any, *place: Any) -> Any:
    view = _look(flat(root), *place).view(kind)
    if hasattr(view, "_mmap"):
        view._mmap, view.filename = root._mmap, root.filename
        view.mode, view.offset = root.mode, root.offset
    return view


def _inode(address: int) -> int | None:
    """Return the inode of the file that is mapped there; None: nobody says so."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, _, _, _, inode = line.split()[:5]
            start, end = (int(number, 16) for number in place.split("-"))
            if start <= address < end:
                return int(inode)
    return None


# memoryviews


def reduce_memoryview(view: memoryview) -> Any:
    """Return how to make a memoryview anew, of the same object where that can change."""
    source = view.obj
    if isinstance(source, bytes) or not view.nbytes:
        return NotImplemented
    if not view.c_contiguous:
        raise NotKept("a memoryview with steps")
    whole = memoryview(source)
    if not whole.c_contiguous:
        raise NotKept("a memoryview of an object with steps")
    offset = 0
    if view.nbytes != whole.nbytes:
        offset = _start(view) - _start(whole)
    return _viewed_at, (source, view.format, view.shape, offset, view.nbytes, view.readonly)


def _start(view: memoryview) -> int:
    import ctypes

    if view.readonly:
        raise NotKept("a memoryview of a part that cannot be written to")
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _viewed_at(
    source: Any, form: str, shape: Any, offset: int, length: int, readonly: bool
) -> memoryview:
    view = memoryview(source).cast("B")[offset : offset + length]
    if form != "B" or len(shape) != 1:
        view = view.cast(form, shape)  # type: ignore[call-overload]
    return view.toreadonly() if readonly else view
