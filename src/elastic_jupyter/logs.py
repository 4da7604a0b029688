"""Log lines: a constant message, and everything that varies as ``key=value``.

    log = logs.get(__name__)
    with logs.bind(kernel=str(key)):
        log.info("pod created", pod=name, epoch=3)

prints ``2026-11-24T18:10:51.123Z INFO elastic_jupyter.x pod created pod=a epoch=3 kernel=ns/a``.
What ``bind`` adds holds for everything that the task does meanwhile, the tasks it starts included.
The ``extra`` of the standard library's loggers is printed in the same way.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=MappingProxyType({}))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields"}


class Log:
    """A logger that takes what varies as keywords."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, /, **fields: object) -> None:
        """Every pass."""
        self._log(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Something changed."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Something is wrong and heals by itself."""
        self._log(logging.WARNING, message, fields)

    def error(self, message: str, /, *, exc: BaseException | None = None, **fields: object) -> None:
        """A person must act. ``exc`` adds its traceback."""
        self._log(logging.ERROR, message, fields, exc)

    def _log(
        self,
        level: int,
        message: str,
        fields: Mapping[str, object],
        exc: BaseException | None = None,
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", message, extra={"fields": fields}, exc_info=exc)


def get(name: str) -> Log:
    """Return the logger of a module. ``name`` is its ``__name__``."""
    return Log(name)


@contextlib.contextmanager
def bind(**fields: object) -> Iterator[None]:
    """Add fields to every line that is logged in this block, also by tasks that it starts."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def configure(level: str, fmt: Literal["text", "json"] = "text") -> None:
    """Send all log lines to stderr, one each.

    Called once, by ``main``. ``level`` is a standard name in any case; ``ValueError`` on another.
    Libraries' own lines below WARNING are left out: httpx2 logs every request at INFO.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger("elastic_jupyter").setLevel(number)


class TextFormatter(logging.Formatter):
    """One line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        words = [_stamp(record), record.levelname, record.name, record.getMessage()]
        words += [f"{key}={_quoted(value)}" for key, value in _fields(record).items()]
        line = " ".join(words).replace("\n", "\\n")
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, the fields beside ``time``, ``level``, ``logger``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_fields(record) | line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {**extra, **getattr(record, "fields", {}), **_context.get()}


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and not any(char in text for char in ' "=') and text != ""
    return text if plain else json.dumps(text, ensure_ascii=False)
