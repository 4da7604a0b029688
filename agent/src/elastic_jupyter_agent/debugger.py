"""Stands in for ``ipykernel.debugger`` until somebody debugs.

ipykernel imports debugpy at its start to say that it can debug, which takes a fifth of the start.
The first use, a debug request from a front end, imports the real module and goes on with that.
"""

import asyncio
import importlib
import importlib.util
import sys
import types
from typing import Any

_MODULE = "ipykernel.debugger"


class Debugger:
    """Becomes ipykernel's own ``Debugger`` (7.4) when something is asked of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._made_with = args, kwargs
        self._needed = asyncio.Event()

    async def handle_stopped_event(self) -> None:
        """Wait for a stop; the kernel does from its start on, long before anybody debugs."""
        await self._needed.wait()
        await self._real.handle_stopped_event()

    def __getattr__(self, name: str) -> Any:
        if name == "_real":  # not made yet
            args, kwargs = self._made_with
            self._real = _real_module().Debugger(*args, **kwargs)
            self._needed.set()
            return self._real
        return getattr(self._real, name)


def stand_in() -> None:
    """Put the stand-in in place, if debugpy is there; called before ipykernel is imported."""
    if importlib.util.find_spec("debugpy") is None:
        return
    module: Any = types.ModuleType(_MODULE)
    module._is_debugpy_available = True
    module.Debugger = Debugger
    module.__getattr__ = _of_real_module
    sys.modules[_MODULE] = module


def _of_real_module(name: str) -> Any:
    if name.startswith("__"):  # asked for by the import system
        raise AttributeError(name)
    return getattr(_real_module(), name)


def _real_module() -> Any:
    if not hasattr(sys.modules[_MODULE], "__file__"):
        del sys.modules[_MODULE]
    return importlib.import_module(_MODULE)
