"""Finding again, when the notebook server starts, the kernels and sessions that it had before."""

import asyncio
import json
from logging import Logger
from typing import Any

from jupyter_server.gateway.gateway_client import GatewayClient, gateway_request
from jupyter_server.utils import url_path_join
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError

from elastic_jupyter.notebook.backoff import Backoff
from elastic_jupyter.notebook.kernels import ElasticMappingKernelManager
from elastic_jupyter.notebook.sessions import ElasticSessionManager


async def adopt(
    kernels: ElasticMappingKernelManager, sessions: ElasticSessionManager, *, log: Logger
) -> None:
    """Take over what the gateway keeps for this notebook; returns when that is known.

    One that knows nothing of notebooks (any but ours) answers 404 and has nothing to adopt. After
    anything else that is no answer it is asked again, for as long as it takes: meanwhile the
    server's own 503 says why.
    """
    pauses, told = Backoff(), ""
    while True:
        try:
            await _adopt_once(kernels, sessions, log=log)
        except Exception as error:  # whatever it was, the gateway may be another one next time
            why = _why(error)
            kernels.not_yet(why)
            if why != told:
                log.warning(
                    "The notebook's kernels cannot be read from the gateway yet: %s",
                    why,
                    exc_info=not isinstance(error, HTTPError),
                )
            told = why
        else:
            return
        await asyncio.sleep(pauses.next())


async def _adopt_once(
    kernels: ElasticMappingKernelManager, sessions: ElasticSessionManager, *, log: Logger
) -> None:
    found = await _ask()
    if found is not None:
        await kernels.adopt(found["kernels"])
        sessions.adopt(found["sessions"])
        log.info(
            "The gateway has %d kernels and %d sessions of this notebook",
            *(len(found[part]) for part in ("kernels", "sessions")),
        )
    kernels.serve()


async def _ask() -> dict[str, Any] | None:
    """Return the gateway's ``kernels`` and ``sessions`` of this notebook; None: it is not ours."""
    url = url_path_join(GatewayClient.instance().url or "", "/api/notebook")
    try:
        answer = await gateway_request(url, method="GET")
    except HTTPError as error:
        if error.status_code == 404:
            return None
        raise
    found: dict[str, Any] = json.loads(answer.body)
    return found


def _why(error: Exception) -> str:
    """Return what went wrong, in the gateway's own words where it answered with some.

    Upstream's text around them speaks of a wrong URL, whatever the gateway said.
    """
    if not isinstance(error, HTTPError):
        return f"its answer is of no use ({error!r})"
    cause = error.__cause__
    if not isinstance(cause, HTTPClientError):
        return str(error)
    return f"HTTP {cause.code}: {_sentence(cause)}"


def _sentence(error: HTTPClientError) -> str:
    """Return ``message`` of an error's JSON body, else the reason in its status line."""
    try:
        body = json.loads(error.response.body) if error.response else None
    except ValueError:
        body = None
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error.message)
