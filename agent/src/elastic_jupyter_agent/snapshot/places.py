"""Where values are in a kernel: names, ``Out``, and what libraries and IPython keep for the user.

A key says the place: ``name:x``, ``out:3``, ``under:_``, ``magic:line:shout``,
``event:post_run_cell:0``, ``random:numpy``, ``settings:matplotlib``,
``widget:5f0c``, ``comm:5f0c``.
"""

import random
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

from elastic_jupyter_agent.snapshot import widgets

#: Names that IPython and Python set themselves, beside those of the history.
_OWN = re.compile(
    r"In|Out|_ih|_oh|_dh|get_ipython|exit|quit|open|_i{1,3}|_i?\d+|_{1,3}|__session__"
    r"|__(name|doc|builtins?|package|loader|spec|annotations|vsc_ipynb_file)__"
)
_UNDERS = ("_", "__", "___")


def collect(shell: Any) -> dict[str, Any]:
    """Return the values to save by their keys."""
    namespace, hidden = shell.user_ns, shell.user_ns_hidden
    values = {
        f"name:{name}": value
        for name, value in list(namespace.items())
        if isinstance(name, str) and not _is_own(name, value, hidden)
    }
    history = shell.history_manager
    if history:
        values |= {f"out:{count}": value for count, value in history.output_hist.items()}
    values |= {f"under:{name}": namespace[name] for name in _UNDERS if name in namespace}
    for kind, magics in shell.magics_manager.magics.items():
        values |= {f"magic:{kind}:{n}": magic for n, magic in magics.items() if _of_user(magic)}
    for event, callbacks in shell.events.callbacks.items():
        mine = [callback for callback in callbacks if _of_user(callback)]
        values |= {f"event:{event}:{place}": callback for place, callback in enumerate(mine)}
    return values | widgets.collect() | _of_libraries()


def _is_own(name: str, value: Any, hidden: dict[str, Any]) -> bool:
    if name in hidden and hidden[name] is value:
        return True
    if name == "open":  # IPython's own, or the user's
        return getattr(value, "__module__", "").startswith("IPython") or value is open
    return _OWN.fullmatch(name) is not None


def _of_user(function: Any) -> bool:
    if isinstance(function, types.MethodType):
        return type(function.__self__).__module__ == "__main__"
    return getattr(function, "__module__", None) == "__main__"


def _of_libraries() -> dict[str, Any]:
    """Return the state of libraries that were imported; none is imported for it."""
    values: dict[str, Any] = {"random:python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        if "numpy.random" in sys.modules:
            values["random:numpy"] = numpy.random.get_state()
        values["settings:numpy"] = numpy.get_printoptions()
    if (torch := sys.modules.get("torch")) and hasattr(torch, "get_rng_state"):
        values["random:torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            values["random:torch.cuda"] = torch.cuda.get_rng_state_all()
    if (matplotlib := sys.modules.get("matplotlib")) and hasattr(matplotlib, "rcParamsDefault"):
        default = matplotlib.rcParamsDefault
        values["settings:matplotlib"] = {
            name: value
            for name, value in dict.items(matplotlib.rcParams)
            if not name.startswith("backend") and value != dict.get(default, name)
        }
    if pylab := sys.modules.get("matplotlib._pylab_helpers"):
        values["settings:pyplot"] = [(m.num, m.canvas.figure) for m in pylab.Gcf.figs.values()]
    if backend := _inline_backend():
        values["settings:inline figures"] = {n: getattr(backend, n) for n in _INLINE}
    if "pandas" in sys.modules:
        values["settings:pandas"] = dict(_pandas_options(changed=True))
    return values


#: What ``%config InlineBackend`` sets.
_INLINE = ("figure_formats", "print_figure_kwargs", "close_figures")


def _inline_backend(**new: Any) -> Any:
    """Return what has the settings of ``%matplotlib inline``, or None where nobody used it."""
    config = sys.modules.get("matplotlib_inline.config")
    known = config is not None and (new or config.InlineBackend.initialized())
    return config.InlineBackend.instance(**new) if config is not None and known else None


def _pandas_options(*, changed: bool) -> "list[tuple[str, Any]]":
    from pandas._config import config

    options = config._registered_options.items()
    now = [(name, config.get_option(name), option.defval) for name, option in options]
    return [(name, value) for name, value, default in now if not changed or value != default]


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


def _put_name(shell: Any, name: str, value: Any) -> None:
    shell.user_ns[name] = value


def _put_output(shell: Any, count: str, value: Any) -> None:
    shell.history_manager.output_hist[int(count)] = value
    shell.user_ns[f"_{count}"] = value


def _put_under(shell: Any, name: str, value: Any) -> None:
    shell.user_ns[name] = value
    setattr(shell.displayhook, name, value)  # it shifts them only while both agree


def _put_magic(shell: Any, kind_and_name: str, value: Any) -> None:
    kind, _, name = kind_and_name.partition(":")
    shell.magics_manager.magics[kind][name] = value


def _put_event(shell: Any, event_and_place: str, value: Any) -> None:
    shell.events.register(event_and_place.partition(":")[0], value)


def _put_random(shell: Any, library: str, value: Any) -> None:
    if library == "python":
        random.setstate(value)
    elif library == "numpy":
        sys.modules["numpy"].random.set_state(value)
    elif library == "torch":
        sys.modules["torch"].set_rng_state(value)
    elif library == "torch.cuda" and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.set_rng_state_all(value)


def _put_settings(shell: Any, library: str, value: Any) -> None:
    if library == "numpy":
        sys.modules["numpy"].set_printoptions(**value)
    elif library == "matplotlib":
        sys.modules["matplotlib"].rcParams.update(value)
    elif library == "pyplot":
        _put_figures(value)
    elif library == "inline figures":
        for name, setting in value.items():
            setattr(_inline_backend(parent=shell), name, setting)
    elif library == "pandas":
        for name, option in value.items():
            sys.modules["pandas"].set_option(name, option)


def _put_figures(figures: "list[tuple[int, Any]]") -> None:
    """Have pyplot know the figures by their numbers, the current one last."""
    managers = sys.modules["matplotlib._pylab_helpers"].Gcf.figs
    managers.clear()
    for number, figure in figures:
        manager = figure.canvas.manager
        manager.num = figure.number = number
        managers[number] = manager


_PUT = {
    "name": _put_name,
    "out": _put_output,
    "under": _put_under,
    "magic": _put_magic,
    "event": _put_event,
    "random": _put_random,
    "settings": _put_settings,
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
    if kind in ("name", "under"):
        return name
    if kind in ("widget", "comm"):
        return f"a {kind}"
    return {"random": "random numbers of ", "settings": "settings of ", "event": "callback for "}[
        kind
    ] + name.partition(":")[0]
