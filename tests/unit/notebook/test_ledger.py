"""What each request is owed, by tables and by random gaps in front of a simulated kernel."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastic_jupyter.notebook.answers import OURS, PROBE, Problem, Voice
from elastic_jupyter.notebook.frames import Message
from elastic_jupyter.notebook.ledger import HANDED_BACK, HELD, Lane, Ledger

START = datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
MAIN = Lane("shell", None)
ERROR = {"ename": "ValueError", "evalue": "wrong", "traceback": ["one line"]}


def ask(
    msg_type: str = "execute_request",
    msg_id: str = "r",
    *,
    channel: str = "shell",
    content: dict[str, Any] | None = None,
    **header: str,
) -> Message:
    """A request of the browser."""
    header = {"msg_id": msg_id, "msg_type": msg_type, "session": "browser", **header}
    return Message(channel, (header, {}, {}, content or {}))


def from_kernel(
    channel: str, msg_type: str, content: dict[str, Any], *, to: Message, msg_id: str = "k"
) -> Message:
    """A message of the kernel."""
    header = {"msg_id": msg_id, "msg_type": msg_type, "session": "kernel", "username": "u"}
    return Message(channel, (header, to.header, {}, content))


class Tab:
    """A ledger with a clock that the test moves; messages are (channel, type, content)."""

    def __init__(self) -> None:
        self.now = START
        self.ledger = Ledger(Voice(), session="browser")
        self.probes: list[Message] = []

    def sent(self, *requests: Message) -> "Tab":
        for request in requests:
            self.ledger.sent(request)
        return self

    def state(self, state: str, *, to: Message) -> list[str]:
        return self.gets("iopub", "status", {"execution_state": state}, to=to)

    def started(self, request: Message, *, count: int = 3) -> "Tab":
        self.state("busy", to=request)
        self.gets("iopub", "execute_input", {"execution_count": count}, to=request)
        return self

    def gets(
        self, channel: str, msg_type: str, content: dict[str, Any], *, to: Message
    ) -> list[str]:
        """The kernel says something; return the types of what reaches the browser."""
        message = from_kernel(channel, msg_type, content, to=to)
        verdict = self.ledger.received(message, now=self.now)
        return [*(m.msg_type for m in verdict.before), *([msg_type] if verdict.forward else [])]

    def gap(self, *, covered: bool, seconds: float = 5) -> "Tab":
        self.ledger.lost(now=self.now)
        self.now += timedelta(seconds=seconds)
        self.probes = self.ledger.returned(covered=covered, now=self.now)
        return self

    def probe_answered(self) -> Lane | None:
        reply = from_kernel("shell", "kernel_info_reply", {"status": "ok"}, to=self.probes[0])
        verdict = self.ledger.received(reply, now=self.now)
        assert not verdict.forward
        return verdict.answered

    def settled(self, *, final: bool, lane: Lane = MAIN) -> list[tuple[str, str, dict[str, Any]]]:
        settlement = self.ledger.settle(lane, final=final, now=self.now)
        return [(m.channel, m.msg_type, m.content) for m in settlement.to_browser]


@pytest.fixture
def tab() -> Tab:
    return Tab()


def types(messages: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(channel, msg_type) for channel, msg_type, _ in messages]


IDLE = ("iopub", "status", {"execution_state": "idle"})
OK = {"status": "ok", "execution_count": 3, "user_expressions": {}, "payload": []}


def test_a_cell_that_a_gateway_held_is_sent_again_where_nothing_ran_since(tab: Tab) -> None:
    waits, ran = ask(msg_id="waits", content={"code": "1"}), ask(msg_id="ran")
    tab.sent(ran, waits, ask("complete_request", "question")).started(ran)
    assert tab.gets("iopub", HELD, {"variables": "1-a"}, to=waits) == []
    tab.ledger.lost(now=tab.now)
    [again] = tab.ledger.to_send_again(not_run_since="1-a")
    assert (again.msg_id, again.content) == ("waits", {"code": "1"})
    tab.probes = tab.ledger.returned(covered=False, now=tab.now)
    tab.probe_answered()
    ended = tab.ledger.settle(MAIN, final=True, now=tab.now)
    assert {message.parent_id for message in ended.to_browser} == {"ran"}
    assert [message.msg_id for message in ended.to_kernel] == ["question"]
    tab.started(waits).state("idle", to=waits)
    assert tab.gets("shell", "execute_reply", OK, to=waits) == ["execute_reply"]
    assert len(tab.ledger) == 1, "the question was asked again"


def test_what_a_gateway_hands_back_as_it_ends_is_sent_again(tab: Tab) -> None:
    waits, ran = ask(msg_id="waits", content={"code": "1"}), ask(msg_id="ran")
    tab.sent(ran, waits)
    for request in (ran, waits):
        busy = {"execution_state": "busy"}
        said = from_kernel("iopub", "status", busy, to=request, msg_id=f"{OURS}{request.msg_id}")
        assert tab.ledger.received(said, now=tab.now).forward
    assert tab.gets("iopub", HANDED_BACK, {}, to=waits) == []
    tab.ledger.lost(now=tab.now)
    [again] = tab.ledger.to_send_again(not_run_since=None)
    assert (again.msg_id, again.content) == ("waits", {"code": "1"})
    tab.ledger.lost(now=tab.now)  # a gateway later
    assert tab.ledger.to_send_again(not_run_since=None) == [], "it may have run in that one"


@pytest.mark.parametrize("not_run_since", [None, "3-b"])
def test_what_may_have_run_before_its_kernel_slept_again_is_not_sent_again(
    tab: Tab, not_run_since: str | None
) -> None:
    waits, unheard = ask(msg_id="waits"), ask(msg_id="unheard")
    tab.sent(waits, unheard).gets("iopub", HELD, {"variables": "1-a"}, to=waits)
    tab.ledger.lost(now=tab.now)
    assert tab.ledger.to_send_again(not_run_since=not_run_since) == []


def test_what_is_interrupted_is_not_sent_again(tab: Tab) -> None:
    back, held, ran = ask(msg_id="back"), ask(msg_id="held"), ask(msg_id="ran")
    tab.sent(ran, held, back).started(ran)
    tab.gets("iopub", HELD, {"variables": "1-a"}, to=held)
    tab.gets("iopub", HANDED_BACK, {}, to=back)
    tab.ledger.interrupted()  # the loss may be seen later
    tab.ledger.lost(now=tab.now)
    assert tab.ledger.to_send_again(not_run_since="1-a") == []
    ended = tab.ledger.abandon_handed_back(Problem("KeyboardInterrupt", ""), now=tab.now)
    assert {message.parent_id for message in ended} == {"back"}
    assert len(tab.ledger) == 2, "whether they have run is not known"


def test_what_is_handed_back_ends_with_a_notebook_server_that_ends(tab: Tab) -> None:
    waits, ran = ask(msg_id="waits"), ask(msg_id="ran")
    tab.sent(ran, waits)
    tab.gets("iopub", HANDED_BACK, {}, to=waits)
    tab.ledger.lost(now=tab.now)
    ended = tab.ledger.abandon_handed_back(Problem("Ending", "run it again"), now=tab.now)
    assert {message.parent_id for message in ended} == {"waits"}
    assert "error" in {message.msg_type for message in ended}
    assert len(tab.ledger) == 1


# -- rebuilt replies


def test_a_cell_that_ended_before_the_loss_gets_its_reply_without_a_word(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).state("idle", to=ask())
    tab.gap(covered=False).probe_answered()
    assert tab.settled(final=False) == [("shell", "execute_reply", OK)]
    assert len(tab.ledger) == 0


def test_a_cell_whose_end_is_replayed_gets_its_reply(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=True)
    assert tab.state("idle", to=ask()) == ["status"]
    assert tab.settled(final=False) == [("shell", "execute_reply", OK)]


def test_a_cell_that_failed_gets_an_error_reply_with_its_own_error(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gets("iopub", "error", ERROR, to=ask())
    tab.gap(covered=False)
    want = {"status": "error", **ERROR, "execution_count": 3, "user_expressions": {}, "payload": []}
    assert tab.settled(final=False) == []
    assert tab.settled(final=True) == [("shell", "execute_reply", want), IDLE]


def test_a_cell_that_the_kernel_skipped_gets_an_aborted_reply(tab: Tab) -> None:
    tab.sent(ask()).gap(covered=True)
    tab.state("busy", to=ask())
    tab.state("idle", to=ask())
    assert tab.settled(final=False) == [("shell", "execute_reply", {"status": "aborted"})]


def test_a_silent_execution_is_not_taken_for_a_skipped_one(tab: Tab) -> None:
    request = ask(content={"silent": True})
    tab.sent(request).gap(covered=True)
    tab.state("busy", to=request)
    tab.state("idle", to=request)
    ((_, _, reply),) = tab.settled(final=False)
    assert reply["status"] == "ok"


# -- stated errors


def test_what_is_not_known_ends_with_an_error_that_names_the_gap(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=False).probe_answered()
    assert tab.settled(final=False) == []
    error, reply, idle = tab.settled(final=True)
    assert types([error, reply]) == [("iopub", "error"), ("shell", "execute_reply")]
    assert idle == IDLE
    assert reply[2]["status"] == "error"
    assert reply[2]["ename"] == error[2]["ename"] == "GatewayConnectionLost"
    assert reply[2]["evalue"] == (
        "the connection to the gateway was lost from 12:00:01 to 12:00:06 UTC; the kernel and its "
        "variables are kept, the cell has finished, but its reply and output of that time may be "
        "lost"
    )


def test_an_end_that_arrives_after_an_uncovered_gap_does_not_make_a_cell_good(tab: Tab) -> None:
    """Its error may have been among what was lost."""
    tab.sent(ask()).started(ask()).gap(covered=False)
    tab.state("idle", to=ask())
    assert tab.settled(final=False) == []
    assert types(tab.settled(final=True)) == [("iopub", "error"), ("shell", "execute_reply")]


def test_a_cell_of_which_nothing_was_seen_may_not_have_run(tab: Tab) -> None:
    tab.sent(ask()).gap(covered=False)
    reply = tab.settled(final=True)[1]
    assert "it may not have run" in reply[2]["evalue"]


def test_two_gaps_are_named_from_the_first_loss_to_the_last_return(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=False).gap(covered=False, seconds=60)
    assert "from 12:00:01 to 12:01:06 UTC" in tab.settled(final=True)[1][2]["evalue"]


def test_another_request_gets_an_error_reply_of_its_type(tab: Tab) -> None:
    request = ask("debug_request", channel="control")
    tab.sent(request).gap(covered=False)
    assert [(p.channel, p.msg_type) for p in tab.probes] == [("control", "kernel_info_request")]
    (reply, idle) = tab.settled(final=True, lane=Lane("control", None))
    assert (reply[:2], idle) == (("control", "debug_reply"), IDLE)
    assert reply[2]["ename"] == "GatewayConnectionLost"


@pytest.mark.parametrize("msg_type", ["comm_open", "comm_msg", "comm_close"])
def test_a_message_without_reply_is_owed_its_idle(tab: Tab, msg_type: str) -> None:
    tab.sent(ask(msg_type)).gap(covered=False)
    assert tab.settled(final=True) == [IDLE]


def test_a_cell_that_has_its_reply_is_owed_its_idle(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gets("shell", "execute_reply", OK, to=ask())
    tab.gap(covered=False)
    assert tab.settled(final=False) == []
    assert tab.settled(final=True) == [IDLE]


def test_a_question_is_asked_again(tab: Tab) -> None:
    request = ask("inspect_request", content={"code": "x"})
    tab.sent(request).gap(covered=False)
    settlement = tab.ledger.settle(MAIN, final=True, now=tab.now)
    assert settlement.to_browser == ()
    ((again),) = settlement.to_kernel
    assert (again.header, again.content) == (request.header, {"code": "x"})
    assert tab.gets("shell", "inspect_reply", {"status": "ok"}, to=request) == ["inspect_reply"]
    assert tab.gets("shell", "inspect_reply", {"status": "ok"}, to=request) == []


def test_abandoned_requests_all_end(tab: Tab) -> None:
    tab.sent(ask(), ask("complete_request", "c"), ask("comm_msg", "m"))
    said = tab.ledger.abandon(Problem("KernelGone", "why"), now=tab.now)
    assert [(m.msg_type, m.parent_id) for m in said] == [
        ("error", "r"),
        ("execute_reply", "r"),
        ("status", "r"),
        ("complete_reply", "c"),
        ("status", "c"),
        ("status", "m"),
    ]
    assert len(tab.ledger) == 0


# -- replies that come twice, probes


def test_a_reply_that_comes_after_the_rebuilt_one_is_dropped(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=False)
    tab.settled(final=True)
    assert tab.gets("shell", "execute_reply", OK, to=ask()) == []
    # Its output is still welcome.
    assert tab.gets("iopub", "stream", {"name": "stdout", "text": "x"}, to=ask()) == ["stream"]


def test_nothing_of_a_probe_is_shown_not_even_of_another_tabs(tab: Tab) -> None:
    tab.sent(ask()).gap(covered=False)
    (probe,) = tab.probes
    assert probe.msg_id.startswith(PROBE)
    assert tab.state("busy", to=probe) == []
    assert tab.probe_answered() == MAIN
    assert tab.state("idle", to=probe) == []
    assert tab.probe_answered() is None
    assert tab.state("idle", to=ask(msg_id=f"{PROBE}of-another-tab")) == []


def test_each_queue_of_the_kernel_gets_one_probe(tab: Tab) -> None:
    tab.sent(
        ask(msg_id="1"),
        ask(msg_id="2"),
        ask(msg_id="3", subshell_id="s"),
        ask("debug_request", "4", channel="control"),
    )
    tab.gap(covered=False)
    assert [(p.channel, p.header.get("subshell_id")) for p in tab.probes] == [
        ("shell", None),
        ("shell", "s"),
        ("control", None),
    ]


def test_nothing_in_flight_needs_no_probe(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).state("idle", to=ask())
    tab.gets("shell", "execute_reply", OK, to=ask())
    tab.gap(covered=False)
    assert tab.probes == []


def test_a_request_sent_after_the_return_is_not_settled(tab: Tab) -> None:
    tab.sent(ask(msg_id="before")).gap(covered=False).sent(ask(msg_id="after"))
    tab.settled(final=True)
    assert len(tab.ledger) == 1


def test_an_answer_to_input_is_no_request(tab: Tab) -> None:
    tab.sent(ask("input_reply", channel="stdin"))
    assert len(tab.ledger) == 0


# -- the line about lost output


def test_a_cell_that_goes_on_after_an_uncovered_gap_says_so_once(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=False)
    output = {"name": "stdout", "text": "x"}
    assert tab.gets("iopub", "stream", output, to=ask()) == ["stream", "stream"]
    assert tab.gets("iopub", "stream", output, to=ask()) == ["stream"]


def test_a_quiet_cell_that_goes_on_says_so_too(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=False)
    (line,) = tab.ledger.still_running(now=tab.now)
    assert (line.channel, line.parent, line.header["session"]) == (
        "iopub",
        ask().header,
        "kernel",
    )
    assert line.content == {
        "name": "stderr",
        "text": "[elastic-jupyter] The connection to the gateway was lost for 5 s; "
        "output of that time may be missing.\n",
    }
    assert tab.ledger.still_running(now=tab.now) == []


def test_a_cell_that_began_after_the_gap_has_lost_nothing(tab: Tab) -> None:
    tab.sent(ask()).gap(covered=False)
    assert tab.ledger.still_running(now=tab.now) == []
    assert tab.state("busy", to=ask()) == ["status"]
    tab.gets("iopub", "execute_input", {"execution_count": 3}, to=ask())
    assert tab.state("idle", to=ask()) == ["status"]
    assert tab.settled(final=False) == [("shell", "execute_reply", OK)]


def test_a_covered_gap_is_not_mentioned(tab: Tab) -> None:
    tab.sent(ask()).started(ask()).gap(covered=True)
    assert tab.ledger.still_running(now=tab.now) == []
    assert tab.gets("iopub", "stream", {"name": "stdout", "text": "x"}, to=ask()) == ["stream"]


# -- the place in the kernel's output


def test_the_last_message_is_the_kernels_not_the_gateways(tab: Tab) -> None:
    for msg_id in ("1", "2", f"{OURS}notice"):
        message = from_kernel("iopub", "stream", {}, to=ask(), msg_id=msg_id)
        tab.ledger.received(message, now=tab.now)
    tab.gets("shell", "execute_reply", OK, to=ask())
    assert tab.ledger.last_msg_id == "2"


# -- bounds


def test_forgotten_idles_do_not_fill_the_memory(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elastic_jupyter.notebook.ledger.MAX_OPEN", 5)
    tab.sent(*(ask(msg_id=str(n)) for n in range(20)))
    assert len(tab.ledger) == 5


# -- any order of requests and gaps


@dataclass
class World:
    """A kernel that does its requests in order, a gateway that comes and goes, a browser."""

    covers: bool
    connected: bool = True
    queue: deque[Message] = field(default_factory=deque)
    doing: deque[Message] = field(default_factory=deque)
    kept: list[Message] = field(default_factory=list)
    shown: list[Message] = field(default_factory=list)
    due: list[Lane] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    ran: dict[str, int] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=lambda: Ledger(Voice(), session="browser"))
    numbers: int = 0

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def send(self, kind: str) -> None:
        """The browser asks; ``lost`` gets no further than the gateway's websocket."""
        if not self.connected:
            return  # held, so not the ledger's
        msg_type = "inspect_request" if kind == "question" else "execute_request"
        request = ask(msg_type, f"r{self.number()}")
        self.kinds[request.msg_id] = kind
        self.ledger.sent(request)
        if kind != "lost":
            self.queue.append(request)

    def work(self) -> None:
        """The kernel says its next message."""
        if not self.doing and self.queue:
            request = self.queue.popleft()
            self.ran[request.msg_id] = self.ran.get(request.msg_id, 0) + 1
            self.doing.extend(self._messages(request))
        if self.doing:
            self._publish(self.doing.popleft())

    def lose(self) -> None:
        if self.connected:
            self.connected = False
            self.due.clear()
            self.ledger.lost(now=START)

    def come_back(self) -> None:
        if self.connected:
            return
        self.connected = True
        self.queue.extend(self.ledger.returned(covered=self.covers, now=START))
        kept, self.kept = self.kept, []
        for message in kept:
            self._deliver(message)

    def wait(self) -> None:
        """The time of grace passes."""
        due, self.due = self.due, []
        for lane in due:
            self._settle(lane, final=True)

    def finish(self) -> None:
        """What was lost on the way shows with the end of its websocket; then all goes on."""
        self.lose()
        self.come_back()
        while self.queue or self.doing or self.due:
            while self.queue or self.doing:
                self.work()
            self.wait()

    def _messages(self, request: Message) -> list[Message]:
        def say(channel: str, msg_type: str, content: dict[str, Any]) -> Message:
            msg_id = f"k{self.number()}"
            return from_kernel(channel, msg_type, content, to=request, msg_id=msg_id)

        busy = say("iopub", "status", {"execution_state": "busy"})
        idle = say("iopub", "status", {"execution_state": "idle"})
        if request.msg_type != "execute_request":
            reply = request.msg_type.replace("request", "reply")
            return [busy, say("shell", reply, {"status": "ok"}), idle]
        begun = [busy, say("iopub", "execute_input", {"execution_count": 1})]
        if self.kinds[request.msg_id] == "bad":
            failed = {"status": "error", **ERROR}
            return [
                *begun,
                say("iopub", "error", ERROR),
                say("shell", "execute_reply", failed),
                idle,
            ]
        return [*begun, say("shell", "execute_reply", {"status": "ok"}), idle]

    def _publish(self, message: Message) -> None:
        if self.connected:
            self._deliver(message)
        elif self.covers and message.channel == "iopub":
            self.kept.append(message)

    def _deliver(self, message: Message) -> None:
        verdict = self.ledger.received(message, now=START)
        self.shown += verdict.before
        if verdict.forward:
            self.shown.append(message)
        if verdict.answered is not None:
            self._settle(verdict.answered, final=False)
            self.due.append(verdict.answered)

    def _settle(self, lane: Lane, *, final: bool) -> None:
        settlement = self.ledger.settle(lane, final=final, now=START)
        self.shown += settlement.to_browser
        self.queue.extend(settlement.to_kernel)


ASKING = st.sampled_from(["good", "bad", "question", "lost"]).map(lambda kind: ("send", kind))
HAPPENING = st.sampled_from(["work", "work", "work", "lose", "come_back", "wait"])
STEPS = st.lists(ASKING | HAPPENING.map(lambda name: (name,)), max_size=60)


@settings(max_examples=300)
@given(covers=st.booleans(), steps=STEPS)
def test_every_request_ends_once_and_truly_whatever_the_gateway_does(
    covers: bool, steps: list[tuple[str, ...]]
) -> None:
    world = World(covers=covers)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.finish()

    assert len(world.ledger) == 0
    assert not any(message.parent_id.startswith(PROBE) for message in world.shown)
    for request, kind in world.kinds.items():
        mine = [message for message in world.shown if message.parent_id == request]
        replies = [m.content for m in mine if m.msg_type.endswith("_reply")]
        idles = [m for m in mine if m.content.get("execution_state") == "idle"]
        (reply,) = replies
        if kind == "question":
            assert idles  # two when it was asked again
            assert reply["status"] == "ok"
            continue
        assert len(idles) == 1
        assert world.ran.get(request, 0) == (kind != "lost"), "an execution is never repeated"
        if reply["status"] == "ok":
            assert kind == "good"
        elif reply["ename"] == ERROR["ename"]:
            assert kind == "bad"
        else:
            assert reply["ename"] == "GatewayConnectionLost"
            assert not covers or kind == "lost"
