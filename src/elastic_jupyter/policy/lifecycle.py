"""The life of one kernel: what follows from its phase and from what is seen of its pod.

The whole life cycle is the table ``TRANSITIONS``; nothing about phases is decided elsewhere. The
phase is what was last written down, the sight is of the incarnation (uid, epoch) that belongs to
it. A pair that the table lacks is a stale sight: nothing happens, and a fresher one will come.
What the phases mean: docs/architecture.md.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TypeAlias

from elastic_jupyter.api.kernel import Phase

#: How long a container may be stalled before the kernel fails. A registry that was away comes back,
#: a ConfigMap is applied a moment late; a wrong name stays wrong, and the pod holds its GPU. The
#: kubelet tries an image after 0, 10, 30 and 70 s, and then only after 150 s.
STALL_PATIENCE = timedelta(minutes=2)


class Sight(Enum):
    """What is seen of the pod of this incarnation."""

    NEVER_MADE = "never made"
    REFUSED = "refused for good"
    WAITING = "waits for a GPU"
    STARTING = "is scheduled, pulled, started"
    STALLED = "a container cannot be started, which may pass"
    RUNNING = "container runs"
    SUCCEEDED = "container ended with 0"
    FAILED = "container or pod failed"
    LOST = "was made and is gone"


@dataclass(frozen=True)
class Sighting:
    """What one look at a pod or process came to: ``reason`` is one word, ``message`` in full.

    ``ip`` is set as soon as it has an address.
    """

    sight: Sight
    reason: str = ""
    message: str = ""
    ip: str | None = None


class Action(Enum):
    """What the reconciler does."""

    NONE = "nothing"
    START = "make the Secret and the pod"
    CLEAN_UP = "write the end down, then remove pod and Secret"


class Wanted(Enum):
    """What ``spec`` wants of the present incarnation."""

    RUN = "that it runs"
    SAVE = "that it gives its resources back as soon as its variables are saved"
    REST = "that nothing is there of it"
    #: The same of what has variables in a snapshot.
    REST_SAVED = "that nothing is there of it but its snapshot"


@dataclass(frozen=True)
class Verdict:
    """The phase to write down, and what to do. A CLEAN_UP comes after the writing."""

    phase: Phase
    action: Action


_State: TypeAlias = Phase | None

#: The epoch that follows a rest begins in the phase of the rest.
_BEFORE_RUNNING: tuple[_State, ...] = (
    *(None, Phase.QUEUED, Phase.PENDING),
    *(Phase.DORMANT, Phase.HIBERNATED),
)
RUNNING = (Phase.RUNNING, Phase.HIBERNATING)
_ALIVE: tuple[_State, ...] = (*_BEFORE_RUNNING, *RUNNING)
ENDED = (Phase.FAILED, Phase.SUCCEEDED)
RESTING = (Phase.DORMANT, Phase.HIBERNATED)

TRANSITIONS: dict[tuple[_State, Sight], Verdict] = {
    **{(old, Sight.NEVER_MADE): Verdict(Phase.PENDING, Action.START) for old in _BEFORE_RUNNING},
    **{(old, Sight.WAITING): Verdict(Phase.QUEUED, Action.NONE) for old in _BEFORE_RUNNING},
    **{(old, Sight.STARTING): Verdict(Phase.PENDING, Action.NONE) for old in _BEFORE_RUNNING},
    **{(old, Sight.STALLED): Verdict(Phase.PENDING, Action.NONE) for old in _BEFORE_RUNNING},
    **{(old, Sight.RUNNING): Verdict(Phase.RUNNING, Action.NONE) for old in _ALIVE},
    **{(old, Sight.SUCCEEDED): Verdict(Phase.SUCCEEDED, Action.CLEAN_UP) for old in _ALIVE},
    **{(old, Sight.FAILED): Verdict(Phase.FAILED, Action.CLEAN_UP) for old in _ALIVE},
    **{(old, Sight.LOST): Verdict(Phase.FAILED, Action.CLEAN_UP) for old in _ALIVE},
    **{(old, Sight.REFUSED): Verdict(Phase.FAILED, Action.CLEAN_UP) for old in _BEFORE_RUNNING},
    # What has ended stays ended, whatever is still seen of its pod.
    **{(old, sight): Verdict(old, Action.CLEAN_UP) for old in ENDED for sight in Sight},
}


_RESTS = {Wanted.REST: Phase.DORMANT, Wanted.REST_SAVED: Phase.HIBERNATED}


def decide(phase: Phase | None, sight: Sight, wanted: Wanted = Wanted.RUN) -> Verdict:
    """Return what follows; ``phase`` is None while nothing was written down yet.

    A rest is written down before the pod goes, as an end is: what rests already is cleaned up
    again after a crash in between.
    """
    if wanted in _RESTS:
        return Verdict(_RESTS[wanted], Action.CLEAN_UP)
    verdict = TRANSITIONS.get((phase, sight))
    if verdict is None:
        assert phase is not None  # the table is complete for None, a test says so
        return Verdict(phase, Action.NONE)
    if wanted is Wanted.SAVE and verdict.phase is Phase.RUNNING:
        return Verdict(Phase.HIBERNATING, verdict.action)
    return verdict
