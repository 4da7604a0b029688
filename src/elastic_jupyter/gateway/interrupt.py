"""The interrupt of a cell, which a kernel may not listen to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from elastic_jupyter.api import names
from elastic_jupyter.errors import StoreError
from elastic_jupyter.gateway.provisioner import now_stamp
from elastic_jupyter.policy import notices

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: How long a kernel may take to answer before it is to get a signal, s.
SIGNAL_AFTER = 1.0
#: How long it may take after that before its cell says that it did not answer, s.
PATIENCE = 2.0
#: How long an interrupt stays on its way to a kernel that does not answer, s.
LIFE = 60.0


async def interrupt(manager: ElasticKernelManager, *, uid: str | None) -> None:
    """Ask a kernel to end its cell, and tell the user when it does not listen.

    A kernel that waits for a signal (R's IRkernel) reads its control channel after the cell only.
    We send none: it may be in another pod. A reconciler that can is asked for it, on the object
    ``uid``.
    """
    iopub = manager.iopub
    with manager.probe.socket("control") as (socket, session):
        session.send(socket, "interrupt_request")
        reply = asyncio.ensure_future(socket.recv_multipart())
        await asyncio.wait((reply,), timeout=SIGNAL_AFTER)
        if not reply.done() and uid is not None:
            stamp = {names.ANNOTATION_INTERRUPTED_AT: now_stamp()}
            with contextlib.suppress(StoreError):  # the cell says that it was not heard
                await manager.store.annotate(manager.key, stamp, uid=uid)
            await asyncio.wait((reply,), timeout=PATIENCE)
        # Still the same incarnation, and at it.
        if not reply.done() and manager.iopub is iopub and manager.busy:
            for connection in list(manager.connections):
                connection.warn(notices.INTERRUPT_UNHEARD)
        # One that is merely slow gets it yet, while its socket is open.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reply, LIFE)
