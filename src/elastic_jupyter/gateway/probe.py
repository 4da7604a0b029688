"""What the gateway itself asks a kernel, over sockets of its own beside those of front ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from elastic_jupyter.gateway.connection import new_session
from elastic_jupyter.gateway.iopub import IOPub
from elastic_jupyter.runtime.backoff import Backoff

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: ZMQ's pause between two attempts to connect to a pod whose kernel does not listen yet, ms.
RECONNECT = 5
#: How long it may take to answer before it is asked again, s. What computes has to answer each.
ASK_AGAIN = Backoff(base=1.0, ceiling=60.0)


class Greeting(NamedTuple):
    """The first answer of a kernel, a ``kernel_info_reply``, and the channel on which it came."""

    channel: str
    reply: dict[str, Any]


class Probe:
    """The questions to whatever the kernel manager is connected to; each waits without a limit."""

    def __init__(self, manager: ElasticKernelManager) -> None:
        self._manager = manager

    @contextlib.contextmanager
    def socket(self, channel: str) -> Iterator[tuple[zmq.asyncio.Socket, Session]]:
        """Connect to a channel for the length of the block; the session signs what is sent."""
        manager = self._manager
        socket = manager.mapping.probes.socket(zmq.DEALER)
        socket.linger = 0
        socket.reconnect_ivl = RECONNECT
        socket.connect(manager._make_url(channel))
        try:
            yield socket, new_session(manager.session.key)
        finally:
            socket.close()

    async def greet(self, *channels: str) -> Greeting:
        """Return the kernel's first answer on one of the channels, however late it comes."""
        asked = {asyncio.ensure_future(self._greet(channel)): channel for channel in channels}
        try:
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            first = next(one for one in asked if one in done)
            return Greeting(asked[first], first.result())
        finally:
            for one in asked:
                one.cancel()
            await asyncio.wait(asked)

    async def _greet(self, channel: str) -> dict[str, Any]:
        with self.socket(channel) as (socket, session):
            attempt = 0
            while True:
                session.send(socket, "kernel_info_request")
                with contextlib.suppress(TimeoutError):
                    patience = ASK_AGAIN.delay(attempt)
                    frames = await asyncio.wait_for(socket.recv_multipart(), patience)
                    _, parts = session.feed_identities(frames)
                    reply: dict[str, Any] = session.deserialize(parts)
                    return reply
                attempt += 1

    async def subscribe(self, iopub: IOPub, *, channel: str) -> None:
        """Return when output arrives; asks on a channel on which the kernel answers."""
        with self.socket(channel) as (socket, session):
            for _ in range(100):
                try:
                    async with asyncio.timeout(0.05):
                        await iopub.subscribed()
                        return
                except TimeoutError:
                    session.send(socket, "kernel_info_request")
        manager = self._manager
        manager.log.warning("kernel %s: no message on iopub within 5 s", manager.kernel_id)

    async def subshells(self) -> None:
        """Learn which subshells there are in a kernel that ran before."""
        manager = self._manager
        with self.socket("control") as (socket, session):
            await manager.subshells.learn(socket, session, manager.kernel_info)

    async def idle(self) -> None:
        """Return when no cell runs: only then the shell channel is answered."""
        with self.socket("shell") as (socket, session):
            session.send(socket, "kernel_info_request")
            await socket.recv_multipart()
