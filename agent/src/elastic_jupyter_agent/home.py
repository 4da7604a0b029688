"""The call that tells the gateway where its kernel is.

The pod's status has the address about half a second after this process starts, and the kernel can
be reached before that. A document in JSON says whom to tell: ``url``, ``token`` and ``epoch`` of
this incarnation. Without it, or without an answer, nothing happens: the gateway learns the address
from the status, as it does of other images.

HTTP is written by hand: ``http.client`` would import for longer than the whole call takes.
"""

import contextlib
import json
import socket
import threading
import time
from typing import Any

#: Seconds after which the call is given up; by then the status has the address.
PATIENCE = 10.0
#: Seconds for one attempt, and the pauses between two: from the first, doubling to the longest.
TIMEOUT = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


def call_in_background(document: str) -> None:
    """Call from a thread that ends with the call. Returns at once and never raises.

    ``document`` says whom to tell (see above); empty: nobody.
    """
    with contextlib.suppress(Exception):
        caller = threading.Thread(
            target=_call_quietly,
            args=(document,),
            name="elastic-jupyter-call-home",
            daemon=True,  # an answer that does not come keeps no kernel from ending
        )
        caller.start()


def _call_quietly(document: str) -> None:
    with contextlib.suppress(Exception):
        home = json.loads(document)
        call(home["url"], token=home["token"], epoch=home["epoch"])


def call(url: str, *, token: str, epoch: int) -> bool:
    """Tell the gateway until it has heard or the patience ends; return whether it agreed.

    An answer is final, a gateway that is away or not ready (5xx) is asked again. Blocks.
    """
    deadline = time.monotonic() + PATIENCE
    pause = FIRST_PAUSE
    while True:
        try:
            status = _post(url, token, epoch)
        except (OSError, ValueError):
            status = 503
        if status < 500:
            return status == 204
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _post(url: str, token: str, epoch: int) -> int:
    """Make one call and return the status of the answer.

    The address is the one that the call comes from. Raises ``OSError`` or ``ValueError``.
    """
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, port = authority.partition(":")
    # As bytes, since a str would have the codec for international names imported.
    place: tuple[Any, int] = (host.encode(), int(port))
    with socket.create_connection(place, TIMEOUT) as connection:
        body = json.dumps({"address": connection.getsockname()[0], "epoch": epoch})
        head = (
            f"POST /{path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: token {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        connection.sendall((head + body).encode())
        with connection.makefile("rb") as answer:
            _, _, rest = answer.readline().partition(b" ")
        return int(rest[:3])
