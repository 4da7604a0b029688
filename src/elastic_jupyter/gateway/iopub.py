"""One subscription to a kernel's iopub channel, shared by all websockets of the kernel.

It is made before the first request is let through, so nobody has to find out for himself whether
his own subscription is there yet, and it is what the kernel's activity is read from.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

from elastic_jupyter.gateway import agent
from elastic_jupyter.gateway.replay import Ring


class Listener(Protocol):
    """A websocket that wants the kernel's output."""

    def on_iopub(self, parts: list[bytes]) -> None:
        """Take one message: header, parent header, metadata, content (JSON bytes), buffers."""


class IOPub:
    """The subscription of one incarnation of a kernel.

    ``observe`` gets header, parent header and raw content of every message. Messages with a wrong
    signature are dropped: another tenant's pod may have taken over the address.
    """

    def __init__(
        self,
        stream: ZMQStream,
        *,
        key: bytes,
        observe: Callable[[dict[str, Any], dict[str, Any], bytes], None],
    ) -> None:
        self.ring = Ring()
        self.listeners: set[Listener] = set()
        # 1,024 signatures are enough against a replay; the default, 65,536, is 6 MB a kernel.
        self._session = Session(key=key, digest_history_size=1024)
        self._observe = observe
        self._subscribed = asyncio.Event()
        self._stream = stream
        stream.on_recv(self._on_message)

    async def subscribed(self) -> None:
        """Return when the first message came, which proves the subscription."""
        await self._subscribed.wait()

    def close(self) -> None:
        """Stop listening; what was kept stays readable."""
        if not self._stream.closed():
            self._stream.on_recv(None)
            self._stream.close()

    def of_comms(self, number: int) -> list[list[bytes]]:
        """Return what was said of comms from the ``number``-th message on, as in ``Listener``."""
        kept, _ = self.ring.since(number)
        return [one.parts for one in kept if b'"comm_' in one.parts[0]]

    def _on_message(self, frames: list[bytes]) -> None:
        self._subscribed.set()
        try:
            _, parts = self._session.feed_identities(frames)
            message = self._session.deserialize(parts, content=False)
        except (ValueError, TypeError, KeyError):
            return
        header, parent = message["header"], message["parent_header"]
        if header["msg_type"] == "iopub_welcome" or agent.is_ours(parent):
            return
        self._observe(header, parent, message["content"])
        body = cast(
            "list[bytes]", parts[1:]
        )  # without the signature, which websockets do not carry
        self.ring.append(header["msg_id"], body)
        for listener in list(self.listeners):
            listener.on_iopub(body)
