"""What a user does to widgets whose kernel sleeps: heard, answered, and kept where it can be.

A widget manager sends a widget's next change only after the ``idle`` of the one before, so each is
answered. A change of state is kept, and the kernel gets it when it wakes; a click is not: what it
starts would start long after, and as often as somebody wondered why nothing happens. The touch
itself wakes nothing, since a hand that slips would cost a GPU.

What a page asks when it is loaded is none: which widgets there are only the kernel knows. A widget
manager that is told of none shows an error in their place, for good.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from elastic_jupyter.gateway import messages
from elastic_jupyter.gateway.messages import Asked, Said
from elastic_jupyter.policy import notices

#: Of what is kept for one front end. A slider that is moved replaces its own change before.
MAX_BYTES, MAX_CHANGES = 1 << 20, 1000
#: How long to be silent about further touches, s: a slider sends dozens a second.
QUIET = 5.0
#: What the widget manager asks by itself, on a comm that it opens or knows.
_QUESTIONS = ("request_state", "request_states")


def is_of_comm(asked: Asked) -> bool:
    """Say whether a message is one of a comm."""
    return asked.msg_type in ("comm_open", "comm_msg", "comm_close")


def is_question(asked: Asked, held: Iterable[Asked]) -> bool:
    """Say whether a page asks of comms what the kernel alone can answer, which has some.

    So does what is said on a comm whose opening is among the requests that are ``held`` for it.
    """
    if asked.msg_type in ("comm_open", "comm_info_request"):
        return True
    if not is_of_comm(asked):
        return False
    content = _content(asked)
    return _data(content).get("method") in _QUESTIONS or any(
        one.msg_type == "comm_open" and _content(one).get("comm_id") == content.get("comm_id")
        for one in held
    )


class Touched:
    """The touches of one front end while the kernel sleeps."""

    def __init__(self) -> None:
        self._kept: list[tuple[Asked, str, frozenset[str]]] = []
        self._told_at = float("-inf")

    def __bool__(self) -> bool:
        """Say whether there are changes that the kernel gets."""
        return bool(self._kept)

    def take(self) -> list[Asked]:
        """Return the changes in their order, and forget them."""
        kept, self._kept = self._kept, []
        self._told_at = float("-inf")
        return [asked for asked, *_ in kept]

    def add_older(self, older: "Touched") -> None:
        """Take over what another front end has kept, as if it had come before."""
        before, older._kept = older._kept, []
        replaced = [(comm_id, names) for _, comm_id, names in self._kept]
        self._kept = [
            one
            for one in before
            if not any(comm_id == one[1] and one[2] <= names for comm_id, names in replaced)
        ] + self._kept

    def answer(self, asked: Asked, *, sleeps: bool, now: float) -> Iterator[Said]:
        """Yield what to say to a message of a comm, after having kept what can be.

        ``sleeps``: the widget comes back with its kernel; else it is gone. ``now`` is in seconds.
        """
        content = _content(asked)
        yield messages.BUSY
        if asked.msg_type == "comm_open":  # as a kernel answers that does not know the target
            yield Said("iopub", "comm_close", {"comm_id": content.get("comm_id"), "data": {}})
        elif asked.msg_type == "comm_msg":
            method = _data(content).get("method")
            kept = sleeps and self._keep(asked, content)
            if method not in _QUESTIONS and now - self._told_at >= QUIET:
                self._told_at = now
                yield messages.notice(notices.touched(sleeps=sleeps, kept=kept))
        yield messages.IDLE

    def _keep(self, asked: Asked, content: Mapping[str, Any]) -> bool:
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


def _content(asked: Asked) -> Mapping[str, Any]:
    try:
        content = json.loads(asked.parts[3])
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _data(content: Mapping[str, Any]) -> Mapping[str, Any]:
    data = content.get("data")
    return data if isinstance(data, dict) else {}
