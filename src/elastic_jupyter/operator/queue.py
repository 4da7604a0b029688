"""The queue for accelerators: lifts the scheduling gate of who is next, knows everybody's place.

Keys are classes of pods that compete for the same thing, not objects. Writes nothing but the gates
of kernels' pods, and when it lifted them; the kernels' own reconciler writes the places down. Woken
by every change of a waiting pod and of its kernel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from elastic_jupyter import logs
from elastic_jupyter.api import names
from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import Conflict, Forbidden, Invalid, NotFound, StoreError, Unavailable
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import POD, Key, Object
from elastic_jupyter.operator.children import FIELD_MANAGER
from elastic_jupyter.operator.claims import claim_of, key_of
from elastic_jupyter.policy import queue
from elastic_jupyter.policy.queue import Claim, ClassKey, Place, Refused, Ticket
from elastic_jupyter.runtime.backoff import Backoff
from elastic_jupyter.runtime.controller import DONE, Result

#: Time that the scheduler has to place the first in line before the others are told where they
#: stand: while GPUs are free the line moves several times in as many milliseconds.
_PATIENCE = timedelta(seconds=0.5)

#: Seconds until a gate is lifted again after somebody else wrote to the pod.
_STALE_RETRY = 0.05

#: Of a gate that cannot be lifted: by a policy, or while a webhook is down.
_REFUSED_RETRY = Backoff(base=1.0, ceiling=30.0)

log = logs.get(__name__)


@dataclass(frozen=True)
class _Refusal:
    """``until``: not tried again before, monotonic seconds. ``count``: how often it was tried."""

    told: Refused
    count: int
    until: float


class QueueReconciler:
    """Admits waiting pods one by one. ``wake_kernel`` is told whose place has changed."""

    def __init__(
        self,
        *,
        client: Client,
        kernels: Mapping[Key, Object],
        pods: Mapping[Key, Object],
        wake_kernel: Callable[[Key], None],
        clock: Clock,
    ) -> None:
        self._client = client
        self._kernels = kernels
        self._pods = pods
        self._wake_kernel = wake_kernel
        self._clock = clock
        self._claims: dict[ClassKey, dict[Key, Claim]] = {}
        self._classes: dict[Key, ClassKey] = {}
        self._places: dict[Key, Place | Refused] = {}
        self._refusals: dict[Key, _Refusal] = {}

    def place_of(self, key: Key) -> Place | Refused | None:
        """Return the place of a kernel, None while it has none."""
        return self._places.get(key)

    def changed(self, key: Key) -> list[ClassKey]:
        """Take note of a pod or of its kernel; return the classes that have to be looked at."""
        kernel, pod = self._kernels.get(key), self._pods.get(key)
        claim = claim_of(pod, kernel) if kernel and pod else None
        old_class = self._classes.pop(key, None)
        old = self._claims[old_class].pop(key, None) if old_class else None
        if old_class and not self._claims[old_class]:
            del self._claims[old_class]
        if claim is None:
            self._places.pop(key, None)
            self._refusals.pop(key, None)
        else:
            self._claims.setdefault(claim.wanted, {})[key] = claim
            self._classes[key] = claim.wanted
        if claim == old:
            return []
        return list({one.wanted for one in (old, claim) if one is not None})

    async def reconcile(self, wanted: ClassKey) -> Result:
        """Look at one class once."""
        claims = self._claims.get(wanted, {})
        left_out = self._left_out(claims)
        verdict = queue.decide(
            claims.values(),
            now=self._clock.now(),
            left_out=[claims[key].ticket for key in left_out],
        )
        if verdict.admit is not None:
            return await self._admit(key_of(verdict.admit))
        patience = self._patience_left(claims, verdict.places)
        if patience > 0:
            return Result(patience)
        for key, claim in claims.items():
            refusal = self._refusals[key].told if key in left_out else None
            self._tell(key, verdict.places.get(claim.ticket) or refusal)
        waits = list(left_out.values())
        if verdict.look_again is not None:
            waits.append(verdict.look_again.total_seconds())
        return Result(min(waits)) if waits else DONE

    def _left_out(self, claims: Mapping[Key, Claim]) -> dict[Key, float]:
        """Return whose gate is not lifted now since it was tried, and for how many seconds."""
        now = self._clock.monotonic()
        return {
            key: self._refusals[key].until - now
            for key, claim in claims.items()
            # A gate may have been lifted although the answer was an error, or none.
            if claim.gated and key in self._refusals and self._refusals[key].until > now
        }

    def _patience_left(self, claims: Mapping[Key, Claim], places: Mapping[Ticket, Place]) -> float:
        """Return for how long to wait for the scheduler's first word on the head."""
        if not places:
            return 0.0
        head = claims[key_of(next(iter(places)))]
        if head.admitted_at is None or head.reason:
            return 0.0
        return (head.admitted_at + _PATIENCE - self._clock.now()).total_seconds()

    def _tell(self, key: Key, place: Place | Refused | None) -> None:
        if self._places.get(key) == place:
            return
        if place is None:
            del self._places[key]
        else:
            self._places[key] = place
        self._wake_kernel(key)

    async def _admit(self, key: Key) -> Result:
        """Lift the gate, the only one that is left. Lifting it twice is the same."""
        pod = self._pods.get(key)
        if pod is None:
            return Result(_STALE_RETRY)
        stamp = self._clock.now().isoformat()
        body = {
            "metadata": {
                "resourceVersion": pod["metadata"]["resourceVersion"],
                "annotations": {names.ANNOTATION_ADMITTED_AT: stamp},
            },
            "spec": {"schedulingGates": None},
        }
        try:
            await self._client.patch(POD, *key, body, field_manager=FIELD_MANAGER)
        except (Conflict, NotFound):
            return Result(_STALE_RETRY)
        except (Forbidden, Invalid, Unavailable) as error:
            self._refused(key, error)
            return Result(0.0)  # who is next
        self._refusals.pop(key, None)
        log.info("admitted", pod=str(key))
        # Its pod changes by that, which wakes us; the time is for when the scheduler is silent.
        return Result(_PATIENCE.total_seconds())

    def _refused(self, key: Key, error: StoreError) -> None:
        before = self._refusals.get(key)
        count = before.count + 1 if before else 1
        delay = _REFUSED_RETRY.delay(count - 1)
        text = f"its turn has come, but its scheduling gate cannot be lifted: {error}"
        self._refusals[key] = _Refusal(Refused(text), count, self._clock.monotonic() + delay)
        self._tell(key, self._refusals[key].told)
        log.warning("could not be admitted", pod=str(key), error=error, after=round(delay, 3))
