"""Where values are in a kernel: names, ``Out``, and what libraries and IPython keep for the user.

A key says the place: ``name:x``, ``out:3``, ``under:_``, ``magic:line:shout``,
``event:post_run_cell:0``, ``random:numpy``, ``settings:matplotlib``, ``log:mine``,
``widget:5f0c``, ``comm:5f0c``; ``hidden:array`` is a name that ``%who`` does not show,
and ``imported:`` all those of modules and of what is in them.
"""

import re
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from elastic_jupyter_agent.snapshot import logs, settings, widgets
from elastic_jupyter_agent.snapshot.reducers import importable

#: Names that IPython and Python set anew in any case, and with each cell.
_OWN = re.compile(
    r"_i{1,3}|__session__|__(name|doc|builtins?|package|loader|spec|annotations|vsc_ipynb_file)__"
)
_COUNTED = re.compile(r"_(i?)(\d+)")
_UNDERS = ("_", "__", "___")


def collect(shell: Any) -> dict[str, Any]:
    """Return the values to save by their keys."""
    namespace, hidden = shell.user_ns, shell.user_ns_hidden
    values: dict[str, Any] = {}
    imported: dict[str, Any] = {}
    for name, value in list(namespace.items()):
        if not isinstance(name, str) or _is_own(shell, name, value):
            continue
        if name not in hidden or hidden[name] is not value:
            values[f"name:{name}"] = value
        elif _is_imported(value):
            imported[name] = value
        else:
            values[f"hidden:{name}"] = value
    if imported:
        values["imported:"] = imported
    history = shell.history_manager
    if history:
        values |= {f"out:{count}": value for count, value in history.output_hist.items()}
    values |= {f"under:{name}": namespace[name] for name in _UNDERS if name in namespace}
    for kind, magics in shell.magics_manager.magics.items():
        values |= {f"magic:{kind}:{n}": magic for n, magic in magics.items() if _of_user(magic)}
    for event, callbacks in shell.events.callbacks.items():
        mine = [callback for callback in callbacks if _of_user(callback)]
        values |= {f"event:{event}:{place}": callback for place, callback in enumerate(mine)}
    values |= {f"finalizer:{place}": one for place, one in enumerate(finalizers())}
    return values | widgets.collect() | settings.collect()


def _is_imported(value: Any) -> bool:
    """Say whether a value is pickled by its name in a library: ``%pylab`` brings 900 of those."""
    if isinstance(value, types.BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType)
    if isinstance(value, types.FunctionType | type):
        return importable(value)
    return isinstance(value, types.ModuleType | int | float | str) or (
        type(value).__name__ in ("ufunc", "_ArrayFunctionDispatcher")  # numpy's
    )


def _is_own(shell: Any, name: str, value: Any) -> bool:
    """Say whether a name stands for what a fresh shell has there, or is another place's."""
    if name in _UNDERS or _OWN.fullmatch(name):
        return True
    history = shell.history_manager
    if name in ("In", "_ih"):
        return history is not None and value is history.input_hist_parsed
    if name in ("Out", "_oh"):
        return history is not None and value is history.output_hist
    if name == "_dh":
        return history is not None and value is history.dir_hist
    if name in ("exit", "quit"):
        return value is shell.exiter
    if name == "get_ipython":
        return getattr(value, "__self__", None) is shell
    if name == "open":  # IPython's own, or the user's
        return value is open or value is shell.user_ns_hidden.get("open")
    if history is not None and (counted := _COUNTED.fullmatch(name)):
        count = int(counted[2])
        if counted[1]:
            inputs = history.input_hist_raw
            return type(value) is str and inputs[count : count + 1] == [value]
        return count in history.output_hist and history.output_hist[count] is value
    return False


def finalizers() -> "list[weakref.finalize[..., Any]]":
    """Return the user's, which nobody needs to hold: of his objects, or that call his functions."""
    known = list(getattr(weakref.finalize, "_registry", ()))
    alive = [(finalizer, finalizer.peek()) for finalizer in known]
    return [
        finalizer
        for finalizer, seen in alive
        if seen and (type(seen[0]).__module__ == "__main__" or _of_user(seen[1]))
    ]


def _of_user(function: Any) -> bool:
    if isinstance(function, types.MethodType):
        return type(function.__self__).__module__ == "__main__"
    return getattr(function, "__module__", None) == "__main__"


def forget_callbacks(shell: Any, keys: Iterable[str]) -> None:
    """Forget the callbacks for which there are keys: the same ones come again.

    A restore before this one has put them, or what runs when a kernel starts.
    """
    for event in {key.split(":")[1] for key in keys if key.startswith("event:")}:
        callbacks = shell.events.callbacks.get(event, [])
        callbacks[:] = [callback for callback in callbacks if not _of_user(callback)]


def put(shell: Any, key: str, value: Any) -> None:
    """Put a value where its key says. Raises what a library raises that does not take it."""
    kind, _, name = key.partition(":")
    _PUT[kind](shell, name, value)


def let_go() -> None:
    """Have nothing called for objects of a restore before this one, which are replaced."""
    for finalizer in finalizers():
        finalizer.detach()


def _put_name(shell: Any, name: str, value: Any) -> None:
    shell.user_ns[name] = value


def _put_output(shell: Any, count: str, value: Any) -> None:
    shell.history_manager.output_hist[int(count)] = value
    shell.user_ns.setdefault(f"_{count}", value)  # the user may have another one there


def _put_under(shell: Any, name: str, value: Any) -> None:
    shell.user_ns[name] = value
    setattr(shell.displayhook, name, value)  # it shifts them only while both agree


def _put_magic(shell: Any, kind_and_name: str, value: Any) -> None:
    kind, _, name = kind_and_name.partition(":")
    shell.magics_manager.magics[kind][name] = value


def _put_event(shell: Any, event_and_place: str, value: Any) -> None:
    shell.events.register(event_and_place.partition(":")[0], value)


def _put_imported(shell: Any, _: str, values: dict[str, Any]) -> None:
    shell.user_ns.update(values)
    shell.user_ns_hidden.update(values)


def _put_hidden(shell: Any, name: str, value: Any) -> None:
    shell.user_ns[name] = shell.user_ns_hidden[name] = value


def _put_setting(kind: str) -> Callable[[Any, str, Any], None]:
    return lambda shell, name, value: settings.put(f"{kind}:{name}", value)


_PUT = {
    "name": _put_name,
    "out": _put_output,
    "under": _put_under,
    "magic": _put_magic,
    "event": _put_event,
    "hidden": _put_hidden,
    "imported": _put_imported,
    "finalizer": lambda *_: None,  # it is where it was made
    "random": _put_setting("random"),
    "settings": _put_setting("settings"),
    "log": lambda shell, name, value: logs.put(name, value),
    "widget": widgets.put,
    "comm": widgets.put,
}


def shown(key: str) -> str:
    """Return how the user knows a place: ``x``, ``Out[3]``, ``%shout``."""
    kind, _, name = key.partition(":")
    if kind == "out":
        return f"Out[{name}]"
    if kind == "magic":
        kind, _, name = name.partition(":")
        return ("%" if kind == "line" else "%%") + name
    if kind in ("name", "hidden", "under"):
        return name
    if kind in ("widget", "comm"):
        return f"a {kind}"
    if kind == "finalizer":
        return "callback of weakref.finalize"
    if kind == "imported":
        return "what %pylab or a startup file imported"
    if kind == "log":
        return f"handlers of logger {name or 'root'!r}"
    return {"random": "random numbers of ", "settings": "settings of ", "event": "callback for "}[
        kind
    ] + name.partition(":")[0]
