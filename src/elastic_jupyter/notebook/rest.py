"""REST calls to a gateway that is away for a moment.

Upstream (jupyter_server 2.21.1, ``gateway_client.RetryableHTTPClient``) asks three times within
0.3 s, and a POST once. ``gateway_request`` makes one for each call, and has no trait for it.
"""

import asyncio
import errno
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.gateway.gateway_client import RetryableHTTPClient
from tornado.httpclient import HTTPClientError, HTTPResponse
from tornado.simple_httpclient import HTTPTimeoutError

from elastic_jupyter.notebook.backoff import Backoff

#: HTTP status codes of a gateway that is not there or not ready; 599 is tornado's for no answer.
TRANSIENT = frozenset({502, 503, 504, 599})
#: Seconds to wait for a TCP connection. Within a cluster it takes less than a millisecond or fails.
#: But for a moment after a pod has gone its Service leads to an address where nobody answers: 38 s
#: were measured until "No route to host", while a second attempt succeeded at once.
CONNECT_TIMEOUT = 3.0
#: Seconds in which a call is repeated. JupyterLab's own calls have no limit; people have one.
PATIENCE = 30.0


class PatientHTTPClient(RetryableHTTPClient):
    """Overrides ``fetch`` (jupyter_server 2.21.1) without ``super()``."""

    #: Seconds.
    patience = PATIENCE

    async def fetch(self, endpoint: str, **kwargs: Any) -> HTTPResponse:
        """Fetch ``endpoint``, again where ``may_repeat`` allows it.

        Raises ``HTTPClientError`` for an HTTP error and ``ConnectionError`` for one of the network:
        upstream turns the latter into 503, but a failed name look-up into 404, which reads as a
        kernel that is gone, and others into 500.
        """
        kwargs["connect_timeout"] = CONNECT_TIMEOUT
        now = asyncio.get_running_loop().time
        give_up_at = now() + self.patience
        pauses = Backoff()
        while True:
            try:
                return await self.client.fetch(endpoint, **kwargs)
            except (HTTPClientError, OSError) as error:
                pause = pauses.next()
                method = str(kwargs.get("method", "GET"))
                repeat = may_repeat(method, endpoint, error)
                if not repeat or now() + pause > give_up_at:
                    if isinstance(error, HTTPClientError | ConnectionError | ssl.SSLError):
                        raise
                    raise ConnectionError(str(error)) from error
            await asyncio.sleep(pause)


def may_repeat(method: str, endpoint: str, error: Exception) -> bool:
    """Return whether a call that failed with ``error`` can be made again without being doubled.

    A kernel must not be started or restarted twice, so such a POST is repeated only when it did not
    arrive (connection refused or not made in time, name not found) or the gateway says that it is
    to come later (503 with Retry-After, which our gateway answers before it has done anything).
    """
    if isinstance(error, ssl.SSLError):
        return False
    idempotent = method in ("GET", "PUT", "DELETE") or urlsplit(endpoint).path.endswith(
        "/interrupt"
    )
    if isinstance(error, HTTPClientError):
        if idempotent or _not_sent(error):
            return error.code in TRANSIENT
        answer = error.response
        return error.code == 503 and answer is not None and "Retry-After" in answer.headers
    return idempotent or _not_sent(error)


def _not_sent(error: Exception) -> bool:
    if isinstance(error, HTTPTimeoutError):
        return "connecting" in str(error.message)  # tornado 6.5: "Timeout while connecting"
    unreachable = isinstance(error, OSError) and error.errno in (
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    )
    return unreachable or isinstance(error, ConnectionRefusedError | socket.gaierror)
