"""An unpickler for a stream in which something fails: what does not hold that comes back.

It is Python's own in Python, thirty times slower than the one in C, with a note of which object is
in which. What cannot be made is replaced by a placeholder; what holds one, directly or by others,
is not made either, so that no code of users' meets one.
"""

import pickle
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

#: They hold nothing, and may be the same everywhere.
_ATOMS = (str, bytes, int, float, complex, bool, type(None), types.EllipsisType, types.ModuleType)
_Python: Any = pickle._Unpickler


class _Missing:
    """Stands for what could not be made."""


class Salvage(_Python):  # type: ignore[misc]
    """Reads a stream of several values, after one that begins the memo with ``live`` objects."""

    def __init__(self, file: Any, buffers: Iterable[Any], live: list[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._live = live
        self._never = {id(obj) for obj in live}
        #: Why an object is no good, and which objects hold another, all by their addresses.
        self._why: dict[int, BaseException] = {}
        self._holders: dict[int, list[int]] = {}
        self._alive: list[Any] = []  # so that no other is made at its address
        self._called: tuple[Any, Any] = (None, ())
        self.load()

    def error(self, value: Any) -> BaseException | None:
        """Return what was raised by something that a value holds, when all have been read."""
        return self._why.get(id(value))

    def persistent_load(self, place: int) -> Any:
        return self._live[place]

    def find_class(self, module: str, name: str) -> Any:
        return self._made((), lambda: super(Salvage, self).find_class(module, name))

    def _made(self, parts: Sequence[Any], make: Callable[[], Any]) -> Any:
        """Return what is made of the parts, or a placeholder."""
        error = next((why for part in parts if (why := self._why.get(id(part)))), None)
        if error is None:
            try:
                made = make()
            except (Exception, SystemExit) as raised:
                error = raised.with_traceback(None)
            else:
                self._hold(made, parts)
                return made
        missing = _Missing()
        self._spoil(missing, error)
        return missing

    def _hold(self, holder: Any, parts: Iterable[Any]) -> bool:
        """Note what is in an object; return whether all of it is good."""
        if type(holder) in _ATOMS or id(holder) in self._never:
            return True
        self._alive.append(holder)
        for part in parts:
            if type(part) in _ATOMS:
                continue
            self._alive.append(part)
            self._holders.setdefault(id(part), []).append(id(holder))
            if why := self._why.get(id(part)):
                self._spoil(holder, why)
        return id(holder) not in self._why

    def _spoil(self, obj: Any, error: BaseException) -> None:
        """Note that an object is no good, nor what holds it."""
        if type(obj) in _ATOMS or id(obj) in self._never:
            return
        self._alive.append(obj)
        todo = [id(obj)]
        while todo:
            one = todo.pop()
            if one not in self._why:
                self._why[one] = error
                todo += self._holders.get(one, ())

    def _change(
        self, op: Callable[[Any], None], obj: Any, parts: list[Any], *, marked: bool
    ) -> None:
        """Put parts into an object; both are on the stack, the parts above a mark or alone."""
        if not self._hold(obj, parts):
            if marked:
                self.pop_mark()
            else:
                del self.stack[-len(parts) :]
            return
        try:
            op(self)  # it takes the parts off before anything can fail
        except (Exception, SystemExit) as error:
            self._spoil(obj, error.with_traceback(None))

    def _change_by_one(self, op: Callable[[Any], None], count: int) -> None:
        self._change(op, self.stack[-1 - count], self.stack[-count:], marked=False)

    def _change_by_many(self, op: Callable[[Any], None]) -> None:
        self._change(op, self.metastack[-1][-1], self.stack, marked=True)

    def _tuple(self, op: Callable[[Any], None]) -> None:
        op(self)
        self._hold(self.stack[-1], self.stack[-1])

    def _frozenset(self) -> None:
        items = self.pop_mark()
        self.stack.append(self._made(items, lambda: frozenset(items)))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        made = self._made((function, arguments), lambda: function(*arguments))
        self.stack.append(made)
        self._called = made, arguments

    def _newobj(self) -> None:
        arguments = self.stack.pop()
        kind = self.stack.pop()
        make = lambda: kind.__new__(kind, *arguments)  # noqa: E731
        self.stack.append(self._made((kind, arguments), make))

    def _newobj_ex(self) -> None:
        named = self.stack.pop()
        arguments = self.stack.pop()
        kind = self.stack.pop()
        make = lambda: kind.__new__(kind, *arguments, **named)  # noqa: E731
        self.stack.append(self._made((kind, arguments, named), make))

    def _pop(self) -> None:
        """Take a result off that nobody wants: its function was called to fill an object."""
        made, arguments = self._called
        if arguments and self.stack and self.stack[-1] is made:
            filled, *parts = arguments
            self._hold(filled, parts)
            if error := self._why.get(id(made)):
                self._spoil(filled, error)
        self._called = None, ()
        _Python.load_pop(self)

    dispatch = _Python.dispatch | {
        pickle.APPEND[0]: lambda self: self._change_by_one(_Python.load_append, 1),
        pickle.SETITEM[0]: lambda self: self._change_by_one(_Python.load_setitem, 2),
        pickle.BUILD[0]: lambda self: self._change_by_one(_Python.load_build, 1),
        pickle.APPENDS[0]: lambda self: self._change_by_many(_Python.load_appends),
        pickle.SETITEMS[0]: lambda self: self._change_by_many(_Python.load_setitems),
        pickle.ADDITEMS[0]: lambda self: self._change_by_many(_Python.load_additems),
        pickle.TUPLE[0]: lambda self: self._tuple(_Python.load_tuple),
        pickle.TUPLE1[0]: lambda self: self._tuple(_Python.load_tuple1),
        pickle.TUPLE2[0]: lambda self: self._tuple(_Python.load_tuple2),
        pickle.TUPLE3[0]: lambda self: self._tuple(_Python.load_tuple3),
        pickle.FROZENSET[0]: _frozenset,
        pickle.REDUCE[0]: _reduce,
        pickle.NEWOBJ[0]: _newobj,
        pickle.NEWOBJ_EX[0]: _newobj_ex,
        pickle.POP[0]: _pop,
    }
