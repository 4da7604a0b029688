"""What a kernel's process has beside objects, as JSON: place, environment, imports."""

import contextlib
import importlib
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elastic_jupyter_agent.snapshot import widgets
from elastic_jupyter_agent.wire import Lost

#: Environment variables by which an incarnation is told what it is; the next has its own.
_OF_THIS_PROCESS = ("ELASTIC_JUPYTER_", "JPY_", "PYDEVD_")
_FLAGS = ("automagic", "autocall", "ast_node_interactivity")


def state(shell: Any) -> dict[str, Any]:
    """Return the state of this process and of its shell."""
    history = shell.history_manager
    text = shell.display_formatter.formatters["text/plain"]
    return {
        "execution_count": shell.execution_count,
        "input": list(history.input_hist_parsed) if history else [],
        "input_raw": list(history.input_hist_raw) if history else [],
        "directories": [str(path) for path in shell.user_ns.get("_dh", [])],
        "cwd": _cwd(),
        "sys_path": [path for path in sys.path if isinstance(path, str)],
        "environment": _environment(),
        "modules": _modules(shell.user_ns),
        "extensions": sorted(shell.extension_manager.loaded),
        "autoreload": _autoreload(shell),
        "aliases": [
            [name, command]
            for name, command in shell.alias_manager.aliases
            if (name, command) not in shell.alias_manager.default_aliases
        ],
        "flags": {name: getattr(shell, name) for name in _FLAGS},
        "text": {"pprint": text.pprint, "float_precision": text.float_precision},
        "traceback": shell.InteractiveTB.mode,
        "matplotlib_backend": _backend(),
        "comms": widgets.ids(),
    }


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
    lost: list[Lost] = []
    notices: list[str] = []
    environment = saved["environment"]
    os.environ.update(environment["set"])
    for name in environment["unset"]:
        os.environ.pop(name, None)
    sys.path[:] = saved["sys_path"] + [p for p in sys.path if p not in saved["sys_path"]]
    if saved["cwd"] is not None:
        try:
            os.chdir(saved["cwd"])
        except OSError as error:
            notices.append(f"the working directory {saved['cwd']!r} is gone: {error.strerror}")
    for name in saved["modules"]:
        if name not in sys.modules:
            # What misses it says so itself when it is restored.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(name)
    _use_backend(saved["matplotlib_backend"], notices)
    for extension in saved["extensions"]:
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
        history.input_hist_parsed[:] = saved["input"]
        history.input_hist_raw[:] = saved["input_raw"]
        raw = saved["input_raw"]
        shell.user_ns.update({f"_i{n}": text for n, text in enumerate(raw) if n})
        for back, name in enumerate(("_i", "_ii", "_iii"), start=1):
            text = raw[-back] if len(raw) > back else ""
            shell.user_ns[name] = text
        history._i00, history._i = ([*raw, ""][len(raw) - 1] if raw else ""), shell.user_ns["_ii"]
        history._ii, history._iii = shell.user_ns["_iii"], ""
    shell.user_ns.get("_dh", [])[:] = [Path(path) for path in saved["directories"]]
    shell.execution_count = saved["execution_count"]
    for name, command in saved["aliases"]:
        shell.alias_manager.define_alias(name, command)
    for name, value in saved["flags"].items():
        setattr(shell, name, value)
    text = shell.display_formatter.formatters["text/plain"]
    text.pprint = saved["text"]["pprint"]
    text.float_precision = saved["text"]["float_precision"]
    shell.InteractiveTB.set_mode(saved["traceback"])
    if saved["autoreload"] is not None and (magics := _autoreloader(shell)):
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
