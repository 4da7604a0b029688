"""Text for a terminal: the table of ``status``, and times as people read them. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from elastic_jupyter.api.kernel import WhenIdle
from elastic_jupyter.cli.view import KernelView, short_ids
from elastic_jupyter.policy import notices

COLUMNS = (
    "KERNEL",
    "PHASE",
    "USER",
    "NOTEBOOK",
    "GPU",
    "IDLE FOR",
    "RECLAIM IN",
    "GPU-H USED",
    "GPU-H BACK",
)
_PATH = COLUMNS.index("NOTEBOOK")
#: Characters of a path that are always shown.
_LEAST = 16
_HOUR = timedelta(hours=1)


def table(views: Sequence[KernelView], *, now: datetime, width: int | None = None) -> str:
    """Return a line for each kernel below the names of the columns.

    ``width``: that of the terminal, where paths are cut for it; their ends are what differs.
    """
    if not views:
        return "no kernels"
    ids = short_ids(views)
    rows = [COLUMNS, *(_row(one, ids[one.id], now=now) for one in views)]
    text = columns(rows)
    over = max(map(len, text.splitlines())) - (width or len(text))
    if over <= 0:
        return text
    room = max(max(len(row[_PATH]) for row in rows) - over, _LEAST)
    return columns([(*row[:_PATH], _end(row[_PATH], room), *row[_PATH + 1 :]) for row in rows])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows with their cells one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(one: KernelView, short: str, *, now: datetime) -> tuple[str, ...]:
    return (
        short,
        _phase(one),
        one.user,
        one.notebook,
        gpus(one),
        "busy" if one.busy else ago(one.last_activity, now=now),
        _reclaim(one, now=now),
        f"{one.usage.used / _HOUR:.2f}" if one.gpus else "",
        f"{one.usage.given_back / _HOUR:.2f}" if one.gpus else "",
    )


def _end(path: str, room: int) -> str:
    return path if len(path) <= room else f"…{path[1 - room :]}"


def _phase(one: KernelView) -> str:
    if one.place is not None:
        return f"{one.phase} ({notices.place(one.place.position, one.place.length)})"
    return one.phase


def gpus(one: KernelView) -> str:
    """Return ``1``, or ``1 amd.com/gpu`` of what is not the usual kind."""
    return ", ".join(
        f"{request.amount}"
        if request.resource == "nvidia.com/gpu"
        else f"{request.amount} {request.resource}"
        for request in one.gpus
    )


def _reclaim(one: KernelView, *, now: datetime) -> str:
    if one.suspend and one.kernel is not None:
        return "released"
    if one.reclaim_at is None:
        return "never" if one.when_idle is WhenIdle.KEEP and not one.busy else ""
    left = notices.duration(max(one.reclaim_at - now, timedelta(0)))
    if one.left_running:
        return f"{left}, kept: {notices.listed(one.left_running, most=1)}"
    return left


def ago(moment: datetime | None, *, now: datetime) -> str:
    """Return how long ago that was; empty where it is not known."""
    return "" if moment is None else notices.duration(max(now - moment, timedelta(0)))


def clock(moment: datetime, *, now: datetime) -> str:
    """Return a time of day in the zone of this machine, with its date unless it is today's."""
    local = moment.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == now.astimezone().date() else "%F %H:%M")
