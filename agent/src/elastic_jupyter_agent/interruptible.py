"""A save in the main thread, where cells run: how it ends early, and what follows it."""

import http.client
import signal
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from elastic_jupyter_agent.transfer import connection_to

#: Seconds between two questions whether a save is still wanted, and for the answer: a user's object
#: may take for ever to be pickled.
EVERY = 1.0
#: Seconds between two questions what became of a save, and until a gateway is missed that does not
#: answer: nothing that it began to write is under way any more by then.
LOOK, MISSED = 0.05, 8.0


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
            with self._lock:  # whatever runs next is not meant
                self._runs = False
            signal.signal(signal.SIGINT, before)

    def interrupt(self) -> None:
        """End the work, if it is under way; called in another thread."""
        with self._lock:
            if self._runs:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class Question:
    """What its gateway says of a save, asked again and again."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._heard = time.monotonic()

    def is_cancelled(self) -> bool:
        """Say whether nobody wants the save any more: it was given up, or its gateway is gone."""
        # The next gateway does not know the token.
        return self._ask() in (http.client.CONFLICT, http.client.FORBIDDEN) or self._is_missed()

    def hold(self) -> None:
        """Return when cells may run again after a save: it was given up, or its gateway is gone.

        Until it knows that the snapshot is named nothing may run, whoever sent it: that would be in
        no snapshot. Raises ``SystemExit`` then.
        """
        while not self._is_missed():
            status = self._ask()
            if status == http.client.GONE:
                raise SystemExit(0)
            if 0 < status < 500 and status != http.client.OK:
                return
            time.sleep(LOOK)

    def _ask(self) -> int:
        status = _answer(self._url, self._token)
        if 0 < status < 500:
            self._heard = time.monotonic()
        return status

    def _is_missed(self) -> bool:
        return time.monotonic() > self._heard + MISSED


def _answer(url: str, token: str) -> int:
    """Return 200 while the save is wanted, 409 when not any more, 410 when it is named, 0: none."""
    parts = urllib.parse.urlsplit(url)
    connection = connection_to(parts, timeout=EVERY)
    headers = {"Authorization": f"token {token}"}
    try:
        connection.request("HEAD", parts.path, headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
