"""The last output of a kernel, kept for a front end that was away."""

from collections import deque
from typing import NamedTuple


class Kept(NamedTuple):
    """One iopub message: its id and its parts as ``messages.Asked`` has them."""

    msg_id: str
    parts: list[bytes]
    size: int


#: Bytes kept while every front end is there: what may be on its way to one that has just vanished.
ATTACHED = 256 << 10
#: Bytes kept for a front end that is away.
AWAITED = 8 << 20


class Ring:
    """The newest messages up to ``max_bytes``, numbered from 0 in the order of their arrival."""

    def __init__(self, *, max_bytes: int = AWAITED, max_messages: int = 20_000) -> None:
        self._kept: deque[Kept] = deque()
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._bytes = 0
        self.next = 0

    @property
    def first(self) -> int:
        """The number of the oldest message that is still kept."""
        return self.next - len(self._kept)

    def append(self, msg_id: str, parts: list[bytes]) -> None:
        """Keep one more message, dropping the oldest beyond the limits."""
        size = sum(len(part) for part in parts)
        self._kept.append(Kept(msg_id, parts, size))
        self._bytes += size
        self.next += 1
        self._drop()

    def limit(self, max_bytes: int) -> None:
        """Keep up to this much from now on; what is beyond it goes."""
        self._max_bytes = max_bytes
        self._drop()

    def _drop(self) -> None:
        while self._kept and (
            self._bytes > self._max_bytes or len(self._kept) > self._max_messages
        ):
            self._bytes -= self._kept.popleft().size

    def since(self, number: int) -> tuple[list[Kept], bool]:
        """Return the messages from ``number`` on, and whether none of them was dropped."""
        skip = max(0, number - self.first)
        return list(self._kept)[skip:], number >= self.first

    def after(self, msg_id: str) -> list[Kept] | None:
        """Return the messages that came after ``msg_id``, or None when it is not kept."""
        for index in range(len(self._kept) - 1, -1, -1):
            if self._kept[index].msg_id == msg_id:
                return list(self._kept)[index + 1 :]
        return None
