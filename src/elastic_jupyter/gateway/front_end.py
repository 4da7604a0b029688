"""What front ends are told of a kernel's state, and the two wishes that they may send.

JupyterLab's extension (``labextension/``) shows it. The protocol is in ADR 0018: an iopub message
``elastic_jupyter_state`` without a parent, on connect, at each change and each kernel_info_request,
and two requests on the control channel, which the kernel never sees. A client that does not know
them misses nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from elastic_jupyter import untrusted_json
from elastic_jupyter.api.kernel import Phase, Wake, WhenIdle
from elastic_jupyter.errors import ElasticJupyterError, Invalid, NotFound
from elastic_jupyter.gateway import messages
from elastic_jupyter.gateway.facts import Facts
from elastic_jupyter.gateway.messages import Asked, Said
from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.policy import idle, notices

if TYPE_CHECKING:
    from elastic_jupyter.gateway.connection import ElasticConnection
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

STATE = "elastic_jupyter_state"
KEEP, RELEASE = "elastic_jupyter_keep_request", "elastic_jupyter_release_request"
#: Seconds within which changes are told as one: a cell alone makes two.
_TOGETHER = 0.2
#: Phases that the object does not have: its snapshot is on the way back, and it is gone.
WAKING, RECLAIMED = "Waking", "Reclaimed"


@dataclass(frozen=True)
class Seen:
    """What the gateway knows of a kernel.

    ``saves``: its variables are being saved; ``waiting`` and ``reason`` say what it waits for, and
    why it is gone.
    """

    state: KernelState
    saves: bool
    waiting: str
    reason: str
    facts: Facts | None
    verdict: idle.Verdict
    hibernates: bool
    wake: Wake | None = None

    @property
    def phase(self) -> str:
        """The object's phase as far as a user cares, or one of the two above."""
        told = self.facts.phase if self.facts else None
        match self.state:
            case KernelState.RUNNING:
                return (Phase.HIBERNATING if self.saves else Phase.RUNNING).value
            case KernelState.ASLEEP:
                return (Phase.DORMANT if told is Phase.DORMANT else Phase.HIBERNATED).value
            case KernelState.RECLAIMED:
                return RECLAIMED
            case KernelState.FAILED:
                return Phase.FAILED.value
        if told is Phase.QUEUED:
            return told.value
        wakes = self.facts is not None and self.facts.to_restore is not None
        return WAKING if wakes else Phase.PENDING.value

    @property
    def can_release(self) -> bool:
        """Whether it holds something, or stands in line, and nobody has asked for it back."""
        here = self.state in (KernelState.STARTING, KernelState.RUNNING) and not self.saves
        return here and self.facts is not None and not self.facts.suspend

    @property
    def can_keep(self) -> bool:
        """Whether it runs, and would be reclaimed one day."""
        culled = self.verdict.reason not in (idle.CULLING_DISABLED, idle.UNSAVABLE)
        return self.can_release and self.state is KernelState.RUNNING and culled


def content(seen: Seen) -> dict[str, Any]:
    """Return the content of ``elastic_jupyter_state``: every key always."""
    runs = seen.state is KernelState.RUNNING
    wake = seen.wake if runs else None
    return {
        "phase": seen.phase,
        "text": _text(seen),
        "queue": _queue(seen),
        "reclaim_at": _time(seen.verdict.reclaim_at if runs and not seen.saves else None),
        "keep_until": _time(seen.facts.keep_until if runs and seen.facts else None),
        "hibernates": seen.hibernates,
        "restored": wake.restored if wake else [],
        "lost": [one.model_dump() for one in wake.lost] if wake else [],
        "lost_count": wake.lost_count if wake else 0,
        "can": [
            *(["keep"] if seen.can_keep else []),
            *(["release"] if seen.can_release else []),
        ],
    }


def _text(seen: Seen) -> str:
    match seen.state:
        case KernelState.STARTING:
            return seen.waiting
        case KernelState.ASLEEP:
            return notices.DORMANT if seen.phase == Phase.DORMANT.value else notices.HIBERNATED
        case KernelState.RUNNING:
            disturbed = seen.facts.disturbance if seen.facts else ""
            return f"The kernel may end soon: {disturbed}" if disturbed else ""
    return seen.reason or "it was idle"


def _queue(seen: Seen) -> dict[str, Any] | None:
    place = seen.facts.place if seen.facts and seen.phase == Phase.QUEUED.value else None
    if place is None:
        return None
    text = notices.place(place.position, place.length)
    return {"position": place.position, "length": place.length, "place": text}


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else None


class FrontEnds:
    """Tells all websockets of one kernel its state, and heeds what they ask."""

    def __init__(self, manager: ElasticKernelManager) -> None:
        self._manager = manager
        self._told: WeakKeyDictionary[ElasticConnection, dict[str, Any]] = WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Tell what is new, in a moment; called whenever something may be."""
        if self._timer is None and self._manager.connections:
            self._timer = asyncio.get_running_loop().call_later(_TOGETHER, self._tell_all)

    def tell(self, connection: ElasticConnection) -> None:
        """Tell one websocket; called when it has opened, and when it asks for kernel_info."""
        now = self._told[connection] = content(self._seen())
        connection.say({}, Said("iopub", STATE, now))

    def _tell_all(self) -> None:
        self._timer = None
        for connection in list(self._manager.connections):
            if content(self._seen()) != self._told.get(connection):
                self.tell(connection)

    def _seen(self) -> Seen:
        manager = self._manager
        return Seen(
            state=manager.state,
            saves=manager.hibernation.saves,
            waiting=manager.waiting_text,
            reason=manager.reason,
            facts=manager.facts,
            verdict=manager.verdict(datetime.now(UTC)),
            hibernates=manager.idleness.outcome is WhenIdle.HIBERNATE,
            wake=manager.wake,
        )

    # -- what they ask

    def takes(self, asked: Asked) -> bool:
        """Take a request that is for the gateway; False: it is for the kernel."""
        return asked.channel == "control" and asked.msg_type in (KEEP, RELEASE)

    async def answer(self, connection: ElasticConnection, asked: Asked) -> None:
        """Do what was asked, and reply."""
        try:
            said = await (self._keep(asked) if asked.msg_type == KEEP else self._release())
            reply = {"status": "ok", **said}
        except ElasticJupyterError as error:
            ename, evalue = type(error).__name__, str(error)
            reply = {"status": "error", "ename": ename, "evalue": evalue, "traceback": []}
        msg_type = asked.msg_type.replace("_request", "_reply")
        connection.say(asked.header, Said("control", msg_type, reply), messages.IDLE)
        if self._manager.busy:  # the end of this request is not that of the cell
            connection.say({}, messages.BUSY)

    async def _keep(self, asked: Asked) -> dict[str, Any]:
        """Have the kernel reclaimed later than it would be, as ``elastic-jupyter extend`` does."""
        seen = self._seen()
        if not seen.can_keep:
            raise NotFound(f"there is nothing to keep: {_hindrance(seen)}")
        known = (seen.verdict.reclaim_at, seen.facts.keep_until if seen.facts else None)
        now = datetime.now(UTC)
        try:
            until = max(filter(None, (now, *known))) + timedelta(seconds=_seconds(asked))
        except OverflowError:
            raise Invalid("seconds: that is longer than any calendar has days") from None
        await self._manager.ask(keep_until=until)
        verdict = self._manager.verdict(now)
        return {"keep_until": _time(until), "reclaim_at": _time(verdict.reclaim_at)}

    async def _release(self) -> dict[str, Any]:
        """Have it give its resources back, as ``elastic-jupyter release`` does."""
        seen = self._seen()
        if not seen.can_release:
            raise NotFound(f"there is nothing to release: {_hindrance(seen)}")
        await self._manager.ask(suspend=True)
        return {"busy": self._manager.busy}


def _hindrance(seen: Seen) -> str:
    runs = seen.state is KernelState.RUNNING
    if seen.saves or (seen.facts is not None and seen.facts.suspend and runs):
        return "the kernel gives its resources back already"
    if runs:
        return "the kernel is not reclaimed, however long it is idle"
    if seen.state is KernelState.STARTING:
        return "the kernel does not run yet"
    return f"the kernel is {seen.phase}, and its notebook's next cell {_next(seen)}"


def _next(seen: Seen) -> str:
    return "wakes it" if seen.state is KernelState.ASLEEP else "starts a new one"


def _seconds(asked: Asked) -> float:
    """Return for how long to keep the kernel. Raises ``Invalid``."""
    try:
        with untrusted_json.reading():
            said = json.loads(asked.parts[3])
    except ValueError:
        said = None
    seconds = said.get("seconds") if isinstance(said, Mapping) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise Invalid(f"seconds: {seconds!r} is not a number above 0")
    return seconds
