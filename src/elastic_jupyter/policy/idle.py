"""When a kernel is idle long enough that its GPU is taken back.

Idle counts from the user's last execution. Open tabs, completion requests, comm messages and
kernel_info do not count: a tab that was left open sends such messages by itself. A busy kernel is
never idle.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum


class Action(Enum):
    """What to do with a kernel now."""

    KEEP = "Keep"
    RECLAIM = "Reclaim"


@dataclass(frozen=True)
class Activity:
    """What is known of a running kernel: ``last_execution`` is aware UTC."""

    busy: bool
    last_execution: datetime


@dataclass(frozen=True)
class Verdict:
    """``reclaim_at`` is None when nothing but a further execution would change the verdict."""

    action: Action
    reason: str
    reclaim_at: datetime | None


def decide(activity: Activity, *, timeout: timedelta, now: datetime) -> Verdict:
    """Say whether the kernel is reclaimed at ``now`` (aware UTC), and when it will be.

    A ``timeout`` of zero or less means never (``cullIdleTimeout``).
    """
    if timeout <= timedelta(0):
        return Verdict(Action.KEEP, "CullingDisabled", None)
    if activity.busy:
        return Verdict(Action.KEEP, "Busy", None)
    reclaim_at = activity.last_execution + timeout
    if now < reclaim_at:
        return Verdict(Action.KEEP, "RecentlyUsed", reclaim_at)
    return Verdict(Action.RECLAIM, "IdleTimeout", reclaim_at)
