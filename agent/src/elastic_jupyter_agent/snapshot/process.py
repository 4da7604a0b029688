"""What a kernel's process has beside objects, as JSON: place, environment, imports."""

import contextlib
import importlib
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from elastic_jupyter_agent.snapshot import widgets
from elastic_jupyter_agent.wire import Lost

#: Environment variables by which an incarnation is told what it is; the next has its own.
_OF_THIS_PROCESS = ("ELASTIC_JUPYTER_", "JPY_", "PYDEVD_")
_FLAGS = ("automagic", "autocall", "ast_node_interactivity")


def state(shell: Any) -> dict[str, Any]:
    """Return the state of this process and of its shell.

    What cannot be read is left out, and named with its reason under ``unread``.
    """
    found: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for name, read in _STATE.items():
        try:
            found[name] = read(shell)
        except (Exception, SystemExit) as error:
            unread[name.replace("_", " ")] = f"{type(error).__name__}: {error}"
    return found | {"unread": unread}


def _inputs(kind: str) -> Callable[[Any], list[str]]:
    return lambda shell: list(getattr(shell.history_manager, kind, ()))


def _text(shell: Any) -> dict[str, Any]:
    text = shell.display_formatter.formatters["text/plain"]
    return {"pprint": text.pprint, "float_precision": text.float_precision}


def _aliases(shell: Any) -> list[list[str]]:
    manager = shell.alias_manager
    return [[n, c] for n, c in manager.aliases if (n, c) not in manager.default_aliases]


def packages() -> dict[str, str]:
    """Return the versions of the top-level modules that are loaded and say one."""
    found = {}
    for name, module in list(sys.modules.items()):
        if (
            "." in name
            or name in sys.stdlib_module_names
            or not isinstance(module, types.ModuleType)
        ):
            continue
        version = vars(module).get("__version__")  # no __getattr__ of a module's is run
        if isinstance(version, str):
            found[name] = version
    return found


def apply(shell: Any, saved: dict[str, Any]) -> tuple[list[Lost], list[str]]:
    """Bring this process to a saved state, before objects come. Return losses and notices."""
    unread = saved.get("unread", {})
    lost = [Lost(f"the kernel's {name}", "setting", why) for name, why in unread.items()]
    notices: list[str] = []
    environment = saved.get("environment", {"set": {}, "unset": []})
    os.environ.update(environment["set"])
    for name in environment["unset"]:
        os.environ.pop(name, None)
    if hasattr(time, "tzset"):
        time.tzset()
    path = saved.get("sys_path", [])
    sys.path[:] = path + [p for p in sys.path if p not in path]
    if (cwd := saved.get("cwd")) is not None:
        try:
            os.chdir(cwd)
        except OSError as error:
            notices.append(f"the working directory {cwd!r} is gone: {error.strerror}")
    for name in saved.get("modules", ()):
        if name not in sys.modules:
            # What misses it says so itself when it is restored.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(name)
    _use_backend(saved.get("matplotlib_backend"), notices)
    for extension in saved.get("extensions", ()):
        if extension not in shell.extension_manager.loaded:
            try:
                shell.extension_manager.load_extension(extension)
            except (Exception, SystemExit) as error:
                lost.append(Lost(f"%load_ext {extension}", "IPython extension", str(error)))
    return lost, notices


def apply_to_shell(shell: Any, saved: dict[str, Any]) -> None:
    """Bring a shell's history, counter and settings to a saved state; after ``apply``."""
    history = shell.history_manager
    if history:
        history.input_hist_parsed[:] = saved.get("input", [""])
        history.input_hist_raw[:] = raw = saved.get("input_raw", [""])
        shell.user_ns.update({f"_i{n}": text for n, text in enumerate(raw) if n})
        for back, name in enumerate(("_i", "_ii", "_iii"), start=1):
            text = raw[-back] if len(raw) > back else ""
            shell.user_ns[name] = text
        history._i00, history._i = ([*raw, ""][len(raw) - 1] if raw else ""), shell.user_ns["_ii"]
        history._ii, history._iii = shell.user_ns["_iii"], ""
        if "directories" in saved:
            history.dir_hist[:] = [Path(path) for path in saved["directories"]]
    shell.execution_count = saved.get("execution_count", shell.execution_count)
    for name, command in saved.get("aliases", ()):
        shell.alias_manager.define_alias(name, command)
    for name, value in saved.get("flags", {}).items():
        setattr(shell, name, value)
    text = shell.display_formatter.formatters["text/plain"]
    for name, value in saved.get("text", {}).items():
        setattr(text, name, value)
    if "traceback" in saved:
        shell.InteractiveTB.set_mode(saved["traceback"])
    if saved.get("autoreload") is not None and (magics := _autoreloader(shell)):
        vars(magics._reloader).update(saved["autoreload"])


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody removed it
        return None


def _environment() -> dict[str, Any]:
    """Return how the environment differs from that with which the process was started."""
    try:
        started = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:  # no Linux: nothing is known, so nothing is brought
        return {"set": {}, "unset": []}
    before = dict(os.fsdecode(line).split("=", 1) for line in started if b"=" in line)
    now = dict(os.environ)
    return {
        "set": {
            name: value
            for name, value in now.items()
            if before.get(name) != value and not name.startswith(_OF_THIS_PROCESS)
        },
        "unset": [n for n in before if n not in now and not n.startswith(_OF_THIS_PROCESS)],
    }


def _modules(namespace: dict[str, Any]) -> list[str]:
    """Return the modules that names stand for, and those of their submodules that are loaded."""
    named = {v.__name__ for v in list(namespace.values()) if isinstance(v, types.ModuleType)}
    prefixes = tuple(f"{name}." for name in named)
    return [n for n in list(sys.modules) if n in named or n.startswith(prefixes)]


def _backend() -> str | None:
    """Return matplotlib's backend, where one was chosen; asking otherwise would choose one."""
    parameters = getattr(sys.modules.get("matplotlib"), "rcParams", None)
    if parameters is None:
        return None
    backend = dict.get(parameters, "backend")
    return backend if isinstance(backend, str) else None


def _use_backend(backend: str | None, notices: list[str]) -> None:
    if backend is None or _backend() == backend:
        return
    try:
        importlib.import_module("matplotlib").use(backend)
    except Exception as error:
        notices.append(f"matplotlib's backend {backend!r} cannot be used: {error}")


@contextlib.contextmanager
def nothing_drawn() -> Iterator[None]:
    """Figures that are made anew would be drawn, and shown after the next cell."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None or not matplotlib.is_interactive():
        yield
        return
    matplotlib.interactive(False)
    try:
        yield
    finally:
        matplotlib.interactive(True)


def _autoreloader(shell: Any) -> Any:
    return shell.magics_manager.registry.get("AutoreloadMagics")


def _autoreload(shell: Any) -> dict[str, Any] | None:
    magics = _autoreloader(shell)
    if magics is None:
        return None
    return {
        name: getattr(magics._reloader, name) for name in ("enabled", "check_all", "autoload_obj")
    }


_STATE: dict[str, Callable[[Any], Any]] = {
    "execution_count": lambda shell: shell.execution_count,
    "input": _inputs("input_hist_parsed"),
    "input_raw": _inputs("input_hist_raw"),
    "directories": lambda shell: [str(path) for path in shell.history_manager.dir_hist],
    "cwd": lambda _: _cwd(),
    "sys_path": lambda _: [path for path in sys.path if isinstance(path, str)],
    "environment": lambda _: _environment(),
    "modules": lambda shell: _modules(shell.user_ns),
    "extensions": lambda shell: sorted(shell.extension_manager.loaded),
    "autoreload": _autoreload,
    "aliases": _aliases,
    "flags": lambda shell: {name: getattr(shell, name) for name in _FLAGS},
    "text": _text,
    "traceback": lambda shell: shell.InteractiveTB.mode,
    "matplotlib_backend": lambda _: _backend(),
    "comms": lambda _: widgets.ids(),
}
