"""A pickler of a live namespace, and its unpickler.

What belongs to the kernel and not to the user (the namespace itself, ``In``, the shell, streams) is
not pickled: both sides begin with it in their memo, as if it had just been seen. So a function of
a cell keeps the namespace as its globals, whatever pickle it comes from, and a later cell that
sets a global is seen by it.

cloudpickle's own attributes are used here and nowhere else; its major version is pinned.
"""

import builtins
import functools
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as internals

from elastic_jupyter_agent.snapshot import widgets
from elastic_jupyter_agent.snapshot.blobs import SAMPLE
from elastic_jupyter_agent.snapshot.outputs import Output
from elastic_jupyter_agent.snapshot.reducers import Reducers
from elastic_jupyter_agent.snapshot.salvage import Salvage


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


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles values one after the other, all with one memo. Raises what their hooks raise.

    ``visit`` is called with each object that is pickled, also once more, and returns None.
    """

    def __init__(
        self,
        live: list[Any],
        reducers: Reducers,
        output: Output,
        visit: Callable[[Any], None] | None = None,
    ) -> None:
        # No method of its own: all that it has seen would stay until it is found to be garbage.
        small = functools.partial(_is_small, output, reducers)
        super().__init__(output, protocol=5, buffer_callback=small)
        self._reducers = reducers
        self._namespace = live[0]
        self.memo = {id(value): (place, value) for place, value in enumerate(live)}
        if visit is not None:
            # The memo has the same, but can only be copied, which takes as much memory again.
            self.persistent_id = visit

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


def _is_small(output: Output, reducers: Reducers, buffer: pickle.PickleBuffer) -> bool:
    """Keep a large buffer apart; a small one stays in the stream, since each is a request."""
    view = buffer.raw()
    small = view.nbytes < SAMPLE
    if not small:
        output.buffer(view)
        reducers.storages.let_go(buffer)
    return small


def _function(code: Any, namespace: dict[str, Any], name: Any, defaults: Any, closure: Any) -> Any:
    namespace.setdefault("__builtins__", builtins)
    return types.FunctionType(code, namespace, name, defaults, closure)


class Failed:
    """Stands for a value that could not be made, or holds what could not be; ``error`` says why."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def unpickled(
    stream: memoryview,
    buffers: Sequence[Any],
    live: list[Any],
    count: int,
    begin: Callable[[int], None] = lambda place: None,
    done: Callable[[int, Any], None] = lambda place, value: None,
) -> list[Any]:
    """Make ``count`` values of a stream anew, in the order in which they were pickled.

    ``begin`` is called before each, with its place, and ``done`` after it, with what is made. Where
    one fails, all are made once more, as slowly as it takes to tell which hold what failed:
    ``Failed`` is in their places. Raises nothing that objects raise, but KeyboardInterrupt.
    """
    data = _header(len(live)) + stream
    try:
        return _loaded(_Unpickler(data, buffers, live).load, count, begin, done)
    except (Exception, SystemExit):
        pass
    try:
        salvage = Salvage(io.BytesIO(data), buffers, live)
        values = _loaded(salvage.load, count, begin, done)
        errors = [salvage.error(value) for value in values]
    except (Exception, SystemExit) as error:
        return [Failed(error)] * count
    return [Failed(e) if e else value for value, e in zip(values, errors, strict=True)]


def _loaded(
    load: Callable[[], Any],
    count: int,
    begin: Callable[[int], None],
    done: Callable[[int, Any], None],
) -> list[Any]:
    values = []
    for place in range(count):
        begin(place)
        values.append(load())
        done(place, values[-1])
    return values


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, buffers: Iterable[Any], live: list[Any]) -> None:
        super().__init__(io.BytesIO(data), buffers=buffers)
        self._live = live
        self.load()

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
