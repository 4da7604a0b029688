"""The benchmarks of one machine: ``elastic-jupyter up`` beside what people run without it.

They need no cluster. ``up`` is all of it: notebook server, gateway, reconciler, SQLite.
"""

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.bench.figures import ratio, summary, verdict
from tests.bench.hibernation import hibernation
from tests.bench.inside import Served
from tests.bench.machine import Machine, Server

# A round trip takes milliseconds, what else is measured here a second.
ROUND_TRIPS_PER_ROUND = 20
WARM_UP = 20
#: What JupyterLab asks for first: its page, and what kernels there are.
_PAGE, _KERNELS = "/lab", "/api/kernelspecs"
_NODELAY = "--ServerApp.kernel_websocket_connection_class=tests.bench.nodelay.NoDelayConnection"


@contextlib.contextmanager
def a_machine() -> Iterator[Machine]:
    """A machine in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        yield Machine(Path(root))


def start(machine: Machine, rounds: int) -> dict[str, Any]:
    """POST /api/kernels to the first reply, in s, against a stock Jupyter Server."""
    seconds: dict[str, list[float]] = {"up": [], "stock": []}
    with machine.up() as up, machine.plain("jupyter_server") as stock:
        servers = {"up": up, "stock": stock}
        for server in servers.values():
            server.await_answer(_KERNELS)
        for turn in range(rounds + 1):
            for name in _mixed(servers):
                taken = _first_reply(servers[name])
                if turn:  # the first turn warms caches of both
                    seconds[name].append(taken)
    return _compared(
        seconds,
        what="POST /api/kernels to first execute reply (s)",
        against="jupyter server",
        limit=1.15,
        goal=1.0,
    )


def _first_reply(server: Server) -> float:
    time.sleep(random.uniform(0.1, 0.3))
    kernel = server.kernel()
    kernel.await_reply(kernel.send())
    taken = time.perf_counter() - kernel.asked_at
    kernel.close()
    server.await_kernels_end()
    return taken


def round_trip(machine: Machine, rounds: int) -> dict[str, Any]:
    """``1`` to idle, in ms, against a stock Jupyter Server with TCP_NODELAY."""
    milliseconds: dict[str, list[float]] = {"up": [], "stock": []}
    with (
        machine.up() as up,
        machine.plain("jupyter_server", _NODELAY) as stock,
        contextlib.ExitStack() as stack,
    ):
        kernels: dict[str, Served] = {}
        for name, server in {"up": up, "stock": stock}.items():
            server.await_answer(_KERNELS)
            kernels[name] = stack.enter_context(contextlib.closing(server.kernel()))
            kernels[name].await_reply(kernels[name].send())
        for turn in range(WARM_UP + rounds * ROUND_TRIPS_PER_ROUND):
            for name in _mixed(kernels):
                taken = _to_idle(kernels[name])
                if turn >= WARM_UP:
                    milliseconds[name].append(taken)
    return _compared(
        milliseconds,
        what="execute `1` to idle, through notebook server and gateway (ms)",
        against="one jupyter server with TCP_NODELAY",
        limit=1.5,
        goal=1.3,
    )


def _to_idle(kernel: Served) -> float:
    began = time.perf_counter()
    message_id = kernel.send()
    kernel.await_idle(message_id)
    taken = (time.perf_counter() - began) * 1000
    kernel.await_reply(message_id)
    return taken


def to_answer(machine: Machine, rounds: int) -> dict[str, Any]:
    """The command to JupyterLab's page and list of kernels, in s, against ``jupyter lab``."""
    ways = _labs(machine)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in _mixed(ways):
            with ways[name]() as server:
                server.await_answer(_PAGE)
                taken = server.await_answer(_KERNELS)
            if turn:
                seconds[name].append(taken)
    return _compared(
        seconds,
        what="command to JupyterLab's page and its list of kernels answered (s)",
        against="jupyter lab",
        limit=1.5,
        goal=1.2,
    )


def _labs(machine: Machine) -> dict[str, Callable[[], AbstractContextManager[Server]]]:
    return {"up": machine.up, "stock": lambda: machine.plain("jupyterlab")}


def memory(machine: Machine, rounds: int) -> dict[str, Any]:
    """PSS of all processes but kernels, with one kernel open, in MB, against ``jupyter lab``.

    Each runs alone: side by side they would share the pages of Python and its libraries, and each
    would be charged half of them.
    """
    taken: dict[str, list[float]] = {"up": [], "stock": []}
    fresh: dict[str, list[float]] = {"up": [], "stock": []}
    rounds = min(rounds, 5)  # it hardly varies
    for _ in range(rounds):
        for name, way in _labs(machine).items():
            with way() as server:
                server.await_answer(_PAGE)
                server.await_answer(_KERNELS)
                fresh[name].append(server.pss())
                with contextlib.closing(server.kernel()) as kernel:
                    kernel.await_reply(kernel.send())
                    taken[name].append(server.pss())
    ours, theirs = summary(taken["up"]), summary(taken["stock"])
    return {
        "what": "PSS of all processes but kernels, one kernel open (MB)",
        "against": "jupyter lab",
        "rounds": rounds,
        "up": ours,
        "stock": theirs,
        "without a kernel": {name: summary(samples) for name, samples in fresh.items()},
    } | verdict(
        ours["median"] - theirs["median"],
        limit=140,
        goal=100,
        peer=None,
        unit="MB between medians",
    )


BENCHES: dict[str, Callable[[Machine, int], dict[str, Any]]] = {
    "local-memory": memory,
    "local-up": to_answer,
    "local-start": start,
    "local-round-trip": round_trip,
    "hibernation": hibernation,
}


def _mixed(names: Any) -> list[str]:
    """Return the names in a random order, so that none always comes after the same other."""
    return random.sample(sorted(names), len(names))


def _compared(
    samples: dict[str, list[float]], *, what: str, against: str, limit: float, goal: float
) -> dict[str, Any]:
    compared = ratio(samples["up"], samples["stock"])
    return {
        "what": what,
        "against": against,
        "rounds": len(samples["up"]),
        "up": summary(samples["up"]),
        "stock": summary(samples["stock"]),
        "spread": compared,
    } | verdict(compared["ratio"], limit=limit, goal=goal, peer=None, unit="ratio of medians")
