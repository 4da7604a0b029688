"""Tells on the object itself of a pass that failed for a fault of ours.

What the API server or a person can be asked to mend, the reconcilers tell. Of anything else only
the operator's log would know, and the object would stand still without a word.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import ElasticJupyterError, StoreError
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import Key, Kind, Object
from elastic_jupyter.operator.children import FIELD_MANAGER
from elastic_jupyter.policy.report import Condition, conditions
from elastic_jupyter.runtime.controller import Result

#: Seconds between two words on one object: each write wakes it, whatever its backoff is, and a pass
#: that first reports and then fails takes the condition away every time.
_PAUSE = 60.0

Pass = Callable[[Key], Awaitable[Result]]


class SafetyNet:
    """Wraps the passes of all kinds that have a status."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._told: dict[tuple[Kind, Key], float] = {}

    def under(self, kind: Kind, cache: Mapping[Key, Object], reconcile: Pass) -> Pass:
        """Return ``reconcile`` for objects of this kind; what it raises goes on to the caller.

        An unexpected error becomes the condition ``Reconciled``, which the next report of a pass
        that comes through leaves out again.
        """

        async def caught(key: Key) -> Result:
            try:
                result = await reconcile(key)
            except ElasticJupyterError:
                raise
            except Exception as error:
                await self._tell(kind, key, cache.get(key), error)
                raise
            self._told.pop((kind, key), None)
            return result

        return caught

    async def _tell(self, kind: Kind, key: Key, obj: Object | None, error: Exception) -> None:
        now, last = self._clock.monotonic(), self._told.get((kind, key))
        if obj is None or (last is not None and now - last < _PAUSE):
            return
        self._told[kind, key] = now
        text = (
            f"a fault of the operator ({type(error).__name__}) keeps it from looking after this "
            "object; it is tried again, and the operator's log has the whole error"
        )
        said = Condition("Reconciled", False, "InternalError", text)
        metadata, old = obj["metadata"], (obj.get("status") or {}).get("conditions") or []
        [condition] = conditions(
            old, [said], now=self._clock.now(), generation=metadata.get("generation")
        )
        if condition in old:
            return
        others = [one for one in old if one["type"] != said.type]
        body = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "status": {"conditions": [*others, condition]},
        }
        with contextlib.suppress(StoreError):  # the log has the error in any case
            await self._client.patch(
                kind, *key, body, subresource="status", field_manager=FIELD_MANAGER
            )
