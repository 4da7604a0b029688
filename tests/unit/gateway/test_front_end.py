"""What front ends are told of a kernel's state, and what they may ask of the gateway."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.api.kernel import Phase, Queue, Snapshot
from elastic_jupyter.gateway.facts import Facts
from elastic_jupyter.gateway.front_end import KEEP, RELEASE, Seen, content
from elastic_jupyter.gateway.state import KernelState
from elastic_jupyter.policy import idle, wakes
from tests.support.front_end import FrontEnd, Tab
from tests.support.loopback import Loopback, only_key
from tests.unit.gateway.test_gateway import until
from tests.unit.gateway.test_hibernation import NEVER, SOON, asleep, phase, spec

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IN_5 = idle.Verdict(idle.Action.KEEP, "RecentlyUsed", NOW + timedelta(minutes=5))
BUSY = idle.Verdict(idle.Action.KEEP, "Busy", None)
UNCULLED = idle.Verdict(idle.Action.KEEP, idle.CULLING_DISABLED, None)
FACTS = Facts("uid", 2, Phase.RUNNING, "10.0.0.1", "", "", "", None)
SAVED = replace(FACTS, phase=None, snapshot=Snapshot(epoch=1, id="1-ab"))
QUEUED = replace(SAVED, phase=Phase.QUEUED, place=Queue(position=2, length=3))
LOST = [{"name": "f", "type": "lock", "reason": "a lock"}]
KEYS = {
    *("phase", "text", "queue", "reclaim_at", "keep_until", "hibernates"),
    *("restored", "lost", "lost_count", "can"),
}


def seen(state: KernelState = KernelState.RUNNING, **more: Any) -> Seen:
    return Seen(
        **{
            "state": state,
            "saves": False,
            "waiting": "Waiting.",
            "reason": "",
            "facts": FACTS,
            "verdict": IN_5,
            "hibernates": True,
            **more,
        }
    )


WOKE = seen(wake=wakes.wake(2, ["a", "b"], LOST))
SUSPENDED = replace(FACTS, suspend=True)


@pytest.mark.parametrize(
    ("kernel", "want"),
    [
        pytest.param(
            seen(),
            {
                "phase": "Running",
                "text": "",
                "queue": None,
                "reclaim_at": "2026-01-01T12:05:00.000+00:00",
                "can": ["keep", "release"],
                "hibernates": True,
                "lost": [],
            },
            id="idle",
        ),
        pytest.param(seen(verdict=BUSY), {"reclaim_at": None, "can": ["keep", "release"]}, id="b"),
        pytest.param(seen(verdict=UNCULLED), {"can": ["release"]}, id="never reclaimed"),
        pytest.param(
            seen(facts=replace(FACTS, keep_until=NOW)),
            {"keep_until": "2026-01-01T12:00:00.000+00:00"},
            id="kept",
        ),
        pytest.param(seen(facts=SUSPENDED), {"can": []}, id="goes when its cell ends"),
        pytest.param(
            seen(saves=True),
            {"phase": "Hibernating", "can": [], "reclaim_at": None},
            id="is saved",
        ),
        pytest.param(
            seen(facts=replace(FACTS, disturbance="the node drains")),
            {"phase": "Running", "text": "The kernel may end soon: the node drains"},
            id="disturbed",
        ),
        pytest.param(
            seen(KernelState.STARTING, facts=None),
            {"phase": "Pending", "text": "Waiting.", "can": [], "reclaim_at": None},
            id="not taken yet",
        ),
        pytest.param(
            seen(KernelState.STARTING, facts=QUEUED),
            {
                "phase": "Queued",
                "text": "Waiting.",
                "queue": {"position": 2, "length": 3, "place": "2nd of 3"},
                "can": ["release"],
            },
            id="waits",
        ),
        pytest.param(seen(KernelState.STARTING, facts=SAVED), {"phase": "Waking"}, id="wakes"),
        pytest.param(
            seen(KernelState.ASLEEP, facts=replace(SAVED, phase=Phase.HIBERNATED)),
            {
                "phase": "Hibernated",
                "text": "its variables are saved, and come back with the next execution",
                "reclaim_at": None,
                "can": [],
            },
            id="asleep",
        ),
        pytest.param(
            seen(KernelState.ASLEEP, facts=replace(FACTS, phase=Phase.DORMANT)),
            {"phase": "Dormant", "text": "it starts with the first execution"},
            id="never ran",
        ),
        pytest.param(
            seen(KernelState.RECLAIMED, hibernates=False, reason="it was released by request"),
            {"phase": "Reclaimed", "text": "it was released by request", "hibernates": False},
            id="reclaimed",
        ),
        pytest.param(
            seen(KernelState.FAILED, reason="OOMKilled"),
            {"phase": "Failed", "text": "OOMKilled", "can": []},
            id="failed",
        ),
        pytest.param(WOKE, {"restored": ["a", "b"], "lost": LOST, "lost_count": 1}, id="woke"),
        pytest.param(
            replace(WOKE, state=KernelState.ASLEEP),
            {"restored": [], "lost": []},
            id="woke, sleeps again",
        ),
    ],
)
def test_the_state_of_a_kernel_in_a_message(kernel: Seen, want: dict[str, Any]) -> None:
    told = content(kernel)
    assert {key: told[key] for key in want} == want
    assert told.keys() == KEYS


def test_what_came_back_is_bounded_and_still_counted() -> None:
    lost = [{"name": f"n{i}" * 500, "type": "t" * 500, "reason": "r" * 5000} for i in range(300)]
    wake = wakes.wake(1, [f"n{i}" for i in range(300)], lost)
    assert len(str(wake.to_dict())) < 50_000
    assert (wake.restored_count, wake.lost_count) == (300, 300)
    assert wakes.back(wake).endswith("n11 and 288 more")
    assert wakes.gone(wake).endswith("and 288 more")


async def ask(tab: Tab, msg_type: str, **said: Any) -> dict[str, Any]:
    """Send a request on the control channel and return the content of its one reply."""
    cell = await tab.send(msg_type, said, channel="control")
    await tab.until(lambda: cell.idle)
    [reply] = [one for one in cell.messages if one["channel"] == "control"]
    assert reply["msg_type"] == msg_type.replace("_request", "_reply")
    content: dict[str, Any] = reply["content"]
    return content


async def tells(tab: Tab, phase: str, **more: Any) -> dict[str, Any]:
    """Wait until the last that a tab was told is this."""
    want = {"phase": phase, **more}
    await tab.until(lambda: bool(tab.told) and tab.told[-1].items() >= want.items())
    return tab.told[-1]


def wake(world: Loopback) -> dict[str, Any]:
    """Return what the object says of the wake of its present incarnation."""
    status = world.store.objects[only_key(world)]["status"]
    said: dict[str, Any] = status["activity"].get("wake") or {}
    return said if said.get("epoch") == status["epoch"] else {}


async def test_a_tab_is_told_at_once_and_at_each_change_once(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**SOON))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.read()
    assert [told["phase"] for told in tab.told] == ["Pending"]
    await tab.run("kept = 1\ngone = (n for n in range(3))\nnext(gone)")
    await tells(tab, "Hibernated", can=[])
    late = await front_end.open(kernel_id, session="tab-2")
    await tells(late, "Hibernated")
    late.told.clear()
    await late.send("kernel_info_request", {})
    await tells(late, "Hibernated")
    await tab.execute("kept")
    told = await tells(tab, "Running", lost_count=1)
    assert told["restored"] == ["kept"]
    assert [one["name"] for one in told["lost"]] == ["gone"]
    await tells(late, "Running")
    assert all(one != two for one, two in zip(tab.told, tab.told[1:], strict=False)), tab.told


async def test_what_did_not_come_back_is_in_the_object_and_known_to_the_next_gateway(
    world: Loopback,
) -> None:
    first = await world.gateway(**NEVER)
    front_end = FrontEnd(first)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("kept = 1\ngone = (n for n in range(3))\nnext(gone)")
    assert (await ask(tab, RELEASE)) == {"status": "ok", "busy": False}
    await asleep(world)
    await tab.run("kept")
    await until(lambda: wake(world))
    assert (wake(world)["restored"], wake(world)["lostCount"]) == (["kept"], 1)
    await world.end(first)
    tab = await FrontEnd(await world.gateway(**NEVER)).open(kernel_id)
    assert (await tells(tab, "Running", lost_count=1))["lost"][0]["name"] == "gone"


async def test_a_kernel_is_kept_and_then_released_by_its_tab(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway(**NEVER)
    front_end = FrontEnd(gateway)
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    [kernel] = gateway.kernels.kernels.values()
    # What was told before may be of the time before the cell.
    await until(lambda: kernel.verdict(datetime.now(UTC)).reclaim_at)
    reclaim_at = kernel.verdict(datetime.now(UTC)).reclaim_at
    assert reclaim_at is not None
    before = reclaim_at.astimezone(UTC).isoformat(timespec="milliseconds")
    await tells(tab, "Running", reclaim_at=before)
    said = await ask(tab, KEEP, seconds=1800)
    later = datetime.fromisoformat(said["reclaim_at"]) - datetime.fromisoformat(before)
    assert (said["status"], later) == ("ok", timedelta(minutes=30))
    assert spec(world)["keepUntil"]
    await tells(tab, "Running", reclaim_at=said["reclaim_at"])
    gate = tmp_path / "gate"
    busy = await tab.execute(
        "import os, time\nprint('on', flush=True)\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    )
    await tab.until(lambda: busy.text() == "on\n")
    assert await ask(tab, RELEASE) == {"status": "ok", "busy": True}
    await tab.until(lambda: tab.states[-1] == "busy")
    assert not busy.done, "or the end of a request would look like that of the cell"
    gate.touch()
    await tells(tab, "Hibernated")
    assert busy.done


async def test_a_request_that_makes_no_sense_is_answered_with_why(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER))
    tab = await front_end.open(await front_end.start())
    await tells(tab, "Running")
    for said, words in (
        ({}, "seconds: None is not a number above 0"),
        ({"seconds": -5}, "seconds: -5 is not"),
        ({"seconds": True}, "seconds: True is not"),
        ({"seconds": "1800"}, "seconds: '1800' is not"),
        ({"seconds": float("nan")}, "seconds: nan is not"),
        ({"seconds": 1e300}, "longer than any calendar"),
    ):
        reply = await ask(tab, KEEP, **said)
        assert (reply["status"], words in reply["evalue"]) == ("error", True), reply
    assert "keepUntil" not in spec(world)


async def test_there_is_nothing_to_keep_or_to_release_of_what_sleeps(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(**NEVER, lazy=True))
    tab = await front_end.open(await front_end.start())
    await tells(tab, "Dormant")
    for msg_type, what in ((KEEP, "keep"), (RELEASE, "release")):
        reply = await ask(tab, msg_type, seconds=60)
        assert reply["status"] == "error"
        assert reply["evalue"] == (
            f"there is nothing to {what}: the kernel is Dormant, and its notebook's next cell "
            "wakes it"
        )
    assert phase(world) == "Dormant"
