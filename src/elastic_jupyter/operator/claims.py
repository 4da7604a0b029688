"""Pods that wait for an accelerator, as the queue's policy sees them."""

from datetime import UTC, datetime, timedelta

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Key, Object
from elastic_jupyter.operator import sight
from elastic_jupyter.policy import accelerators
from elastic_jupyter.policy.queue import Claim, ClassKey, Ticket

#: A kernel's object comes this much later than its user's wish, at most. An older ``asked-at`` was
#: not written by a gateway, and nobody jumps the queue by writing one.
_LATEST_OBJECT = timedelta(minutes=1)


def claim_of(pod: Object) -> Claim | None:
    """Return the claim of a pod, None when it does not wait for an accelerator in our queue."""
    metadata, spec = pod["metadata"], pod["spec"]
    if spec.get("nodeName") or metadata.get("deletionTimestamp"):
        return None
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return None
    if not sight.waits_in_our_queue(pod):
        return None
    return Claim(
        ticket=_ticket(metadata),
        wanted=ClassKey(
            requests=accelerators.requests(spec),
            node_selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
            priority=spec.get("priorityClassName") or "",
        ),
        gated=sight.is_gated(pod),
        reason=sight.scheduling_message(pod),
    )


def key_of(ticket: Ticket) -> Key:
    """Return the key of the pod, and of the JupyterKernel, that holds a ticket."""
    return Key(ticket.namespace, ticket.name)


def _ticket(metadata: Object) -> Ticket:
    created = _time(metadata.get("creationTimestamp")) or datetime.now(UTC)
    asked = _time((metadata.get("annotations") or {}).get(names.ANNOTATION_ASKED_AT))
    if asked is None or asked < created - _LATEST_OBJECT:
        asked = created
    return Ticket(asked, created, metadata["namespace"], metadata["name"])


def _time(stamp: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None
    if moment is not None and moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment
