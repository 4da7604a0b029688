"""The queue for accelerators: lifts the scheduling gate of who is next, knows everybody's place.

Keys are classes of pods that compete for the same thing, not objects. Writes nothing but the gates
of pods; the kernels' own reconciler writes the places down. Woken by every change of a waiting pod.
"""

from collections.abc import Callable, Mapping

from elastic_jupyter import logs
from elastic_jupyter.api import names
from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import Conflict, NotFound
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import POD, Key, Object
from elastic_jupyter.operator.children import FIELD_MANAGER
from elastic_jupyter.operator.claims import claim_of, key_of
from elastic_jupyter.policy import queue
from elastic_jupyter.policy.queue import Claim, ClassKey, Place, Ticket
from elastic_jupyter.runtime.controller import DONE, Result

#: Seconds that the scheduler has to place the first in line before the others are told where they
#: stand: while GPUs are free the line moves several times in as many milliseconds.
_PATIENCE = 0.5

#: Seconds until a gate is lifted again after somebody else wrote to the pod.
_STALE_RETRY = 0.05

log = logs.get(__name__)


class QueueReconciler:
    """Admits waiting pods one by one. ``wake_kernel`` is told whose place has changed."""

    def __init__(
        self,
        *,
        client: Client,
        pods: Mapping[Key, Object],
        wake_kernel: Callable[[Key], None],
        clock: Clock,
    ) -> None:
        self._client = client
        self._pods = pods
        self._wake_kernel = wake_kernel
        self._clock = clock
        self._claims: dict[ClassKey, dict[Key, Claim]] = {}
        self._classes: dict[Key, ClassKey] = {}
        self._places: dict[Key, Place] = {}
        self._unjudged: dict[ClassKey, tuple[Ticket, float]] = {}

    def place_of(self, key: Key) -> Place | None:
        """Return the place of a kernel, None while it has none."""
        return self._places.get(key)

    def pod_changed(self, key: Key, pod: Object | None) -> list[ClassKey]:
        """Take note of a pod; return the classes that have to be looked at."""
        claim = claim_of(pod) if pod is not None else None
        old_class = self._classes.pop(key, None)
        old = self._claims[old_class].pop(key, None) if old_class else None
        if old_class and not self._claims[old_class]:
            del self._claims[old_class]
        if claim is None:
            self._places.pop(key, None)
        else:
            self._claims.setdefault(claim.wanted, {})[key] = claim
            self._classes[key] = claim.wanted
        if claim == old:
            return []
        return list({one.wanted for one in (old, claim) if one is not None})

    async def reconcile(self, wanted: ClassKey) -> Result:
        """Look at one class once."""
        claims = self._claims.get(wanted, {})
        if not claims:
            self._unjudged.pop(wanted, None)
            return DONE
        verdict = queue.decide(claims.values())
        if verdict.admit is not None:
            admitted = await self._admit(key_of(verdict.admit))
            # Its pod changes by that, which wakes us; the time is for when the scheduler is silent.
            return Result(_PATIENCE if admitted else _STALE_RETRY)
        patience = self._patience_left(wanted, next(iter(verdict.places)), verdict.places)
        if patience > 0:
            return Result(patience)
        for ticket, place in verdict.places.items():
            key = key_of(ticket)
            if key in claims and self._places.get(key) != place:
                self._places[key] = place
                self._wake_kernel(key)
        return DONE

    def _patience_left(
        self, wanted: ClassKey, head: Ticket, places: Mapping[Ticket, Place]
    ) -> float:
        """Return for how long to wait for the scheduler's first word on the head."""
        if places[head].reason:
            self._unjudged.pop(wanted, None)
            return 0.0
        ticket, since = self._unjudged.get(wanted, (None, 0.0))
        now = self._clock.monotonic()
        if ticket != head:
            self._unjudged[wanted] = (head, now)
            since = now
        return since + _PATIENCE - now

    async def _admit(self, key: Key) -> bool:
        """Lift the gate. Lifting it twice is the same; False: look again."""
        pod = self._pods.get(key)
        if pod is None:
            return False
        gates = [
            gate for gate in pod["spec"]["schedulingGates"] if gate["name"] != names.GATE_QUEUE
        ]
        body = {
            "metadata": {"resourceVersion": pod["metadata"]["resourceVersion"]},
            "spec": {"schedulingGates": gates or None},
        }
        try:
            await self._client.patch(POD, *key, body, field_manager=FIELD_MANAGER)
        except (Conflict, NotFound):
            return False
        log.info("admitted", pod=str(key))
        return True
