"""``python -m tests.bench``: run the benchmarks, print JSON."""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.bench import local
from tests.bench.figures import p99, ratio, summary, verdict, verdicts
from tests.bench.lab import Lab, a_lab
from tests.support.cluster import Cluster

ROUNDS = 20
# A round trip takes milliseconds, a pod object half a second with its end, a start seconds, ten at
# once half a minute with their end.
ROUND_TRIPS_PER_ROUND = 10
OBJECTS_PER_ROUND = 2
ROUNDS_PER_BURST = 2


def memory(lab: Lab, rounds: int) -> dict[str, Any]:
    """The gateway's memory before any kernel, and what ``rounds`` idle kernels add to it.

    Two kernels come first: what they load is not a kernel's own.
    """
    fresh = lab.gateway_memory()
    kernels = max(1, min(rounds, 10))
    with lab.holder() as holder:
        holder.hold(2)
        some = lab.gateway_memory()
        holder.hold(2 + kernels)
        more = lab.gateway_memory()
    each = (more["rss"] - some["rss"]) / kernels
    return {
        "what": "resident memory of the gateway's process",
        "rounds": kernels,
        "samples": {"fresh": fresh, "2 kernels": some, f"{2 + kernels} kernels": more},
        "without kernels": verdict(fresh["rss"], limit=100, goal=70, peer=112, unit="MB"),
        "per idle kernel with a websocket": verdict(each, limit=0.5, goal=0.2, peer=0.3, unit="MB"),
    }


def start(lab: Lab, rounds: int) -> dict[str, Any]:
    """POST /api/kernels to the first reply, in s, against a bare pod and ZeroMQ."""
    seconds = lab.run("start", f"--rounds={rounds}", within=60 + 30 * rounds)
    compared = ratio(seconds["gateway"], seconds["bare"])
    return {
        "what": "POST /api/kernels to first execute reply, image present (s)",
        "against": "bare pod of the same image + direct ZeroMQ to its first reply",
        "rounds": rounds,
        "gateway": summary(seconds["gateway"]),
        "bare": summary(seconds["bare"]),
        "spread": compared,
    } | verdict(compared["ratio"], limit=0.75, goal=0.6, peer=1.5, unit="ratio of medians")


def burst(lab: Lab, rounds: int) -> dict[str, Any]:
    """Ten starts at once to the last first reply, in s, against ten bare pods."""
    rounds = max(1, rounds // ROUNDS_PER_BURST)
    seconds = lab.run("burst", f"--rounds={rounds}", within=120 + 90 * rounds)
    compared = ratio(seconds["gateway"], seconds["bare"])
    return {
        "what": "10 POST /api/kernels at once to the last first execute reply (s)",
        "against": "10 bare pods of the same image + direct ZeroMQ",
        "rounds": rounds,
        "gateway": summary(seconds["gateway"]),
        "bare": summary(seconds["bare"]),
        "spread": compared,
    } | verdict(compared["ratio"], limit=1.4, goal=1.0, peer=3.2, unit="ratio of medians")


def bystander(lab: Lab, rounds: int) -> dict[str, Any]:
    """Another user's reply while ten kernels start, in ms, against the same while none does."""
    rounds = max(1, rounds // ROUNDS_PER_BURST)
    ms = lab.run("bystander", f"--rounds={rounds}", within=120 + 90 * rounds)
    slowest = {name: p99(samples) for name, samples in ms.items()}
    return {
        "what": "execute `1` to its reply on a warm kernel while 10 others start, p99 (ms)",
        "against": "the same while none starts; for comparison while 10 bare pods start",
        "rounds": rounds,
        "samples": {name: len(samples) for name, samples in ms.items()},
        "p99": {name: round(figure, 3) for name, figure in slowest.items()},
        "slowest": {name: round(max(samples), 3) for name, samples in ms.items()},
        "of bare pods": round(slowest["gateway"] / slowest["bare"], 3),
        **{name: summary(samples) for name, samples in ms.items()},
    } | verdict(
        slowest["gateway"] / slowest["alone"], limit=3, goal=2, peer=23, unit="ratio of p99"
    )


def object_to_pod(lab: Lab, rounds: int) -> dict[str, Any]:
    """A JupyterKernel's create to its pod object, in ms, against a bare pod's."""
    rounds *= OBJECTS_PER_ROUND
    ms = lab.run("object", f"--rounds={rounds}", within=60 + 10 * rounds)
    medians = {name: statistics.median(samples) for name, samples in ms.items()}
    return {
        "what": "create of a JupyterKernel to its pod object, idle system (ms)",
        "against": "create of a bare pod to its object",
        "rounds": rounds,
        "kernel": summary(ms["kernel"]),
        "bare": summary(ms["bare"]),
    } | verdict(
        medians["kernel"] - medians["bare"], limit=10, goal=5, peer=14, unit="ms between medians"
    )


def roundtrip(lab: Lab, rounds: int) -> dict[str, Any]:
    """``1`` to idle, in ms, against ZeroMQ from a pod."""
    rounds *= ROUND_TRIPS_PER_ROUND
    ms = lab.run("roundtrip", f"--rounds={rounds}", within=120 + rounds)
    compared = ratio(ms["notebook"], ms["bare"])
    return {
        "what": "execute `1` to idle, through notebook server and gateway, in-cluster (ms)",
        "against": "direct ZeroMQ from a pod",
        "rounds": rounds,
        "notebook": summary(ms["notebook"]),
        "gateway": summary(ms["gateway"]),
        "bare": summary(ms["bare"]),
        "spread": compared,
    } | verdict(compared["ratio"], limit=2, goal=1.5, peer=16, unit="ratio of medians")


# Memory comes first, on a gateway that has served nobody.
BENCHES: dict[str, Callable[[Lab, int], dict[str, Any]]] = {
    "memory": memory,
    "object": object_to_pod,
    "start": start,
    "roundtrip": roundtrip,
    "bystander": bystander,
    "burst": burst,
}


def told(report: dict[str, Any]) -> bool:
    """Say on stderr which limits are kept; return whether all are."""
    found = list(verdicts(report))
    for name, one in found:
        kept = "kept" if one["pass"] else "NOT KEPT"
        text = f"{name}: {one['figure']} {one['unit']}, limit {one['limit']}: {kept}"
        print(text, file=sys.stderr)
    return all(one["pass"] for _, one in found)


Named = dict[str, Callable[[int], dict[str, Any]]]


@contextlib.contextmanager
def on_a_cluster() -> Iterator[Named]:
    """The benchmarks of a cluster, on that of KUBECONFIG."""
    with Cluster() as cluster, a_lab(cluster) as lab:
        yield {name: partial(bench, lab) for name, bench in BENCHES.items()}


@contextlib.contextmanager
def on_one_machine() -> Iterator[Named]:
    """The benchmarks of one machine, on this one."""
    with local.a_machine() as machine:
        yield {name: partial(bench, machine) for name, bench in local.BENCHES.items()}


def main() -> int:
    """Run the benchmarks that the arguments name; with ``--check`` 1 beyond a limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each; default %(default)s")
    parser.add_argument(
        "--check", action="store_true", help="tell the limits; 1 if one is not kept"
    )
    parser.add_argument(
        "--local", action="store_true", help="those of one machine, which need no cluster"
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"of {', '.join(BENCHES)}; with --local of {', '.join(local.BENCHES)}",
    )
    args = parser.parse_args()
    if unknown := set(args.names) - set(local.BENCHES if args.local else BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    with on_one_machine() if args.local else on_a_cluster() as benches:
        report = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "cpus": os.cpu_count(),
        } | {
            name: bench(args.rounds)
            for name, bench in benches.items()
            if not args.names or name in args.names
        }
    print(json.dumps(report, indent=2))
    return 1 if args.check and not told(report) else 0


if __name__ == "__main__":
    sys.exit(main())
