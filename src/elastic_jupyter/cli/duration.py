"""Lengths of time as people type them: ``30s``, ``10m``, ``1h30m``, ``2d``; a number is seconds."""

import re
from datetime import timedelta
from typing import Any

import click

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_WORD = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def parse(text: str) -> timedelta:
    """Return the length that ``text`` says. Raises ``ValueError`` with what it may look like."""
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    if not _WORD.match(text):
        raise ValueError(f"{text!r} is no length of time; say for example 90s, 10m or 1h30m")
    try:
        return sum(
            (timedelta(**{_UNITS[unit]: float(amount)}) for amount, unit in _PART.findall(text)),
            timedelta(),
        )
    except OverflowError:
        raise ValueError(f"{text!r} is too long") from None


class Duration(click.ParamType[timedelta]):
    """An option or argument that is a length of time."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the length; a usage error names the option."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
