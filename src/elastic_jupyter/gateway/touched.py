"""What a user does to widgets whose kernel sleeps: heard, answered, and kept where it can be.

A widget manager sends a widget's next change only after the ``idle`` of the one before, so each is
answered. A change of state is kept, and the kernel gets it when it wakes; a click is not: what it
starts would start long after, and as often as somebody wondered why nothing happens. The touch
itself wakes nothing, since a hand that slips would cost a GPU.

What a page asks when it is loaded is none: which widgets there are only the kernel knows. A widget
manager that is told of none shows an error in their place, for good.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from elastic_jupyter import untrusted_json
from elastic_jupyter.gateway import messages
from elastic_jupyter.gateway.messages import Asked, Said
from elastic_jupyter.policy import notices

#: Of what is kept for one kernel. A slider that is moved replaces its own change before.
MAX_BYTES, MAX_CHANGES = 1 << 20, 1000
#: How long to be silent about further touches, s: a slider sends dozens a second.
QUIET = 5.0
#: What the widget manager asks by itself, on a comm that it opens or knows.
_QUESTIONS = ("request_state", "request_states")


def is_of_comm(asked: Asked) -> bool:
    """Say whether a message is one of a comm."""
    return asked.msg_type in ("comm_open", "comm_msg", "comm_close")


def opened(held: Iterable[Asked]) -> frozenset[str]:
    """Return the ids of the comms that are to be opened by requests that are held for a kernel."""
    return frozenset(
        str(_content(asked).get("comm_id")) for asked in held if asked.msg_type == "comm_open"
    )


def is_question(asked: Asked, comms: Collection[str]) -> bool:
    """Say whether a page asks of comms what the kernel alone can answer, which has some.

    So does whatever is said on one of ``comms``, whose opening is held for the kernel.
    """
    if asked.msg_type in ("comm_open", "comm_info_request"):
        return True
    if not is_of_comm(asked):
        return False
    content = _content(asked)
    return _data(content).get("method") in _QUESTIONS or str(content.get("comm_id")) in comms


class Touched:
    """What was done to the widgets of one kernel while it sleeps, in all front ends."""

    def __init__(self) -> None:
        self._kept: list[tuple[Asked, str, frozenset[str]]] = []

    def __bool__(self) -> bool:
        """Say whether there are changes that the kernel gets."""
        return bool(self._kept)

    def take(self) -> list[Asked]:
        """Return the changes in their order, and forget them."""
        kept, self._kept = self._kept, []
        return [asked for asked, *_ in kept]

    def keep(self, asked: Asked) -> bool:
        """Keep a change of a widget's state; say whether it is one, and there is room."""
        content = _content(asked)
        data = _data(content)
        state = data.get("state")
        if data.get("method") != "update" or not isinstance(state, dict):
            return False
        comm_id, names = str(content.get("comm_id")), frozenset(state)
        others = [one for one in self._kept if not (one[1] == comm_id and one[2] <= names)]
        size = sum(len(part) for one in [asked, *(o[0] for o in others)] for part in one.parts)
        if size > MAX_BYTES or len(others) >= MAX_CHANGES:
            return False
        self._kept = [*others, (asked, comm_id, names)]
        return True


class Answers:
    """What one front end is told of its touches."""

    def __init__(self) -> None:
        self._told_at = float("-inf")

    def to(self, asked: Asked, *, sleeps: bool, kept: bool, now: float) -> Iterator[Said]:
        """Yield what to say to a message of a comm.

        ``sleeps``: the widget comes back with its kernel, else it is gone; ``kept``: with the
        change. ``now`` is in seconds.
        """
        yield messages.BUSY
        if asked.msg_type == "comm_open":  # as a kernel answers that does not know the target
            yield Said(
                "iopub", "comm_close", {"comm_id": _content(asked).get("comm_id"), "data": {}}
            )
        elif asked.msg_type == "comm_msg":
            asks = _data(_content(asked)).get("method") in _QUESTIONS
            if not asks and now - self._told_at >= QUIET:
                self._told_at = now
                yield messages.notice(notices.touched(sleeps=sleeps, kept=kept))
        yield messages.IDLE


def _content(asked: Asked) -> Mapping[str, Any]:
    try:
        with untrusted_json.reading():
            content = json.loads(asked.parts[3])
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _data(content: Mapping[str, Any]) -> Mapping[str, Any]:
    data = content.get("data")
    return data if isinstance(data, dict) else {}
