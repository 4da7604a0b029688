"""How the user's code logs: levels of loggers, and handlers of those that are no library's."""

import logging
import sys
from typing import Any


def levels(_: Any) -> dict[str, Any]:
    """Return what was set of any logger; the root's name is empty."""
    loggers = {"": logging.root} | {
        name: logger
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
    }
    return {
        "disable": logging.root.manager.disable,
        "loggers": {
            name: (logger.level, logger.propagate, logger.disabled)
            for name, logger in loggers.items()
            if logger.level or not logger.propagate or logger.disabled
        },
    }


def set_levels(_: Any, said: dict[str, Any]) -> None:
    """Set them again."""
    logging.disable(said["disable"])
    for name, (level, propagate, disabled) in said["loggers"].items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled


def collect() -> dict[str, Any]:
    """Return the handlers of each of the user's loggers by its key, ``log:mine``.

    A library adds its own when it is imported, and knows them, so that those are left to it.
    """
    return {
        f"log:{name}": list(logger.handlers)
        for name, logger in [("", logging.root), *logging.root.manager.loggerDict.items()]
        if isinstance(logger, logging.Logger) and logger.handlers and not _of_library(name)
    }


def put(name: str, handlers: list[logging.Handler]) -> None:
    """Give a logger its handlers, and no others."""
    logging.getLogger(name).handlers[:] = handlers


def _of_library(name: str) -> bool:
    top = name.partition(".")[0]
    return top in _KERNEL or (top in sys.modules and top != "__main__")


#: Loggers of the kernel that are not named as a module.
_KERNEL = {"IPKernelApp", "tornado", "traitlets"}


def reduce(handler: logging.Handler) -> Any:
    """Return how to make a handler anew; a file goes on where it ends."""
    state = {name: value for name, value in vars(handler).items() if name != "lock"}
    if isinstance(handler, logging.FileHandler):
        state |= {"stream": None, "mode": handler.mode.replace("w", "a").replace("x", "a")}
    return _handler, (type(handler),), state, None, None, _set_handler


def _handler(kind: Any) -> Any:
    return kind.__new__(kind)


def _set_handler(handler: logging.Handler, state: dict[str, Any]) -> None:
    vars(handler).update(state)
    handler.createLock()
    # As its own constructor does, so that it is flushed when Python ends.
    logging._addHandlerRef(handler)  # type: ignore[attr-defined]
