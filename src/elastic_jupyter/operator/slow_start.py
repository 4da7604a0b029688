"""What is known of a pod whose start takes long: the kubelet's words, or that nobody speaks of it.

Volumes that cannot be mounted, networks that cannot be made and images that are being pulled are in
Events alone, not in the pod's status. They are read when a start is slow, and not followed: a
cluster has many Events, and nearly every start is over before.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from elastic_jupyter.errors import StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import EVENT, Object
from elastic_jupyter.operator import sight
from elastic_jupyter.policy import queue
from elastic_jupyter.policy.lifecycle import Sighting

#: From scheduling on; a start with a warm image takes less.
SLOW = timedelta(seconds=3)
#: Seconds between two looks at a slow start.
PAUSE = 3.0


def is_starting(seen: Sighting) -> bool:
    """Say whether a pod is being started and its status does not say what it waits for."""
    return seen.reason == sight.STARTING


async def explain(client: Client, pod: Object, seen: Sighting, *, now: datetime) -> Sighting:
    """Return the sight of a starting pod with the kubelet's newest word, if it is slow and has one.

    Of a pod that no scheduler has taken, that. An Event is a courtesy: that they cannot be read is
    no error.
    """
    if sight.unheard(pod, now=now):
        return replace(seen, reason=queue.UNHEARD, message=_unheard(sight.scheduler_of(pod)))
    scheduled = sight.scheduled_at(pod)
    if scheduled is None or now - scheduled < SLOW:
        return seen
    metadata = pod["metadata"]
    try:
        listing = await client.list(
            EVENT, metadata["namespace"], field_selector=f"involvedObject.uid={metadata['uid']}"
        )
    except StoreError:
        return seen
    # Names end with the nanosecond in which the first of a series came.
    newest = max(
        listing.items, key=lambda event: (_time(event), event["metadata"]["name"]), default={}
    )
    reason = newest.get("reason") or ""
    if reason != "Pulling" and not reason.startswith("Failed"):
        return seen
    return replace(seen, reason=reason, message=newest.get("message") or "")


def _unheard(scheduler: str) -> str:
    return (
        f"no scheduler named {scheduler} has taken the pod: does one run, and is schedulerName of "
        "the kernel's template right?"
    )


def _time(event: Object) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or ""
