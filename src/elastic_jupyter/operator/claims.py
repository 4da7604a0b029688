"""Pods that wait for an accelerator, as the queue's policy sees them."""

from datetime import UTC, datetime, timedelta

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import Key, Object
from elastic_jupyter.operator import sight
from elastic_jupyter.operator.children import controller_uid
from elastic_jupyter.policy import accelerators
from elastic_jupyter.policy.queue import Claim, ClassKey, Ticket

#: A kernel's object comes this much later than its user's wish, at most. An older ``asked-at`` was
#: not written by a gateway, and nobody jumps the queue by writing one.
_LATEST_OBJECT = timedelta(minutes=1)


def claim_of(pod: Object, kernel: Object) -> Claim | None:
    """Return the claim of a pod, None when it does not wait for an accelerator in our queue.

    ``kernel`` is the JupyterKernel of the pod's name: whoever may make a pod may label it as ours,
    and name as its owner what is not there.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    if controller_uid(pod) != kernel["metadata"]["uid"]:
        return None
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
            scheduler=sight.scheduler_of(pod),
        ),
        admitted_at=sight.admitted_at(pod),
        reason=sight.scheduling_message(pod),
    )


def key_of(ticket: Ticket) -> Key:
    """Return the key of the pod, and of the JupyterKernel, that holds a ticket."""
    return Key(ticket.namespace, ticket.name)


def _ticket(metadata: Object) -> Ticket:
    created = sight.moment(metadata.get("creationTimestamp")) or datetime.now(UTC)
    asked = sight.moment((metadata.get("annotations") or {}).get(names.ANNOTATION_ASKED_AT))
    if asked is None or asked < created - _LATEST_OBJECT:
        asked = created
    return Ticket(asked, created, metadata["namespace"], metadata["name"])
