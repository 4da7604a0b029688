"""Finding again, when the notebook server starts, the kernels and sessions that it had before."""

import asyncio
import json
from logging import Logger
from typing import Any

from jupyter_server.gateway.gateway_client import GatewayClient, gateway_request
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError

from elastic_jupyter.notebook.backoff import Backoff
from elastic_jupyter.notebook.kernels import ElasticMappingKernelManager
from elastic_jupyter.notebook.sessions import ElasticSessionManager


async def adopt(
    kernels: ElasticMappingKernelManager, sessions: ElasticSessionManager, *, log: Logger
) -> None:
    """Take over what the gateway keeps for this notebook; returns when that is known.

    While the gateway does not answer it is asked again. One that knows nothing of notebooks (any
    but ours) has nothing to adopt.
    """
    found = await _ask(log)
    if found is not None:
        await kernels.adopt(found["kernels"])
        sessions.adopt(found["sessions"])
        log.info(
            "The gateway has %d kernels and %d sessions of this notebook",
            *(len(found[part]) for part in ("kernels", "sessions")),
        )
    kernels.serve()


async def _ask(log: Logger) -> dict[str, Any] | None:
    url = url_path_join(GatewayClient.instance().url or "", "/api/notebook")
    pauses = Backoff()
    while True:
        try:
            answer = await gateway_request(url, method="GET")
            found: dict[str, Any] = json.loads(answer.body)
            return found
        except ValueError:
            return None  # a page of somebody else's
        except HTTPError as error:
            if error.status_code == 404:
                return None
            log.warning("The notebook's kernels cannot be read from the gateway yet: %s", error)
        await asyncio.sleep(pauses.next())
