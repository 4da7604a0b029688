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


class FirstAnswer(NamedTuple):
    """The first answer of a kernel, a ``kernel_info_reply``, and the channel on which it came."""

    channel: str
    reply: dict[str, Any]


class Probe:
    """Asks the kernel whose address its manager has; without a limit of time unless said."""

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

    async def first_answer(self, *channels: str) -> FirstAnswer:
        """Return the kernel's first answer on one of the channels, however late it comes."""
        asked = {
            asyncio.ensure_future(self._ask_for_info(channel)): channel for channel in channels
        }
        try:
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            first = next(one for one in asked if one in done)
            return FirstAnswer(asked[first], first.result())
        finally:
            for one in asked:
                one.cancel()
            await asyncio.wait(asked)

    async def _ask_for_info(self, channel: str) -> dict[str, Any]:
        """Ask again and again: what was sent to a pod that came and went is lost."""
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
        """Return when output arrives, or with a warning after 5 s.

        Asks on a channel on which the kernel answers.
        """
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

    async def learn_subshells(self) -> None:
        """Learn which subshells there are in a kernel that ran before."""
        manager = self._manager
        with self.socket("control") as (socket, session):
            await manager.subshells.learn(socket, session, manager.kernel_info)

    async def wait_until_idle(self) -> None:
        """Return when no cell runs: only then the shell channel is answered."""
        with self.socket("shell") as (socket, session):
            session.send(socket, "kernel_info_request")
            await socket.recv_multipart()
