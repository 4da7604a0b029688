"""From samples to what is printed: median, spread, and the ratio of two medians with its own."""

import random
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

RESAMPLES = 2000


def quantiles(samples: Sequence[float], n: int) -> Sequence[float]:
    """Return the points that cut samples into ``n`` parts; one sample is all of them itself."""
    return statistics.quantiles(samples, n=n, method="inclusive") if samples[1:] else samples


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Return median and 5th to 95th percentile of at least one sample."""
    points = quantiles(samples, 20)
    return {
        "median": round(statistics.median(samples), 3),
        "p5": round(points[0], 3),
        "p95": round(points[-1], 3),
    }


def p99(samples: Sequence[float]) -> float:
    """Return the 99th percentile of at least one sample."""
    return quantiles(samples, 100)[-1]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the ratio of the medians and its 90 % bootstrap interval (always the same one)."""
    chance = random.Random(0)

    def once() -> float:
        drawn = [statistics.median(chance.choices(s, k=len(s))) for s in (ours, theirs)]
        return drawn[0] / drawn[1]

    points = statistics.quantiles([once() for _ in range(RESAMPLES)], n=20)
    return {
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
        "low": round(points[0], 3),
        "high": round(points[-1], 3),
    }


def verdict(figure: float, *, limit: float, goal: float, peer: Any, unit: str) -> dict[str, Any]:
    """Return how a figure stands to its limit and its goal.

    ``peer`` is what was measured of Enterprise Gateway, or of the Go original.
    """
    return {
        "figure": round(figure, 3),
        "unit": unit,
        "limit": limit,
        "goal": goal,
        "peer": peer,
        "pass": figure <= limit,
        "reaches_goal": figure <= goal,
    }


def verdicts(report: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each verdict in a report with where it stands: ``memory: per idle kernel``."""
    if isinstance(report, dict):
        if "pass" in report:
            yield name, report
        for key, part in report.items():
            yield from verdicts(part, f"{name}: {key}" if name else key)
