"""Front ends that come back: what they missed, and whether their cells have run meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from elastic_jupyter.gateway.parked import Parked
from elastic_jupyter.gateway.replay import ATTACHED, AWAITED

if TYPE_CHECKING:
    from elastic_jupyter.gateway.connection import ElasticConnection
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: How long a new gateway keeps the output of a recovered kernel for front ends that come back.
RECOVERY_WINDOW = timedelta(minutes=2)


class Returning:
    """What a kernel's front ends find that come back, whether they left this gateway or another.

    Attributes:
        woke_with: the name of the variables that the kernel slept with before this gateway saw it
            wake. None: it did not sleep when it was taken over, has slept since, or has run
            something of a front end elsewhere.
    """

    def __init__(self, manager: ElasticKernelManager) -> None:
        self._manager = manager
        self._taken_over_at: datetime | None = None
        self.woke_with: str | None = None
        # The sessions of front ends that were here.
        self._served: set[str] = set()

    def take_over(self, variables: str | None) -> None:
        """Go on with a kernel that another gateway had.

        ``variables``: the name of those that it sleeps with; None: cells may run in it.
        """
        self._taken_over_at = datetime.now(UTC)
        self.woke_with = variables

    def serve(self, session_id: str) -> None:
        """Take note of a front end that sends its requests here from now on."""
        self._served.add(session_id)

    def hear_run(self, session_id: str | None) -> None:
        """Take note of a cell that runs: another gateway may live, and serve its front end."""
        if session_id not in self._served:
            self.woke_with = None

    def park(self, session_id: str, left: Parked) -> None:
        """Keep the requests of a front end that left, and what is answered meanwhile."""
        iopub = self._manager.iopub
        if iopub is not None:
            iopub.ring.limit(AWAITED)
            left.iopub_from = iopub.ring.next
            left.listen(left.streams)
        self._manager.parked.put(session_id, left)

    def not_run_since(self, session_id: str) -> str | None:
        """Return the name of the variables since which nothing of a front end has run, or waits.

        None: something may have. Of a kernel that has woken since this gateway took it over, only
        what was sent here has run, as far as is heard.
        """
        parked = self._manager.parked.get(session_id)
        if parked is not None and (parked.executes or parked.said):
            return None
        elsewhere = None if session_id in self._served else self.woke_with
        return self._manager.variables or elsewhere

    def covers(self, session_id: str, last_msg_id: str, orderly: bool) -> bool:
        """Say whether a returning front end will get every message that it missed."""
        return self._missed(session_id, last_msg_id, orderly)[1]

    def missed_by(self, connection: ElasticConnection) -> list[list[bytes]]:
        """Return the iopub messages that a front end missed, oldest first."""
        return self._missed(connection.session_id, connection.resume_point, connection.orderly)[0]

    def _missed(
        self, session_id: str, last_msg_id: str | None, orderly: bool
    ) -> tuple[list[list[bytes]], bool]:
        if self._manager.iopub is None:
            return [], False
        ring = self._manager.iopub.ring
        if last_msg_id:
            after = ring.after(last_msg_id)
            if after is not None:
                return [kept.parts for kept in after], True
        parked = self._manager.parked.get(session_id)
        if parked and parked.streams:
            kept, complete = ring.since(parked.iopub_from)
            # What was written to it last may never have arrived, if it names what came before that.
            return [one.parts for one in kept], complete and not last_msg_id
        if last_msg_id is not None and self._taken_over_at is not None:
            # Its last message is older than our subscription. When the previous gateway ended in
            # order it passed on everything up to a moment after that, so nothing lies between.
            return [one.parts for one in ring.since(0)[0]], orderly and ring.first == 0
        return [], False

    def trim(self, now: datetime) -> None:
        """Stop keeping much output that nobody will come back for."""
        manager, since = self._manager, self._taken_over_at
        if manager.iopub is None:
            return
        recent = since is not None and now - since < RECOVERY_WINDOW
        awaited = recent or manager.parked.listening or not manager.connections
        manager.iopub.ring.limit(AWAITED if awaited else ATTACHED)
