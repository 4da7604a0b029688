"""When a kernel is idle long enough that its GPU is taken back.

Idle counts from the user's last execution. Open tabs, completion requests, comm messages and
kernel_info do not count: a tab that was left open sends such messages by itself. A busy kernel is
never idle. Whoever may edit the kernel may keep it (``keepUntil``) or release it (``suspend``).

A kernel that nobody may reach ends also where nothing is culled, since nobody could shut it down.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

#: How long such a kernel stays: who made it unreachable by mistake may not lose its variables.
UNREACHABLE_TIMEOUT = timedelta(hours=1)

#: The verdict's reason where somebody asks for the resources.
RELEASED = "Released"
#: Its reason where no idle time is too long.
CULLING_DISABLED = "CullingDisabled"


class Action(Enum):
    """What to do with a kernel now."""

    KEEP = "Keep"
    RECLAIM = "Reclaim"


@dataclass(frozen=True)
class Activity:
    """What is known of a running kernel, and wished for it, in aware UTC.

    ``unreachable_since``: since when its notebook is not served; None: it is. ``keep_until`` and
    ``suspend`` are the wishes of its ``spec``.
    """

    busy: bool
    last_execution: datetime
    unreachable_since: datetime | None = None
    keep_until: datetime | None = None
    suspend: bool = False


@dataclass(frozen=True)
class Verdict:
    """``reclaim_at`` is None when nothing but a further execution would change the verdict."""

    action: Action
    reason: str
    reclaim_at: datetime | None


def decide(activity: Activity, *, timeout: timedelta, now: datetime) -> Verdict:
    """Say whether the kernel is reclaimed at ``now`` (aware UTC), and when it will be.

    A ``timeout`` of zero or less means never (``cullIdleTimeout``) while anybody can reach it.
    """
    if activity.suspend:
        return Verdict(Action.KEEP if activity.busy else Action.RECLAIM, RELEASED, None)
    since = activity.last_execution
    if timeout <= timedelta(0):
        if activity.unreachable_since is None:
            return Verdict(Action.KEEP, CULLING_DISABLED, None)
        timeout, since = UNREACHABLE_TIMEOUT, max(since, activity.unreachable_since)
    if activity.busy:
        return Verdict(Action.KEEP, "Busy", None)
    reclaim_at = since + timeout
    if activity.keep_until is not None:
        reclaim_at = max(reclaim_at, activity.keep_until)
    if now < reclaim_at:
        return Verdict(Action.KEEP, "RecentlyUsed", reclaim_at)
    return Verdict(Action.RECLAIM, "IdleTimeout", reclaim_at)
