"""When a kernel is idle long enough that its GPU is taken back.

Idle counts from the user's last execution, or from when something was seen last that a cell had
left running. Open tabs, completion requests, comm messages and kernel_info do not count: a tab that
was left open sends such messages by itself. A busy kernel is never idle. Whoever may edit the
kernel may keep it, for a bounded time (``keepUntil``), or release it (``suspend``).

Whoever looks may look seldom: the warning's time counts from when it was given.

A kernel that nobody may reach ends also where nothing is culled, since nobody could shut it down.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from elastic_jupyter.api.kernel import Fallback, ReclaimPolicy, WhenIdle

#: How long such a kernel stays: who made it unreachable by mistake may not lose its variables.
UNREACHABLE_TIMEOUT = timedelta(hours=1)

#: The verdict's reason where somebody asks for the resources.
RELEASED = "Released"
#: Its reason where no idle time is too long.
CULLING_DISABLED = "CullingDisabled"
#: Its reason where nothing is reclaimed that cannot be saved.
UNSAVABLE = "Unsavable"
#: Its reason where its variables could not be saved, which is tried again.
SAVE_FAILED = "SaveFailed"

_NONE = timedelta()


class Action(Enum):
    """What to do with a kernel now."""

    KEEP = "Keep"
    #: Keep it, and tell that it is reclaimed soon.
    WARN = "Warn"
    RECLAIM = "Reclaim"


@dataclass(frozen=True)
class Activity:
    """What is known of a running kernel, and wished for it, in aware UTC.

    ``left_running_at``: when something that a cell had left running was seen last. ``stays``: its
    variables can never be saved, and such kernels are to be kept. ``unreachable_since``: since when
    its notebook is not served; None: it is. ``keep_until`` and ``suspend`` are the wishes of its
    ``spec``. ``warned_at``: since when its user is warned. ``save_again_at``: its variables could
    not be saved, and it is kept until that is tried again.
    """

    busy: bool
    last_execution: datetime
    left_running_at: datetime | None = None
    stays: bool = False
    unreachable_since: datetime | None = None
    keep_until: datetime | None = None
    suspend: bool = False
    warned_at: datetime | None = None
    save_again_at: datetime | None = None

    @property
    def idle_since(self) -> datetime:
        """The later of the last execution and of what it left running."""
        return max(filter(None, (self.last_execution, self.left_running_at)))


@dataclass(frozen=True)
class Limits:
    """How long kernels may be idle.

    ``timeout``: zero or less means for ever (``cullIdleTimeout``). ``warning``: how long before the
    reclaim it is told, at most half of the timeout; zero: not at all. ``extension``: the most that
    ``keepUntil`` adds to the timeout.
    """

    timeout: timedelta
    warning: timedelta = _NONE
    extension: timedelta = _NONE


@dataclass(frozen=True)
class Verdict:
    """What to do now, and why.

    ``reclaim_at`` is None when nothing but a further execution would change the verdict.
    ``keep_limit`` is the latest moment to which ``keepUntil`` could move it. ``warned_at``: since
    when its user is warned, ``now`` where that begins with this verdict.
    """

    action: Action
    reason: str
    reclaim_at: datetime | None = None
    keep_limit: datetime | None = None
    warned_at: datetime | None = None


def decide(activity: Activity, limits: Limits, *, now: datetime) -> Verdict:
    """Say whether the kernel is reclaimed at ``now`` (aware UTC), and when it will be."""
    again_at = activity.save_again_at
    if activity.suspend:
        waits = activity.busy or (again_at is not None and now < again_at)
        action = Action.KEEP if waits else Action.RECLAIM
        return Verdict(action, RELEASED, again_at, warned_at=activity.warned_at)
    timeout, since, warning = limits.timeout, activity.idle_since, limits.warning
    if activity.stays or timeout <= _NONE:
        if activity.unreachable_since is None:
            return Verdict(Action.KEEP, UNSAVABLE if activity.stays else CULLING_DISABLED)
        timeout, since = UNREACHABLE_TIMEOUT, max(since, activity.unreachable_since)
        warning = _NONE  # there is nobody to read it
    if activity.busy:
        return Verdict(Action.KEEP, "Busy")
    idle_until = since + timeout
    deadline = max(idle_until, again_at or idle_until)
    keep_limit = deadline + limits.extension
    reclaim_at = max(deadline, min(activity.keep_until or deadline, keep_limit))
    warning = min(warning, timeout / 2)
    if now < reclaim_at - warning:
        return Verdict(Action.KEEP, _kept_by(activity, deadline, since), reclaim_at, keep_limit)
    warned_at = activity.warned_at
    if warned_at is None or warned_at < reclaim_at - warning:  # it was of an earlier deadline
        warned_at = now
    reclaim_at = max(reclaim_at, warned_at + warning)
    if now >= reclaim_at:
        return Verdict(Action.RECLAIM, "IdleTimeout", reclaim_at, keep_limit, warned_at)
    reason = _kept_by(activity, deadline, since)
    return Verdict(Action.WARN, reason, reclaim_at, keep_limit, warned_at)


def _kept_by(activity: Activity, deadline: datetime, since: datetime) -> str:
    if deadline == activity.save_again_at:
        return SAVE_FAILED
    return "LeftRunning" if since == activity.left_running_at else "RecentlyUsed"


def outcome(policy: ReclaimPolicy, fallback: Fallback, *, savable: bool) -> WhenIdle:
    """Return what becomes of a kernel that is idle for too long.

    Never that it hibernates where its variables cannot be saved.
    """
    if policy is ReclaimPolicy.DELETE:
        return WhenIdle.DELETE
    if savable:
        return WhenIdle.HIBERNATE
    return WhenIdle.KEEP if fallback is Fallback.KEEP else WhenIdle.DELETE
