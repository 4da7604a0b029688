"""``snapshot``: a gigabyte of numpy and pandas saved and restored, beside pickle to the same disk.

Each side runs in a process of its own, as a kernel does: ``python -m tests.bench.snapshot FOLDER``
saves by both ways and restores by both, in a random order, and prints the seconds.
"""

import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import ratio, summary, verdict
from tests.bench.machine import Machine

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


def snapshot(_: Machine, rounds: int) -> dict[str, Any]:
    """Save and restore of 1 GB, in ratios to ``pickle`` of protocol 5 to the same disk."""
    rounds = max(2, min(rounds, 5))  # each takes half a minute
    seconds: dict[str, list[float]] = {}
    for _turn in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            printed = subprocess.run(
                [sys.executable, "-m", "tests.bench.snapshot", folder],
                check=True,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([".", "agent/src"])},
            ).stdout
        for name, taken in json.loads(printed).items():
            seconds.setdefault(name, []).append(taken)
    report: dict[str, Any] = {
        "what": "1 GB of numpy and pandas to a disk and back (s)",
        "against": "pickle.dump and pickle.load, protocol 5",
        "rounds": rounds,
    } | {name: summary(samples) for name, samples in seconds.items()}
    for name, ours, theirs, limit, goal in (
        ("saving", "save", "dump", 1.3, 1.0),
        ("restoring", "restore", "load", 1.3, 1.0),
        ("saving again, 1 % changed", "again", "save", 0.2, 0.15),
    ):
        compared = ratio(seconds[ours], seconds[theirs])
        report[name] = {"spread": compared} | verdict(
            compared["ratio"], limit=limit, goal=goal, peer=None, unit="ratio of medians"
        )
    return report


class _Folder:
    """A sink and a source in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)

    def has(self, digest: str) -> bool:
        return (self.root / digest).exists()

    def put(self, digest: str, data: bytes | memoryview) -> None:
        (self.root / digest).write_bytes(data)

    def get(self, digest: str) -> bytes:
        return (self.root / digest).read_bytes()

    def read_into(self, digest: str, view: memoryview) -> int:
        with (self.root / digest).open("rb", 0) as file:
            return file.readinto(view) or 0


def _measure(folder: Path) -> dict[str, float]:
    """Save here and restore in a child of this process; return the seconds."""
    shell = _shell()
    exec(MAKE, shell.user_ns)
    from elastic_jupyter_agent import snapshot as agent

    taken: dict[str, float] = {}

    def dump() -> None:
        values = {name: shell.user_ns[name] for name in NAMES}
        with (folder / "pickle").open("wb") as file:
            pickle.dump(values, file, protocol=5)

    saved: list[Any] = []

    def save() -> None:
        saved.append(agent.save(shell, _Folder(folder / "blobs"), saved[-1] if saved else None))
        saved[-1] = saved[-1].manifest
        (folder / "manifest").write_text(saved[-1].to_json())

    for name, work in random.sample([("dump", dump), ("save", save)], 2):
        taken[name] = _seconds(work)
    exec(CHANGE, shell.user_ns)
    taken["again"] = _seconds(save)
    return taken


def _measure_back(folder: Path) -> dict[str, float]:
    shell = _shell()
    import numpy  # noqa: F401 - both ways need them
    import pandas  # noqa: F401

    from elastic_jupyter_agent import snapshot as agent
    from elastic_jupyter_agent import wire

    def load() -> None:
        with (folder / "pickle").open("rb") as file:
            shell.user_ns.update(pickle.load(file))

    def restore() -> None:
        manifest = wire.Manifest.from_json((folder / "manifest").read_bytes())
        report = agent.restore(shell, manifest, _Folder(folder / "blobs"))
        assert not report.lost

    taken = {}
    for name, work in random.sample([("load", load), ("restore", restore)], 2):
        _forget(folder)
        taken[name] = _seconds(work)
        for value in NAMES:
            del shell.user_ns[value]
    return taken


def _seconds(work: Any) -> float:
    """Return the time until it is on the disk: what the one left in the cache is no gain for it."""
    os.sync()
    began = time.perf_counter()
    work()
    os.sync()
    return time.perf_counter() - began


def _forget(folder: Path) -> None:
    """Have the system forget the files, so that reading them means reading a disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _shell() -> Any:
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import InteractiveShell

    HistoryManager.enabled = False
    return InteractiveShell.instance()


def main(folder: Path) -> None:
    """Print the seconds of both directions, each measured in a process of its own."""
    if (folder / "pickle").exists():
        print(json.dumps(_measure_back(folder)))
        return
    taken = _measure(folder)
    printed = subprocess.run(
        [sys.executable, "-m", "tests.bench.snapshot", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    print(json.dumps(taken | json.loads(printed)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
