"""What the browser sent while the gateway was away, in order and bounded."""

from collections import deque
from collections.abc import Callable


class Held:
    """Frames that wait; at most ``max_count`` of them and ``max_bytes`` in all."""

    def __init__(self, *, max_count: int = 1000, max_bytes: int = 64 << 20) -> None:
        self._frames: deque[str | bytes] = deque()
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: str | bytes) -> bool:
        """Keep ``frame`` after the others; False when there is no room for it."""
        # Text is counted in characters: close enough for a limit, and it costs no encoding.
        if len(self) >= self._max_count or self._bytes + len(frame) > self._max_bytes:
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        return True

    def first(self) -> str | bytes:
        """Return the oldest frame, which stays. Raises ``IndexError`` when there is none."""
        return self._frames[0]

    def take(self, wanted: Callable[[str | bytes], bool]) -> list[str | bytes]:
        """Take the frames out that are ``wanted``, oldest first; the others stay."""
        taken = []
        for _ in range(len(self)):
            frame = self.pop()
            if wanted(frame):
                taken.append(frame)
            else:
                self.add(frame)
        return taken

    def pop(self) -> str | bytes:
        """Take the oldest frame out. Raises ``IndexError`` when there is none."""
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame
