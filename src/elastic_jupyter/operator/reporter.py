"""Writes a status in one patch a pass, and then the Events that belong to it."""

from collections.abc import Iterable, Mapping
from typing import Any

from elastic_jupyter.api.base import Model, Resource
from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import NotFound
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.events import EventRecorder
from elastic_jupyter.kube.kinds import Kind
from elastic_jupyter.operator.children import FIELD_MANAGER
from elastic_jupyter.policy.report import Condition, Event, conditions, merge_patch


class Reporter:
    """Reports on notebooks, gateways, kernel specs and templates."""

    def __init__(self, client: Client, recorder: EventRecorder, clock: Clock) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock

    async def report(
        self,
        kind: Kind,
        obj: Resource,
        before: Model | None,
        said: Iterable[Condition],
        *,
        events: Iterable[Event] = (),
        **fields: Any,
    ) -> None:
        """Make conditions and fields of the status so, which is ``before`` now; None removes.

        ``fields`` have the JSON names. ``events`` are told when that changed anything. Raises
        ``Conflict`` when ``obj`` is not the newest; that it is gone is no error.
        """
        old: Mapping[str, Any] = before.to_dict() if before else {}
        generation = obj.metadata.generation
        new = {
            "observedGeneration": generation,
            **fields,
            "conditions": conditions(
                old.get("conditions") or (), said, now=self._clock.now(), generation=generation
            ),
        }
        status = merge_patch(old, new)
        if not status:
            return
        metadata = obj.metadata
        body = {"metadata": {"resourceVersion": metadata.resource_version}, "status": status}
        try:
            await self._client.patch(
                kind,
                metadata.namespace,
                metadata.name or "",
                body,
                subresource="status",
                field_manager=FIELD_MANAGER,
            )
        except NotFound:
            return
        for event in events:
            await self.tell(obj, event)

    async def tell(self, obj: Resource, event: Event) -> None:
        """Tell an Event of something that the caller saw happen, whatever the status says."""
        await self._recorder.event(
            obj.to_dict(), type=event.type, reason=event.reason, message=event.message
        )
