"""Building a status: conditions that remember when they changed, and the patch to write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from elastic_jupyter.api.base import MAX_MESSAGE, Model
from elastic_jupyter.policy.images import Choice

#: A dict of the API's JSON.
Object: TypeAlias = dict[str, Any]

READY = "Ready"
AVAILABLE = "Available"
IMAGE_REPLACED = "ImageReplaced"


@dataclass(frozen=True)
class Condition:
    """What is to be said of an object now. ``status`` None stands for Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Event:
    """What to tell a person who looks at an object with ``kubectl describe``."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def conditions(
    old: Iterable[Object], wanted: Iterable[Condition], *, now: datetime, generation: int | None
) -> list[Object]:
    """Return the API's JSON of ``wanted``; times of what did not change are taken from ``old``."""
    before = {condition["type"]: condition for condition in old}
    return [_condition(before.get(one.type), one, now=now, generation=generation) for one in wanted]


def _condition(
    old: Object | None, wanted: Condition, *, now: datetime, generation: int | None
) -> Object:
    status = "Unknown" if wanted.status is None else str(wanted.status)
    new: Object = {
        "type": wanted.type,
        "status": status,
        "reason": wanted.reason[:1024],
        "message": wanted.message[:MAX_MESSAGE],
    }
    if generation is not None:
        new["observedGeneration"] = generation
    stamp = timestamp(now)
    if old is None or old.get("status") != status:
        return new | {"lastUpdateTime": stamp, "lastTransitionTime": stamp}
    transition = old.get("lastTransitionTime") or stamp
    if {key: old.get(key) for key in new} == new:
        return new | {
            "lastUpdateTime": old.get("lastUpdateTime") or stamp,
            "lastTransitionTime": transition,
        }
    return new | {"lastUpdateTime": stamp, "lastTransitionTime": transition}


def knows(status: Model | None, kind: str) -> bool:
    """Say whether a status has a condition of this type already."""
    said = status.to_dict().get("conditions") if status else None
    return any(condition["type"] == kind for condition in said or ())


def image_replaced(choice: Choice) -> Condition:
    """Return the condition, and the Event, that tells which image runs."""
    text = f"{choice.replaced} is an image of the original; {choice.image} runs in its place"
    return Condition(IMAGE_REPLACED, True, "OriginalImage", text)


def new_replacements(said: Iterable[Condition], status: Model | None) -> list[Event]:
    """Return an Event for an image's replacement that ``status`` does not tell of yet."""
    return [
        Event("Warning", one.type, one.message)
        for one in said
        if one.type == IMAGE_REPLACED and not knows(status, one.type)
    ]


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """Return the JSON merge patch that turns ``old`` into ``new``; empty: nothing changes.

    Only keys of ``new`` are touched, and a None in it removes the key.
    """
    patch: Object = {}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping):
            inner = merge_patch(before if isinstance(before, Mapping) else {}, value)
            if inner or before is None:
                patch[key] = inner
        elif value != before:
            patch[key] = value
    return patch


def moment(text: str) -> datetime:
    """Return the moment that a time in ISO 8601 names. Raises ``ValueError`` without a zone."""
    named = datetime.fromisoformat(text)
    if named.tzinfo is None:
        raise ValueError(f"{text} is in no time zone")
    return named


def timestamp(moment: datetime) -> str:
    """Return aware UTC as Kubernetes writes it, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(moment: datetime) -> str:
    """Return aware UTC in microseconds, which it always has: some parsers fail without them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
