"""What libraries keep for the user: settings, the state of random numbers, pyplot's figures.

Only of libraries that were imported; none is imported for it. One that cannot be read, as its
user set something odd or it changed its ways, loses no other: it is told by its name.
"""

import contextlib
import decimal
import gc
import importlib
import locale
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from elastic_jupyter_agent.snapshot import logs

#: Action, message, category, module, line.
Filters = list[tuple[str, str | None, Any, str | None, int]]


class Unreadable:
    """Stands for what could not be read: whoever pickles it raises why."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        raise self._error


Unreadable.__module__, Unreadable.__qualname__ = "builtins", "settings"  # as the user reads it


class _Place(NamedTuple):
    """Settings of a module: ``read`` returns them, None for nothing; ``write`` puts them back."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


def collect() -> dict[str, Any]:
    """Return the settings by their keys, ``random:numpy``; ``Unreadable`` for what failed."""
    values: dict[str, Any] = {}
    for key, place in _PLACES.items():
        if module := sys.modules.get(place.module):
            try:
                value = place.read(module)
            except (Exception, SystemExit) as error:
                value = Unreadable(error)
            if value is not None:
                values[key] = value
    return values | logs.collect()


def put(key: str, value: Any) -> None:
    """Put settings back. Raises what a library raises that does not take them."""
    place = _PLACES[key]
    module = sys.modules.get(place.module) or importlib.import_module(place.module)
    place.write(module, value)


def differs(value: Any, default: Any) -> bool:
    """Say whether a value is another one; what cannot be compared is."""
    try:
        return bool(value != default)
    except Exception:  # arrays and colour cycles of different lengths raise
        return True


# numpy


def _set_errors(numpy: Any, said: tuple[dict[str, str], Any]) -> None:
    errors, call = said
    numpy.seterr(**errors)
    numpy.seterrcall(call)


# torch

_FLAGS = (
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.cudnn.allow_tf32",
    "backends.cuda.matmul.allow_tf32",
)


def _torch(torch: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "dtype": str(torch.get_default_dtype()),
        "gradients": torch.is_grad_enabled(),
        # By default there are as many as processors, of which the next kernel may have others.
        "threads": (torch.get_num_threads(), _processors()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "printing": dict(vars(torch._tensor_str.PRINT_OPTS)),
        "flags": {},
    }
    for name in _FLAGS:
        with contextlib.suppress(Exception):  # torch 2.9 refuses some, once others were set
            said["flags"][name] = _attribute(torch, name)
    if hasattr(torch, "get_float32_matmul_precision"):
        said["precision"] = torch.get_float32_matmul_precision()
    if hasattr(torch, "get_default_device"):  # since 2.3
        said["device"] = str(torch.get_default_device())
    return said


def _set_torch(torch: Any, said: dict[str, Any]) -> None:
    torch.set_default_dtype(getattr(torch, said["dtype"].rpartition(".")[2]))
    torch.set_grad_enabled(said["gradients"])
    threads, processors = said["threads"]
    if processors == _processors() and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(said["deterministic"])
    vars(torch._tensor_str.PRINT_OPTS).update(said["printing"])
    for name, value in said["flags"].items():
        place, _, last = name.rpartition(".")
        if _attribute(torch, name) != value:
            setattr(_attribute(torch, place), last, value)
    if "precision" in said:
        torch.set_float32_matmul_precision(said["precision"])
    if said.get("device", "cpu") != "cpu":
        torch.set_default_device(said["device"])


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _attribute(owner: Any, path: str) -> Any:
    for name in path.split("."):
        owner = getattr(owner, name)
    return owner


def _cuda(torch: Any) -> Any:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None


def _set_cuda(torch: Any, value: Any) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(value)


# matplotlib


def _matplotlib(matplotlib: Any) -> dict[str, Any]:
    default = matplotlib.rcParamsDefault
    return {
        name: value
        for name, value in dict.items(matplotlib.rcParams)
        if not name.startswith("backend") and differs(value, dict.get(default, name))
    }


def _set_matplotlib(matplotlib: Any, value: dict[str, Any]) -> None:
    matplotlib.rcParams.update(value)


def _figures(pylab: Any) -> Any:
    return [(manager.num, manager.canvas.figure) for manager in pylab.Gcf.figs.values()]


def _set_figures(pylab: Any, figures: "list[tuple[int, Any]]") -> None:
    """Have pyplot know the figures by their numbers, the current one last."""
    managers = pylab.Gcf.figs
    managers.clear()
    for number, figure in figures:
        manager = figure.canvas.manager
        manager.num = figure.number = number
        managers[number] = manager


#: What ``%config InlineBackend`` sets.
_INLINE = ("figure_formats", "print_figure_kwargs", "close_figures")


def _inline(config: Any) -> Any:
    if not config.InlineBackend.initialized():  # nobody used it
        return None
    backend = config.InlineBackend.instance()
    return {name: getattr(backend, name) for name in _INLINE}


def _set_inline(config: Any, value: dict[str, Any]) -> None:
    from IPython.core.getipython import get_ipython

    backend = config.InlineBackend.instance(parent=get_ipython())
    for name, setting in value.items():
        setattr(backend, name, setting)


# pandas


def _pandas(pandas: Any) -> dict[str, Any]:
    config = importlib.import_module("pandas._config.config")
    options = config._registered_options.items()
    now = [(name, config.get_option(name), option.defval) for name, option in options]
    return {name: value for name, value, default in now if differs(value, default)}


def _set_pandas(pandas: Any, value: dict[str, Any]) -> None:
    for name, option in value.items():
        pandas.set_option(name, option)


# the interpreter


def _interpreter(_: Any) -> dict[str, Any]:
    # A kernel's own arguments name its connection file, and another kernel has another one.
    own = any(argument.endswith(".json") for argument in sys.argv)
    return {
        "recursion": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
        "garbage": (gc.isenabled(), gc.get_threshold()),
        "arguments": None if own else list(sys.argv),
    }


def _set_interpreter(_: Any, said: dict[str, Any]) -> None:
    sys.setrecursionlimit(said["recursion"])
    sys.set_int_max_str_digits(said["digits"])
    enabled, threshold = said["garbage"]
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*threshold)
    if said["arguments"] is not None:
        sys.argv[:] = said["arguments"]


def _locale(_: Any) -> str:
    return locale.setlocale(locale.LC_ALL)


def _set_locale(_: Any, said: str) -> None:
    if locale.setlocale(locale.LC_ALL) != said:
        locale.setlocale(locale.LC_ALL, said)


def _signals(_: Any) -> Any:
    """Return what the user's functions handle; SIGINT is the kernel's in any case."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    mine = {
        int(number): handler
        for number, handler in handlers.items()
        if number != signal.SIGINT and getattr(handler, "__module__", None) == "__main__"
    }
    return mine or None


def _set_signals(_: Any, handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


# Filters of warnings are put back at the very end: a restore itself has some of its own.

_filters: Filters | None = None


def _warnings(_: Any) -> Filters:
    return [
        (action, _pattern(message), category, _pattern(module), line)
        for action, message, category, module, line in warnings.filters
    ]


def _pattern(regular: Any) -> str | None:
    pattern: str | None = getattr(regular, "pattern", regular)
    return pattern


def _set_warnings(_: Any, said: Filters) -> None:
    global _filters
    _filters = said


def put_filters() -> None:
    """Put the filters of warnings back that ``put`` was given, if it was given some."""
    global _filters
    said, _filters = _filters, None
    if said is None:
        return
    warnings.resetwarnings()
    for action, message, category, module, line in reversed(said):
        known: Any = action
        warnings.filterwarnings(known, message or "", category, module or "", line)


_PLACES = {
    "random:python": _Place("random", lambda _: random.getstate(), lambda _, v: random.setstate(v)),
    "random:numpy": _Place(
        "numpy.random", lambda m: m.get_state(), lambda m, value: m.set_state(value)
    ),
    "random:torch": _Place(
        "torch", lambda m: m.get_rng_state(), lambda m, value: m.set_rng_state(value)
    ),
    "random:torch.cuda": _Place("torch", _cuda, _set_cuda),
    "settings:numpy": _Place(
        "numpy", lambda m: m.get_printoptions(), lambda m, value: m.set_printoptions(**value)
    ),
    "settings:numpy's errors": _Place("numpy", lambda m: (m.geterr(), m.geterrcall()), _set_errors),
    "settings:torch": _Place("torch", _torch, _set_torch),
    "settings:matplotlib": _Place("matplotlib", _matplotlib, _set_matplotlib),
    "settings:pyplot": _Place("matplotlib._pylab_helpers", _figures, _set_figures),
    "settings:inline figures": _Place("matplotlib_inline.config", _inline, _set_inline),
    "settings:pandas": _Place("pandas", _pandas, _set_pandas),
    "settings:decimal": _Place(
        "decimal", lambda _: decimal.getcontext().copy(), lambda _, v: decimal.setcontext(v)
    ),
    "settings:logging": _Place("logging", logs.levels, logs.set_levels),
    "settings:warnings": _Place("warnings", _warnings, _set_warnings),
    "settings:Python": _Place("sys", _interpreter, _set_interpreter),
    "settings:locale": _Place("locale", _locale, _set_locale),
    "settings:signals": _Place("signal", _signals, _set_signals),
}
