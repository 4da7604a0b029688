"""Lets the agent of a kernel in that saves or restores, as ``Transfers`` allows.

``GET /api/kernels/<kernel_id>/snapshot`` with ``Upgrade: elastic-jupyter-snapshot`` is answered
with 101, and the connection goes on in a thread of its own (``blob_connection``): gigabytes do not
pass through the event loop, which has the cells of all users to carry. Anything else is refused
with a JSON object whose ``message`` is a sentence for the user: 403 a wrong token, 409 it ended,
503 it has connections enough.
"""

import json
from functools import partial
from typing import Any, cast

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.services.kernels.handlers import _kernel_id_regex
from tornado import web

from elastic_jupyter.errors import ElasticJupyterError
from elastic_jupyter.gateway import blob_connection
from elastic_jupyter.gateway.transfers import Saving, Transfer, Transfers

#: Where a gateway that keeps snapshots has its ``Transfers`` among the application's settings.
SETTING = "elastic_jupyter_transfers"
PROTOCOL = "elastic-jupyter-snapshot"


class SnapshotHandler(web.RequestHandler):
    """The door to a thread that takes or gives a kernel's variables."""

    def check_xsrf_cookie(self) -> None:
        """Do nothing: no browser calls here, and no cookie counts."""

    @allow_unauthenticated
    async def head(self, kernel_id: str) -> None:
        """Say what the agent is to do: 200 go on, 410 end, since the kernel sleeps; 403, 409."""
        transfer, _ = self._find(kernel_id)
        if isinstance(transfer, Saving) and transfer.named:
            self.set_status(410)
        else:
            transfer.require_open()

    @allow_unauthenticated
    async def get(self, kernel_id: str) -> None:
        """Hand the connection over. 403, 409, 503, and 426 without the header."""
        transfer, transfers = self._find(kernel_id)
        transfer.require_open()
        transfer.require_place()
        if self.request.headers.get("Upgrade") != PROTOCOL:
            raise web.HTTPError(426, f"a header is missing: Upgrade: {PROTOCOL}")
        await self._hand_over(transfer, transfers)

    def _find(self, kernel_id: str) -> tuple[Transfer, Transfers]:
        transfers = cast("Transfers | None", self.settings.get(SETTING))
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        transfer = transfers and transfers.find(kernel_id, token)
        if transfers is None or not transfer:
            raise web.HTTPError(403, "the token is of no save or restore of this kernel")
        return transfer, transfers

    async def _hand_over(self, transfer: Transfer, transfers: Transfers) -> None:
        self.set_status(101)
        self.set_header("Upgrade", PROTOCOL)
        self.set_header("Connection", "Upgrade")
        told = self.finish()
        stream = cast("Any", self.detach())
        await told
        # The other side says nothing before it is told, so nothing of it is in the stream.
        connection = stream.socket.dup()
        stream.close()
        transfer.serve(connection, partial(blob_connection.answer, transfer, transfers.store))

    def log_exception(self, *error: Any) -> None:
        """Log what is a fault of ours, and not what the caller is told in a sentence."""
        if not isinstance(error[1], ElasticJupyterError):
            super().log_exception(*error)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say in JSON what happened: ``message``, and ``reason`` as in the errors' classes."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        said = {"message": "the gateway failed", "reason": "InternalError"}
        if isinstance(error, ElasticJupyterError):
            self.set_status(error.http_status)
            said = {"message": str(error), "reason": error.reason}
        elif isinstance(error, web.HTTPError):
            said = {"message": error.log_message or self._reason, "reason": self._reason}
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(said))


default_handlers = [(rf"/api/kernels/{_kernel_id_regex}/snapshot", SnapshotHandler)]
