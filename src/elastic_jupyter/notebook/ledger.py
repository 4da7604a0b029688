"""What each request of one browser tab is still owed: its reply, and the end of its output.

Pure: no I/O and no clock of its own. ``connection.py`` tells it what was sent and received, and
does what it answers. It matters only around a gap, that is while the gateway is away:

- ``lost``: the websocket to the gateway ended. Requests that are owed something are in the gap.
- ``returned``: it is open again. Each queue of the kernel (shell, control, each subshell) that has
  a request in the gap gets a probe. A queue is first in, first out, so the answer to the probe
  shows that the kernel has finished all that it got before.
- ``settle``: what a probe proved finished and is still owed something gets it: the reply rebuilt
  from what iopub told, where that is all known, or else an error that names the gap. A mere
  question is asked again; an execution is not, since that it did not run cannot be known, but
  where the gateway knows it (``to_send_again``). The one that ends hands back what waits in it.
  Else each says with which of a sleeping kernel's variables it holds a cell, and the next one since
  which variables nothing of this tab has run.

A gap is *covered* when the gateway replays every iopub message of that time. If it does not, a cell
that goes on says on its stderr that output may be missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from elastic_jupyter.notebook import answers
from elastic_jupyter.notebook.answers import OURS, PROBE, Problem, Voice
from elastic_jupyter.notebook.frames import Json, Message

#: Requests that change nothing in the kernel: asked again where their answer was lost.
REPEATABLE = frozenset(
    {
        "comm_info_request",
        "complete_request",
        "history_request",
        "inspect_request",
        "is_complete_request",
        "kernel_info_request",
    }
)
#: The gateway's word with which of a sleeping kernel's variables it holds an execution.
HELD = "elastic_jupyter_held"
#: The gateway's word that an execution has not run, and that nobody there will run it.
HANDED_BACK = "elastic_jupyter_handed_back"
#: Requests that are remembered. A kernel that never says ``idle`` would fill the memory otherwise.
MAX_OPEN = 10_000
#: Ids of ended requests that are remembered, to drop what comes too late.
MAX_CLOSED = 1000


class Lane(NamedTuple):
    """A queue of requests in the kernel: a channel, and a subshell or None for the main one."""

    channel: str
    subshell: str | None


@dataclass(slots=True)
class Entry:
    """One request. ``lost`` and ``back`` are the ends of the gap it is in, or None."""

    request: Message  # without the content, but for one that may be asked again
    lane: Lane
    silent: bool
    started: bool = False
    #: The name of the variables with which the gateway said that it holds it.
    held: str | None = None
    handed_back: bool = False
    #: The user interrupted the kernel since.
    interrupted: bool = False
    heard: bool = False
    replied: bool = False
    idle: bool = False
    count: int | None = None
    error: Json | None = None
    lost: datetime | None = None
    back: datetime | None = None
    #: Some of its iopub messages may be lost.
    blind: bool = False
    #: The user was not told yet that output may be missing.
    untold: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing is owed any more."""
        return self.idle and (self.replied or not answers.expects_reply(self.request))


class Verdict(NamedTuple):
    """What to do with a message from the gateway: say ``before`` first, then pass it on or not.

    ``answered`` is the lane whose probe this message answers.
    """

    forward: bool
    before: tuple[Message, ...] = ()
    answered: Lane | None = None


PASS_ON = Verdict(forward=True)
DROP = Verdict(forward=False)


@dataclass(frozen=True)
class Settlement:
    """What the end of a gap gives the browser and asks the kernel again; ``open``: entries left."""

    to_browser: tuple[Message, ...] = ()
    to_kernel: tuple[Message, ...] = ()
    open: int = 0


class Ledger:
    """The requests of one websocket. ``now`` is aware UTC everywhere."""

    def __init__(self, voice: Voice, *, session: str) -> None:
        self._voice = voice
        self._session = session
        self._open: dict[str, Entry] = {}
        self._closed: dict[str, None] = {}
        self._probes: dict[str, Lane] = {}
        #: The id of the last iopub message that came from the kernel; empty before the first.
        self.last_msg_id = ""

    def __len__(self) -> int:
        return len(self._open)

    # -- what happens

    def sent(self, request: Message) -> None:
        """Note a message that was written to the gateway's websocket."""
        if request.channel not in ("shell", "control") or not request.msg_id:
            return
        kept: Message = _bare(request)
        silent = False
        if request.msg_type in REPEATABLE:
            kept = Message(request.channel, (request.header, {}, {}, request.content))
        elif request.msg_type == "execute_request":
            kept = request
            silent = bool(request.content.get("silent", False))
        self._open[request.msg_id] = Entry(
            kept,
            Lane(request.channel, request.header.get("subshell_id")),
            silent,
        )
        if len(self._open) > MAX_OPEN:
            del self._open[next(iter(self._open))]

    def received(self, message: Message, *, now: datetime) -> Verdict:
        """Note a message from the gateway and say what becomes of it."""
        if message.channel == "iopub":
            return self._received_iopub(message, now)
        return self._received_reply(message, now)

    def lost(self, *, now: datetime) -> None:
        """Note that the websocket to the gateway ended."""
        self._probes.clear()
        for entry in self._open.values():
            entry.lost = entry.lost or now

    def to_send_again(self, *, not_run_since: str | None) -> list[Message]:
        """Return the executions of the gap that have certainly not run and that no gateway has.

        ``not_run_since``: so it is with those that were held with the variables of this name.
        Called before ``returned``.
        """
        again = [
            entry
            for entry in self._in_gap()
            if entry.request.msg_type == "execute_request"
            and (entry.handed_back or (entry.held is not None and entry.held == not_run_since))
            and not (entry.heard or entry.replied or entry.interrupted)
        ]
        for entry in again:
            entry.lost = entry.back = None
            entry.started = entry.idle = entry.handed_back = entry.blind = entry.untold = False
        return [entry.request for entry in again]

    def clear_waiting(self, again: list[Message], *, now: datetime) -> list[Message]:
        """Return what takes away that executions waited; who gets them ``again`` says so anew."""
        clear = {"wait": False}
        return [
            self._voice.say("iopub", "clear_output", clear, to=request.header, now=now)
            for request in again
        ]

    def returned(self, *, covered: bool, now: datetime) -> list[Message]:
        """Note that the websocket is open again and return the probes to send first.

        ``covered``: every iopub message after ``last_msg_id`` is replayed.
        """
        lanes = []
        for entry in self._in_gap():
            entry.back = now
            if not covered and not entry.idle:
                entry.blind = True
                entry.untold = entry.request.msg_type == "execute_request"
            if entry.lane not in lanes:
                lanes.append(entry.lane)
        return [self._probe(lane, now) for lane in lanes]

    # -- what follows

    def still_running(self, *, now: datetime) -> list[Message]:
        """Return the notices for cells that had started and whose queue's probe is unanswered."""
        waiting = set(self._probes.values())
        return [
            notice
            for entry in self._in_gap()
            if entry.started and entry.lane in waiting
            for notice in self._tell(entry, now)
        ]

    def settle(self, lane: Lane, *, final: bool, now: datetime) -> Settlement:
        """Give the lane's requests in the gap what they are owed; its probe was answered.

        ``final``: their iopub messages had time to arrive. Otherwise only what is certain is given.
        """
        to_browser: list[Message] = []
        to_kernel: list[Message] = []
        for entry in [entry for entry in self._in_gap() if entry.lane == lane]:
            content = self._rebuild(entry)
            if content is not None and (entry.idle or final):
                to_browser.append(self._voice.reply(entry.request, content, now=now))
                if not entry.idle:
                    to_browser.append(self._voice.idle(entry.request.header, now=now))
                self._close(entry)
            elif final and not entry.replied and entry.request.msg_type in REPEATABLE:
                entry.lost = entry.back = None
                to_kernel.append(entry.request)
            elif final:
                to_browser += self._fail(entry, now)
        return Settlement(
            tuple(to_browser),
            tuple(to_kernel),
            sum(entry.lane == lane for entry in self._in_gap()),
        )

    def interrupted(self) -> None:
        """Note that the user interrupted the kernel: no execution of before is sent again."""
        for entry in self._open.values():
            entry.interrupted = True

    def abandon_handed_back(self, problem: Problem, *, now: datetime) -> list[Message]:
        """Return the end of what no gateway has, and nobody will send again, with ``problem``."""
        handed_back = [entry for entry in self._open.values() if entry.handed_back]
        return self._end_each(handed_back, problem, now)

    def abandon(self, problem: Problem, *, now: datetime) -> list[Message]:
        """Return the end of every open request with ``problem``; the ledger is empty after it."""
        return self._end_each([*self._open.values()], problem, now)

    # -- inside

    def _received_iopub(self, message: Message, now: datetime) -> Verdict:
        self._voice.hear(message.header)
        if not message.msg_id.startswith(OURS):
            self.last_msg_id = message.msg_id
        if message.parent_id.startswith(PROBE):  # also that of another tab
            return DROP
        entry = self._open.get(message.parent_id)
        if message.msg_type in (HELD, HANDED_BACK):
            if entry is not None and message.msg_type == HELD:
                entry.held = message.content["variables"]
            elif entry is not None:
                entry.handed_back = True
            return DROP
        if entry is None:
            return PASS_ON
        state = message.content.get("execution_state") if message.msg_type == "status" else None
        if (
            entry.back
            and not entry.started
            and (state == "busy" or message.msg_type == "execute_input")
        ):
            entry.blind = entry.untold = False  # it began after the gap
        before = tuple(self._tell(entry, now))
        entry.started = True
        if not message.msg_id.startswith(OURS) and not entry.heard:
            entry.heard = True
            if entry.request.msg_type not in REPEATABLE:
                entry.request = _bare(entry.request)
        if message.msg_type == "execute_input":
            entry.count = message.content.get("execution_count")
        elif message.msg_type == "error":
            entry.error = message.content
        elif state == "idle":
            entry.idle = True
            self._close_if_finished(entry)
        return Verdict(forward=True, before=before)

    def _received_reply(self, message: Message, now: datetime) -> Verdict:
        lane = self._probes.pop(message.parent_id, None)
        if message.parent_id.startswith(PROBE):
            return Verdict(forward=False, answered=lane)
        if not message.msg_type.endswith("_reply"):
            return PASS_ON  # input_request
        self._voice.hear(message.header)
        if message.parent_id in self._closed:
            return DROP
        entry = self._open.get(message.parent_id)
        if entry is None:
            return PASS_ON
        if entry.replied:
            return DROP
        before = tuple(self._tell(entry, now))
        entry.replied = True
        self._close_if_finished(entry)
        return Verdict(forward=True, before=before)

    def _tell(self, entry: Entry, now: datetime) -> Iterator[Message]:
        if entry.untold and entry.lost and entry.back:
            entry.untold = False
            text = answers.lost_output(entry.back - entry.lost)
            yield self._voice.stderr(entry.request.header, text, now=now)

    def _in_gap(self) -> Iterator[Entry]:
        return (entry for entry in self._open.values() if entry.lost is not None)

    def _probe(self, lane: Lane, now: datetime) -> Message:
        probe = answers.probe(lane.subshell, lane.channel, session=self._session, now=now)
        self._probes[probe.msg_id] = lane
        return probe

    def _rebuild(self, entry: Entry) -> Json | None:
        """Return the content of the lost reply to an execution, or None where it is not known."""
        if entry.replied or entry.request.msg_type != "execute_request":
            return None
        if entry.error is not None:
            error = answers.error_content(entry.request, entry.error)
            return {**error, "execution_count": entry.count or 0}
        if not entry.idle or entry.blind:
            return None
        if entry.count is None and not entry.silent:
            # It ended without having begun: the kernel skipped it after an error before it.
            return {"status": "aborted"}
        return {
            "status": "ok",
            "execution_count": entry.count or 0,
            "user_expressions": {},
            "payload": [],
        }

    def _fail(self, entry: Entry, now: datetime) -> list[Message]:
        lost, back = entry.lost or now, entry.back or now
        return self._end(entry, answers.gap(lost, back, started=entry.started), now)

    def _end_each(self, entries: list[Entry], problem: Problem, now: datetime) -> list[Message]:
        return [said for entry in entries for said in self._end(entry, problem, now)]

    def _end(self, entry: Entry, problem: Problem, now: datetime) -> list[Message]:
        self._close(entry)
        if entry.replied:
            return [] if entry.idle else [self._voice.idle(entry.request.header, now=now)]
        return self._voice.failure(entry.request, problem, now=now, idle=not entry.idle)

    def _close(self, entry: Entry) -> None:
        del self._open[entry.request.msg_id]
        self._closed[entry.request.msg_id] = None
        if len(self._closed) > MAX_CLOSED:
            del self._closed[next(iter(self._closed))]

    def _close_if_finished(self, entry: Entry) -> None:
        if entry.finished:
            self._close(entry)


def _bare(request: Message) -> Message:
    """Return a request without its content, of which there may be megabytes."""
    return Message(request.channel, (request.header, {}, {}, {}))
