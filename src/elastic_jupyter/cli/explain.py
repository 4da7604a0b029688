"""Why a kernel is as it is, in sentences. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from elastic_jupyter.api.kernel import Phase
from elastic_jupyter.cli import view
from elastic_jupyter.cli.table import clock, gpus
from elastic_jupyter.cli.view import KernelView
from elastic_jupyter.policy import notices, wakes
from elastic_jupyter.policy.kernel_status import RECLAIM_SOON
from elastic_jupyter.policy.lifecycle import RESTING

#: Where the bound of an extension is set.
MAX_EXTENSION = "reclaim.maxExtensionSeconds"
_OVER = (Phase.FAILED, Phase.SUCCEEDED, *RESTING)
_NEXT = "The next cell of its notebook starts a new one under the same id; its variables are gone."


def explain(one: KernelView, *, now: datetime) -> str:
    """Return in a line what the kernel waits for, or when and why it is or was reclaimed."""
    return " ".join(filter(None, _sentences(one, now=now))).replace("\n", " ")


def _sentences(one: KernelView, *, now: datetime) -> Iterator[str]:
    if one.kernel is None:
        yield _asleep(one, now=now)
        yield _NEXT
    elif one.phase in (Phase.FAILED, Phase.SUCCEEDED):
        yield f"It ended{_at(one, now=now)}: {_why(one) or 'nobody said why'}."
        yield _NEXT if one.notebook else ""
    elif one.phase == Phase.QUEUED and one.place is not None:
        place = one.place
        yield notices.queued(place.position, place.length, place.reason or "")
    elif one.phase == Phase.RUNNING:
        yield from _running(one, now=now)
    elif one.phase in RESTING:
        yield _resting(one, now=now)
    elif one.phase == Phase.HIBERNATING and one.save_failed:
        yield _not_saved(one, now=now)
    elif one.phase == Phase.HIBERNATING:
        yield "It is idle, and its variables are being saved."
    elif one.phase == view.NEW:
        yield "It was asked for, and nothing has looked at it yet: is what starts kernels running?"
    else:
        yield notices.pending(one.reason, one.message)
    if one.suspend and one.phase not in (*_OVER, Phase.HIBERNATING):
        yield "It is to be released" + (" when its cell ends." if one.busy else ".")


def _running(one: KernelView, *, now: datetime) -> Iterator[str]:
    held = gpus(one)
    yield f"It runs{_at(one, now=now, word=' since')}" + (f", GPU: {held}." if held else ".")
    if one.message:  # a kernel that runs undisturbed has nothing to say
        yield f"It may end soon: {_why(one)}."
    if one.wake is not None:
        yield f"It woke with {wakes.back(one.wake) or 'nothing'}."
        yield f"Not restored: {wakes.gone(one.wake)}." if one.wake.lost else ""
    if one.busy:
        yield "A cell runs, so it is not idle."
    elif one.save_failed:
        yield _not_saved(one, now=now)
    elif one.reclaim_at is not None:
        yield from _idle(one, one.reclaim_at, now=now)
    elif one.last_activity is None:
        yield "Nobody has said yet since when it is idle."
    elif not one.unsavable:
        yield "It is not reclaimed, however long it is idle."
    if one.unsavable and one.when_idle in notices.INSTEAD:
        yield f"Its variables cannot be saved: {one.unsavable}; {notices.INSTEAD[one.when_idle]}."
    if one.keep_until is not None and one.keep_until > now:
        yield _kept(one, one.keep_until, now=now)


def _idle(one: KernelView, reclaim_at: datetime, *, now: datetime) -> Iterator[str]:
    left = notices.duration(max(reclaim_at - now, timedelta(0)))
    when = f"{clock(reclaim_at, now=now)}, in {left},"
    if one.left_running:
        yield f"It is kept, for this runs: {notices.listed(one.left_running, most=3)}."
        yield f"It is reclaimed at {when} if it has ended by then and no cell runs before."
        return
    yield f"It is reclaimed at {when} unless a cell runs before."
    if _warned(one):
        yield f"To keep it: elastic-jupyter extend {one.id} 1h."


def _not_saved(one: KernelView, *, now: datetime) -> str:
    again = f" at {clock(one.reclaim_at, now=now)}" if one.reclaim_at else ""
    return (
        f"Its variables could not be saved: {one.save_failed}. Nothing is lost: it keeps its "
        f"resources, and saving is tried again{again}."
    )


def _warned(one: KernelView) -> bool:
    said = (one.kernel and one.kernel.status and one.kernel.status.conditions) or []
    return any(condition.type == RECLAIM_SOON for condition in said)


def _kept(one: KernelView, until: datetime, *, now: datetime) -> str:
    if one.keep_limit is not None and one.keep_limit < until:
        return (
            f"By request it is kept until {clock(one.keep_limit, now=now)}, and no longer: "
            f"{MAX_EXTENSION} is the limit of its gateway."
        )
    return f"It is kept until {clock(until, now=now)} by request."


def _resting(one: KernelView, *, now: datetime) -> str:
    if one.phase == Phase.DORMANT:
        return "It has not started yet, and holds nothing: its notebook's first cell starts it."
    return (
        f"It sleeps{_at(one, now=now, word=' since')} and holds nothing: its variables are saved, "
        "and its notebook's next cell wakes it with them."
    )


def _asleep(one: KernelView, *, now: datetime) -> str:
    if one.reason:
        return f"It ended{_at(one, now=now)}: {one.reason}."
    idle = ""
    if one.since and one.last_activity:
        idle = f" after {notices.duration(one.since - one.last_activity)} without use"
    return f"It was reclaimed{_at(one, now=now)}{idle}."


def _at(one: KernelView, *, now: datetime, word: str = " at") -> str:
    return f"{word} {clock(one.since, now=now)}" if one.since else ""


def _why(one: KernelView) -> str:
    reason = "" if one.reason == "Error" and one.message else one.reason  # which says nothing
    return ": ".join(filter(None, (reason, one.message))).rstrip(".")
