"""Who gets the next GPU, and the place of everybody else.

Pods that ask for an accelerator start with a scheduling gate. Of each class of pods that compete
for the same thing exactly one waits in the scheduler without its gate; the next gate is lifted when
that one has been scheduled. So the place shown is true, and no capacity is computed by us. First
asked, first served. Who may block the others: ADR 0008.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from elastic_jupyter.policy.accelerators import Request


class ClassKey(NamedTuple):
    """What pods must have in common to compete: the same wish, on the same nodes, as urgent."""

    requests: tuple[Request, ...]
    node_selector: tuple[tuple[str, str], ...]
    priority: str

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

    ``gated``: it still has our gate, else the scheduler looks at it. ``reason`` is what the
    scheduler last said of it.
    """

    ticket: Ticket
    wanted: ClassKey
    gated: bool
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """What a waiting user is told: position 1 is in the scheduler. ``reason`` is the head's."""

    position: int
    length: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """``admit``: whose gate is lifted now, if anybody's. ``places`` by ticket, in order."""

    admit: Ticket | None
    places: Mapping[Ticket, Place]


def decide(claims: Iterable[Claim]) -> Verdict:
    """Return the order of the claims of one class.

    Who is with the scheduler already stays ahead of whoever asked earlier but came later: its gate
    cannot be put back.
    """
    order = sorted(claims, key=lambda claim: (claim.gated, claim.ticket))
    if not order:
        return Verdict(None, {})
    head = order[0]
    return Verdict(
        admit=head.ticket if head.gated else None,
        places={
            claim.ticket: Place(position, len(order), head.reason)
            for position, claim in enumerate(order, start=1)
        },
    )
