"""Work in the main thread that somebody else may end: a user's object may take for ever."""

import http.client
import signal
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

#: Seconds between two questions whether a save is still wanted, and for the answer.
EVERY = 1.0


class Interruptible:
    """Work that ends with KeyboardInterrupt at a SIGINT, and at ``interrupt``."""

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._runs = False

    def __call__(self) -> dict[str, Any]:
        """Do the work, in the main thread."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self._runs = True
        try:
            return self._work()
        finally:
            signal.signal(signal.SIGINT, before)
            with self._lock:  # whatever runs next is not meant
                self._runs = False

    def interrupt(self) -> None:
        """End the work, if it is under way; called in another thread."""
        with self._lock:
            if self._runs:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def is_cancelled(url: str, token: str) -> bool:
    """Say whether the gateway has given a save up. One that does not answer has not."""
    parts = urllib.parse.urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=EVERY)
    headers = {"Authorization": f"token {token}"}
    try:
        connection.request("HEAD", parts.path, headers=headers)
        # The next gateway does not know the token.
        return connection.getresponse().status in (http.client.CONFLICT, http.client.FORBIDDEN)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
