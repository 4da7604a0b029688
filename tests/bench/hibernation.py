"""``hibernation``: what a user with a gigabyte waits for, beside pickle to the same disk by hand.

By hand is a cell that dumps, and a new kernel whose first cell loads. Both sides have their data on
the disk at the end (fsync), and none of it in the system's cache when they read it.
"""

import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from elastic_jupyter.api.kernel import Phase
from elastic_jupyter.api.names import kernel_object_name
from elastic_jupyter.store.protocol import Key, Put
from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
from tests.bench.figures import quantiles, ratio, summary, verdict
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.machine import NAMESPACE, Machine, a_machine

MAKE = """
import numpy as np, pandas as pd
chance = np.random.default_rng(0)
noise = chance.random(45_000_000)                          # 360 MB that do not compress
whole = chance.integers(0, 100, 30_000_000)                # 240 MB that do
several = [chance.random((500, 500), dtype="f4") for _ in range(100)]  # 100 MB
table = pd.DataFrame({
    "time": pd.date_range("2026", periods=8_000_000, freq="s"),
    "count": chance.poisson(3, 8_000_000),
    "price": chance.random(8_000_000).round(2),
    "kind": pd.Categorical.from_codes(chance.integers(0, 9, 8_000_000), list("abcdefghi")),
    "sum": chance.random(8_000_000).cumsum(),
})                                                         # 264 MB
labels = [f"row {number}" for number in range(100_000)]
"""
NAMES = "noise", "whole", "several", "table", "labels"
CHANGE = "noise[20_000_000:20_450_000] = 0; whole[:300_000] += 1; table.iloc[:80_000, 2] = 0"
DUMP = f"""
import os, pickle
with open({{file!r}}, "wb") as file:
    pickle.dump({{{{name: globals()[name] for name in {NAMES!r}}}}}, file, protocol=5)
    file.flush()
    os.fsync(file.fileno())
"""
LOAD = """
import numpy as np, pandas as pd, pickle
with open({file!r}, "rb") as file:
    globals().update(pickle.load(file))
"""
WITHIN = 120.0
#: Seconds in which a bystander is alone, and so many samples of his at least.
ALONE = 3.0
#: Percent of the processors that may be busy when something is timed.
IDLE = 20.0
#: Seconds to wait for that at most: others may use the machine for as long as this runs.
CALM_WITHIN = 5.0


def hibernation(_: Any, rounds: int) -> dict[str, Any]:
    """Sleep and wake of 1 GB, in ratios to ``pickle`` of protocol 5, and of an empty kernel."""
    big = min(rounds, 5)  # each takes half a minute
    seconds: dict[str, list[float]] = {}
    milliseconds: dict[str, list[float]] = {"alone": [], "beside": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _up(Path(folder)) as machine:
        bystander = machine.server.open()
        bystander.run("1", within=WITHIN)
        for _turn in range(rounds):
            _add(seconds, _empty(machine))
        for _turn in range(big):
            _add(seconds, _a_gigabyte(machine, Path(folder), bystander, milliseconds))
    slowest = {name: _p95(samples) for name, samples in milliseconds.items()}
    report: dict[str, Any] = {
        "what": "a kernel sleeps and wakes (s), 1 GB of numpy and pandas in it, or nothing",
        "against": "a cell that dumps, and a new kernel that loads (pickle, protocol 5)",
        "rounds": {"1 GB": big, "empty": rounds},
    } | {name: summary(samples) for name, samples in seconds.items()}
    for name, ours, theirs, limit, goal in (
        ("sleeping", "sleep", "dump", 1.3, 1.0),
        ("waking", "wake", "start and load", 1.3, 1.0),
        ("sleeping again, 1 % changed", "sleep again", "sleep", 0.2, 0.15),
        ("waking with nothing", "wake with nothing", "start", 1.15, 1.0),
    ):
        compared = ratio(seconds[ours], seconds[theirs])
        report[name] = {"spread": compared} | verdict(
            compared["ratio"], limit=limit, goal=goal, peer=None, unit="ratio of medians"
        )
    report["another user's cell meanwhile"] = {
        "p95 in ms": {name: round(figure, 3) for name, figure in slowest.items()},
        "samples": {name: len(samples) for name, samples in milliseconds.items()},
    } | verdict(
        slowest["beside"] / slowest["alone"], limit=2, goal=1.5, peer=None, unit="ratio of p95"
    )
    return report


@contextlib.contextmanager
def _up(root: Path) -> Iterator[Machine]:
    how = {"idle": 3600, "policy": "hibernate"}
    with a_machine(root, leases=root / "leases", **how) as machine:
        machine.up()
        yield machine


def _add(seconds: dict[str, list[float]], taken: dict[str, float]) -> None:
    for name, sample in taken.items():
        seconds.setdefault(name, []).append(sample)


def _empty(machine: Machine) -> dict[str, float]:
    slept = _new(machine, "1")
    _sleep(machine, slept)
    _gone(machine, slept)
    taken = _timed(
        {
            "start": lambda: _new(machine, "1"),
            "wake with nothing": lambda: _run(slept, "1"),
        }
    )
    slept.shutdown()
    return taken


def _a_gigabyte(
    machine: Machine, root: Path, bystander: Tab, milliseconds: dict[str, list[float]]
) -> dict[str, float]:
    file = str(root / "by hand")
    tab = _new(machine, MAKE)
    taken = {"dump": _seconds(lambda: _run(tab, DUMP.format(file=file)))[0]}
    taken["sleep"] = _seconds(lambda: _sleep(machine, tab))[0]
    _gone(machine, tab)

    def wake() -> None:
        assert tab.run("len(labels)", within=WITHIN).result == "100000"

    def start_and_load() -> Tab:
        return _new(machine, LOAD.format(file=file))

    taken |= _timed({"wake": wake, "start and load": start_and_load}, forget=root)
    _run(tab, CHANGE)
    taken["sleep again"] = _seconds(lambda: _sleep(machine, tab))[0]
    _wake_beside(tab, bystander, milliseconds)
    tab.shutdown()
    return taken


def _wake_beside(tab: Tab, bystander: Tab, milliseconds: dict[str, list[float]]) -> None:
    """Have a bystander run cells without a pause, alone and while a kernel wakes.

    This wake is not timed: where there are two processors he takes one of them.
    """
    alone = time.monotonic() + ALONE
    while time.monotonic() < alone:
        _bystand(bystander, milliseconds["alone"])
    cell = tab.start("len(labels)")
    while not cell.ended:
        _bystand(bystander, milliseconds["beside"])
    assert cell.result == "100000", cell.outputs


def _timed(ways: dict[str, Callable[[], Any]], *, forget: Path | None = None) -> dict[str, float]:
    """Return the seconds of each way, in a random order; of a tab that it opened nothing stays.

    It goes at the end: the next way would share the processors with a kernel that ends.
    """
    taken, opened = {}, []
    for name in random.sample([*ways], len(ways)):
        if forget:
            _forget(forget)
        taken[name], tab = _seconds(ways[name])
        opened += [tab] if isinstance(tab, Tab) else []
    for tab in opened:
        tab.close()
        tab.shutdown()
    return taken


def _new(machine: Machine, code: str) -> Tab:
    tab = machine.server.open()
    _run(tab, code)
    return tab


def _run(tab: Tab, code: str) -> None:
    reply = tab.run(code, within=WITHIN).reply
    assert reply["status"] == "ok", reply


def _bystand(tab: Tab, samples: list[float]) -> None:
    began = time.perf_counter()
    tab.run("1", within=WITHIN)
    samples.append((time.perf_counter() - began) * 1000)
    tab.inbox.clear()


def _sleep(machine: Machine, tab: Tab) -> None:
    """Ask a kernel to sleep, as a release does, and wait until it has."""
    key = Key(NAMESPACE, kernel_object_name(machine.user, tab.kernel_id))
    try:
        asyncio.run(_suspend(machine, key))
    except TimeoutError:
        raise AssertionError(f"it did not sleep: {machine.kernel(tab)}") from None


def _gone(machine: Machine, tab: Tab) -> None:
    """Wait until nothing is left of a kernel's process, which ends on its own time."""
    eventually(lambda: machine.placed([tab]), lambda left: not left, within=15, what="its end")


async def _suspend(machine: Machine, key: Key) -> None:
    objects = open_database(machine.state / "objects.db")
    with contextlib.closing(objects):
        store = SqliteKernelStore(objects)
        await store.wish(key, uid=(await store.get(key)).metadata.uid or "", suspend=True)
        # It is told, as to ask takes processor time from what is timed.
        told = store.watch(NAMESPACE, gateway=None)
        async with asyncio.timeout(WITHIN), contextlib.aclosing(told):
            async for change in told:
                ours = isinstance(change, Put) and change.kernel.metadata.name == key.name
                if ours and change.kernel.status.phase is Phase.HIBERNATED:
                    return


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of some work, and what it returned."""
    os.sync()  # what others left is none of its
    until = time.monotonic() + CALM_WITHIN
    while psutil.cpu_percent(interval=0.3) > IDLE and time.monotonic() < until:
        pass
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _forget(folder: Path) -> None:
    """Have the system forget the files, so that reading them means reading a disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _p95(samples: list[float]) -> float:
    return quantiles(samples, 20)[-1]
