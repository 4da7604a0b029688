"""Who gets the next GPU, and the place of everybody else.

Pods that ask for an accelerator start with a scheduling gate. Of each class of pods that compete
for the same thing exactly one waits in the scheduler without its gate; the next gate is lifted when
that one has been scheduled. So the place shown is true, and no capacity is computed by us. First
asked, first served. Who may block the others: ADR 0008.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from elastic_jupyter.policy.accelerators import Request

#: How long a scheduler may say nothing of a pod that is its to place; kube-scheduler speaks within
#: milliseconds. After that there may be none of this name, or it may not want the pod.
SILENCE = timedelta(seconds=10)

#: Why a kernel does not start whose turn it is: its gate cannot be lifted.
GATE_REFUSED = "GateRefused"
#: Why a kernel is not in the line: no scheduler has said anything of its pod.
UNHEARD = "NoScheduler"


class ClassKey(NamedTuple):
    """What pods must have in common to compete: the same wish, on the same nodes, as urgent.

    And the same scheduler: another one, or one that does not exist, knows no order between them.
    """

    requests: tuple[Request, ...]
    node_selector: tuple[tuple[str, str], ...]
    priority: str
    scheduler: str

    def __str__(self) -> str:
        return ", ".join(str(request) for request in self.requests)


class Ticket(NamedTuple):
    """Order in the queue: when it was asked for, and for equal times a name."""

    asked_at: datetime
    created_at: datetime
    namespace: str
    name: str


@dataclass(frozen=True)
class Claim:
    """A pod that waits for an accelerator.

    ``admitted_at``: since when it is the scheduler's to place, None while it has our gate.
    ``reason`` is what the scheduler last said of it.
    """

    ticket: Ticket
    wanted: ClassKey
    admitted_at: datetime | None = None
    reason: str = ""

    @property
    def gated(self) -> bool:
        return self.admitted_at is None


@dataclass(frozen=True)
class Place:
    """What a waiting user is told: position 1 is in the scheduler. ``reason`` is the head's."""

    position: int
    length: int
    reason: str


@dataclass(frozen=True)
class Refused:
    """What a user is told whose turn it is, and whose gate cannot be lifted."""

    message: str


@dataclass(frozen=True)
class Verdict:
    """``admit``: whose gate is lifted now, if anybody's. ``places`` by ticket, in order.

    ``look_again``: after this time somebody may have stepped aside; None: no need.
    """

    admit: Ticket | None
    places: Mapping[Ticket, Place]
    look_again: timedelta | None = None


def is_unheard(since: datetime, *, now: datetime) -> bool:
    """Say whether a scheduler has been silent for too long on a pod that it has had since then.

    A time far ahead is no time at all: a pod must not wait for ever because of it.
    """
    return abs(now - since) >= SILENCE


def decide(claims: Iterable[Claim], *, now: datetime, left_out: Collection[Ticket] = ()) -> Verdict:
    """Return the order of the claims of one class.

    Who is with the scheduler already stays ahead of whoever asked earlier but came later: its gate
    cannot be put back. One of whom the scheduler says nothing steps aside. ``left_out``: whose gate
    could not be lifted, and is not tried now.
    """
    order = sorted(
        (one for one in claims if one.ticket not in left_out and not _steps_aside(one, now)),
        key=lambda claim: (claim.gated, claim.ticket),
    )
    if not order:
        return Verdict(None, {})
    head = order[0]
    silent = [one.admitted_at for one in order if one.admitted_at and not one.reason]
    return Verdict(
        admit=head.ticket if head.gated else None,
        places={
            claim.ticket: Place(position, len(order), head.reason)
            for position, claim in enumerate(order, start=1)
        },
        look_again=min(silent) + SILENCE - now if silent else None,
    )


def _steps_aside(claim: Claim, now: datetime) -> bool:
    since = claim.admitted_at
    return since is not None and not claim.reason and is_unheard(since, now=now)
