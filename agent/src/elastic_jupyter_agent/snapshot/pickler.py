"""A pickler of a live namespace, and its unpickler.

What belongs to the kernel and not to the user (the namespace itself, ``In``, the shell, streams) is
not pickled: both sides begin with it in their memo, as if it had just been seen. So a function of
a cell keeps the namespace as its globals, whatever pickle it comes from, and a later cell that
sets a global is seen by it.

cloudpickle's own attributes are used here and nowhere else; its major version is pinned.
"""

import builtins
import io
import pickle
import sys
import types
from collections.abc import Iterable
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as internals

from elastic_jupyter_agent.snapshot import widgets
from elastic_jupyter_agent.snapshot.blobs import SAMPLE
from elastic_jupyter_agent.snapshot.reducers import NotKept, Reducers


def live_objects(shell: Any) -> list[Any]:
    """Return what both sides have, in the order that is part of the format: only append."""
    history = shell.history_manager
    found = [
        shell.user_ns,
        shell.user_module,
        shell,
        history.input_hist_parsed if history else None,
        history.output_hist if history else None,
        history.input_hist_raw if history else None,
        getattr(shell, "kernel", None),
        shell.display_pub,
        shell.displayhook,
        sys.stdout,
        sys.stderr,
        sys.stdin,
        builtins.__dict__,
    ]
    seen: set[int] = set()
    unique = []
    for value in found:
        # None and what is there twice keep their place: the memo counts.
        unique.append(_Nothing() if value is None or id(value) in seen else value)
        seen.add(id(value))
    return unique


class _Nothing:
    """Stands where this shell has nothing."""


#: Nobody can tell whether two names have the same one. There may be millions, so they go at once.
_PLAIN = frozenset({str, bytes, int, float, complex, tuple})


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles some values, once. Raises whatever the object's own hooks raise."""

    def __init__(self, live: list[Any], reducers: Reducers) -> None:
        self._file = _Pieces()
        self._buffers: list[pickle.PickleBuffer] = []
        super().__init__(self._file, protocol=5, buffer_callback=self._is_small)
        self._reducers = reducers
        self._namespace = live[0]
        self._live = len(live)
        self.memo = {id(value): (place, value) for place, value in enumerate(live)}

    def _is_small(self, buffer: pickle.PickleBuffer) -> bool:
        """Keep a large buffer apart; a small one stays in the stream, since each is a request."""
        small = buffer.raw().nbytes < SAMPLE
        if not small:
            self._buffers.append(buffer)
        return small

    def pickled(self, values: list[Any]) -> "Pickled":
        """Return the stream, the buffers, and the objects in it that may be shared.

        The stream has a pickle for each value, in order, all with one memo.
        """
        for value in values:
            self.dump(value)
        objects = [
            obj
            for place, obj in self.memo.copy().values()
            if type(obj) not in _PLAIN and place >= self._live
        ]
        return Pickled(self._file.pieces, [b.raw() for b in self._buffers], objects)

    def reducer_override(self, obj: Any) -> Any:
        reduced = self._reducers.reduce(obj)
        if reduced is not NotImplemented:
            return reduced
        return widgets.of_class(obj, super().reducer_override(obj))

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        state, slots = internals._function_getstate(func)
        arguments = self._function_getnewargs(func)
        if func.__globals__ is self._namespace:
            slots["__globals__"] = {}  # live, so there is nothing to bring
            arguments = (arguments[0], self._namespace, *arguments[2:])
        # cloudpickle copies the cells; these are shared with other functions.
        slots["__closure__"] = None
        arguments = (*arguments[:4], func.__closure__)
        return _function, arguments, (state, slots), None, None, internals._function_setstate


def _function(code: Any, namespace: dict[str, Any], name: Any, defaults: Any, closure: Any) -> Any:
    namespace.setdefault("__builtins__", builtins)
    return types.FunctionType(code, namespace, name, defaults, closure)


class Pickled:
    """A pickle in memory. It keeps its objects, since their identities are compared by address."""

    def __init__(self, stream: list[bytes], buffers: list[memoryview], objects: list[Any]) -> None:
        self.stream = [memoryview(piece) for piece in stream]
        self.buffers = buffers
        self.objects = objects


class _Pieces:
    """A file that keeps what is written without joining it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))  # no copy of bytes, and nothing else that can change
        return len(data)


class Unpickler(pickle.Unpickler):
    """Makes the values of a stream anew, one by one in the order in which they were pickled."""

    def __init__(self, stream: memoryview, buffers: Iterable[Any], live: list[Any]) -> None:
        super().__init__(io.BytesIO(_header(len(live)) + stream), buffers=buffers)
        self._live = live
        self.load()

    def unpickled(self, *, after: str = "") -> Any:
        """Return the next value; raises whatever its own hooks raise.

        Once one has failed, named by ``after``, the others cannot be told from it: ``NotKept``.
        """
        if after:
            raise NotKept(f"it shares objects with {after}, which is lost")
        return self.load()

    def persistent_load(self, place: int) -> Any:
        return self._live[place]


def _header(count: int) -> bytes:
    """Return a pickle that puts the first ``count`` live objects into the memo.

    By hand, since an ``Unpickler`` of CPython up to 3.13 loses a memo that it is given.
    """
    each = b"".join(
        pickle.BININT1 + bytes([place]) + pickle.BINPERSID + pickle.MEMOIZE + pickle.POP
        for place in range(count)
    )
    return pickle.PROTO + b"\x05" + each + pickle.NONE + pickle.STOP
