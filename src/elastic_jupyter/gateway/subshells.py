"""The subshells of a kernel's incarnation. A front end goes on naming those of the one before.

JupyterLab sends what is done to a widget to a subshell that it made for this. It makes another one
after a restart that it was told of, not after a wake; and a kernel does nothing with a message to a
subshell that it does not have. Such a message goes to the main shell instead.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import zmq.asyncio
from jupyter_client.session import Session

from elastic_jupyter.gateway.messages import Asked


class Subshells:
    """The ids of those that are known; None: any may exist."""

    def __init__(self) -> None:
        self._known: set[str] | None = None

    def begin(self) -> None:
        """Note that a new incarnation has none."""
        self._known = set()

    def unknown(self) -> None:
        """Note that the kernel ran before, so that it may have some."""
        self._known = None

    async def learn(
        self,
        socket: "zmq.asyncio.Socket",
        session: Session,
        kernel_info: Mapping[str, Any] | None,
    ) -> None:
        """Ask a kernel that ran before, on its control channel."""
        if "kernel subshells" not in ((kernel_info or {}).get("supported_features") or ()):
            return
        session.send(socket, "list_subshell_request")
        _, parts = session.feed_identities(await socket.recv_multipart())
        self._known = set(session.deserialize(parts)["content"].get("subshell_id", ()))

    def hear(self, parts: list[bytes]) -> None:
        """Note a subshell that was made; ``parts`` are those of a reply on the control channel."""
        if self._known is not None and b'"create_subshell_reply"' in parts[0]:
            self._known.add(str(json.loads(parts[3]).get("subshell_id")))

    def redirect(self, asked: Asked) -> Asked:
        """Return the message as the kernel can take it."""
        subshell = asked.header.get("subshell_id")
        if subshell is None or self._known is None or subshell in self._known:
            return asked
        header = {name: value for name, value in asked.header.items() if name != "subshell_id"}
        packed = json.dumps(header, ensure_ascii=False).encode()
        return replace(asked, header=header, parts=[packed, *asked.parts[1:]])
