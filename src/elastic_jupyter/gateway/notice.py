"""What a kernel's user reads before its next output: why variables are gone, or which are back.

It is told once, and again where it did not arrive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from elastic_jupyter.gateway import messages
from elastic_jupyter.gateway.state import KernelState

if TYPE_CHECKING:
    from elastic_jupyter.gateway.connection import ElasticConnection
    from elastic_jupyter.gateway.kernel import ElasticKernelManager
    from elastic_jupyter.gateway.parked import Parked

#: How long a notice may be on its way to the user, s.
TRAVELS = 3.0


class _Told(NamedTuple):
    """A notice on its way to the user."""

    text: str
    to: ElasticConnection


class Notice:
    """The notice of one kernel.

    Attributes:
        text: what is to be told, None: nothing. What is told already is not in it.
    """

    def __init__(self, manager: ElasticKernelManager) -> None:
        self._manager = manager
        self.text: str | None = None
        # What was told and may not have arrived yet.
        self._travels: _Told | None = None

    def add(self, text: str) -> None:
        """Have this told, too."""
        self.text = f"{self.text}\n{text}" if self.text else text

    def drop(self, text: str) -> None:
        """Have this not told any more that was added."""
        if self.text is not None:
            self.text = self.text.replace(text, "").strip("\n") or None

    def start_anew(self, text: str | None) -> None:
        """Have this told, None: nothing, in place of all before, even of what is on its way."""
        self.text, self._travels = text, None

    def tell(self, connection: ElasticConnection, parent: messages.Header) -> None:
        """Tell it, if there is any, as output of the execution ``parent``."""
        if self.text is not None:
            connection.say(parent, messages.notice(self.text))
            self._travels = _Told(self.text, connection)
            self._manager.spawn(self._hear_of(self._travels))
            self.text = None

    def leave(self, parked: Parked) -> None:
        """Leave it, if there is any, to a front end that is away and had an execution run.

        It reads it before the output of that, as soon as it is here again.
        """
        unanswered = parked.unanswered.values()
        first = next((one for one in unanswered if one.get("msg_type") == "execute_request"), None)
        if self.text is None or first is None:
            return
        said = messages.notice(self.text)
        session = self._manager.kernel_session
        parked.said.append(
            (said.channel, messages.build(said, parent=first, kernel_session=session))
        )
        self.text = None

    async def _hear_of(self, told: _Told) -> None:
        """Let go of a notice that has arrived.

        Until then the tombstone has it, for the next gateway.
        """
        await asyncio.sleep(TRAVELS)
        if self._travels is not told:
            return
        self._travels = None
        manager = self._manager
        facts = manager.facts
        if manager.state is KernelState.RUNNING and facts and facts.uid not in manager.retired:
            await manager.mapping.forget(manager)

    def leave_untold(self, connection: ElasticConnection) -> None:
        """Have it told again where it was on its way to a front end which left.

        The next execution may come any moment, so this is the moment to know it.
        """
        if self._travels is not None and self._travels.to is connection:
            self.text = self.text or self._travels.text
            self._travels = None
