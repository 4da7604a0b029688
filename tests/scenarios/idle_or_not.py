"""Kernels that run nothing and are not simply reclaimed, and what their users are told."""

import uuid
from datetime import datetime, timedelta

from tests.scenarios.gpu_queue import phase
from tests.scenarios.hibernation import AWAKE_WITHIN, asleep
from tests.scenarios.world import Object, World
from tests.scenarios.world import Tab as AnyTab
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab

#: A thread, a task and a process that end when there is a file.
LEAVES = """
import asyncio, os, subprocess, threading, time
file = {file!r}
def work():
    while not os.path.exists(file): time.sleep(0.1)
async def wait():
    while not os.path.exists(file): await asyncio.sleep(0.1)
threading.Thread(target=work, name="worker", daemon=True).start()
task = asyncio.get_running_loop().create_task(wait(), name="waiter")
child = subprocess.Popen(["sh", "-c", f"while ! test -e {{file}}; do sleep 0.1; done; : child"])
kept = 41
"""


def activity(world: World, tab: AnyTab) -> Object:
    """What the gateway says of a kernel."""
    found: Object = ((world.kernel(tab) or {}).get("status") or {}).get("activity") or {}
    return found


def condition(world: World, tab: AnyTab, kind: str) -> Object:
    """Return a condition of a kernel; empty: it is not said."""
    said = ((world.kernel(tab) or {}).get("status") or {}).get("conditions") or []
    return next((one for one in said if one["type"] == kind), {})


def kept_beyond(world: World, said: Object) -> bool:
    """Whether a kernel's idle time began anew after it was over."""
    if "reclaimAt" not in said:
        return False
    last, at = map(datetime.fromisoformat, (said["lastActivity"], said["reclaimAt"]))
    return at - last > timedelta(seconds=2 * world.idle)


class IdleOrNot:
    """On an engine whose kernels sleep after seconds."""

    def test_what_a_cell_left_running_keeps_its_kernel(self, sleepy: World) -> None:
        file = f"/tmp/{uuid.uuid4().hex}"
        with sleepy.server.notebook() as tab:
            assert tab.run(LEAVES.format(file=file), within=60).reply["status"] == "ok"
            said = eventually(
                lambda: activity(sleepy, tab),
                lambda said: bool(said.get("leftRunning")) and kept_beyond(sleepy, said),
                within=3 * (sleepy.idle + sleepy.slack),
                what="kept at its deadline",
            )
            named = " ".join(said["leftRunning"])
            assert all(word in named for word in ("'worker'", "waiter", "sh (")), named
            assert phase(sleepy, tab) == "Running"
            sleepy.touch(tab, file)
            asleep(sleepy, tab, within=2 * sleepy.idle + sleepy.slack + 10)
            cell = tab.run("kept + 1", within=AWAKE_WITHIN)
            assert cell.result == "42"
            assert "Still running" not in cell.text

    def test_a_kernel_is_warned_before_it_sleeps(self, sleepy: World) -> None:
        with sleepy.server.notebook() as tab:
            tab.run("1", within=60)
            soon = eventually(
                lambda: condition(sleepy, tab, "ReclaimSoon"),
                bool,
                within=sleepy.idle + sleepy.slack,
                what="the warning",
            )
            assert soon["status"] == "True"
            assert f"elastic-jupyter extend {tab.kernel_id} 1h" in soon["message"]
            asleep(sleepy, tab)
            assert condition(sleepy, tab, "ReclaimSoon") == {}


def stays(world: World, tab: Tab, *, reason: str) -> None:
    """The kernel of a tab cannot be saved and is kept; one that can goes to sleep meanwhile."""
    said = eventually(
        lambda: condition(world, tab, "Savable"), bool, within=30, what="that it cannot be saved"
    )
    assert (said["status"], said["reason"]) == ("False", "KeepInstead")
    assert reason in said["message"]
    with world.server.notebook() as other:
        other.run("1", within=60)
        asleep(world, other)
    assert phase(world, tab) == "Running"
    assert "reclaimAt" not in activity(world, tab)


def goes(world: World, tab: Tab, *, reason: str) -> Object:
    """The kernel of a tab cannot be saved and is deleted; return what was said of it before."""
    seen = eventually(
        lambda: condition(world, tab, "Savable"), bool, within=30, what="that it cannot be saved"
    )
    assert (seen["status"], seen["reason"]) == ("False", "DeleteInstead")
    assert reason in seen["message"]
    phases = set()
    eventually(
        lambda: phases.add(phase(world, tab)) or world.left_of(tab),
        lambda left: not left,
        within=world.idle + world.slack + 10,
        what="nothing left of it",
    )
    assert phases <= {"Running", None}, "it was said to sleep"
    return seen
