"""What the gateway finds out about a running kernel before it is called idle.

Whether its variables can be saved is asked when it has just started, so that its user reads early
what will become of them; what its cells left running is asked when it is about to be warned or
reclaimed. Both are the agent's to answer. Where there is none, nothing is known to be left. One
that is there and silent is in a kernel in which something lets nothing else run, as code may that
is not Python's: as long as it is, nothing can be saved either.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from elastic_jupyter.api.kernel import MAX_LEFT_RUNNING, Fallback, WhenIdle
from elastic_jupyter.errors import AgentFailed, NoAgent
from elastic_jupyter.gateway import agent
from elastic_jupyter.gateway.hibernation import NO_PLACE
from elastic_jupyter.policy import idle, notices, saves
from elastic_jupyter.policy.report import precise

if TYPE_CHECKING:
    from elastic_jupyter.gateway.kernel import ElasticKernelManager

#: How long the agent may take to answer, s. It does within milliseconds, from a thread of its own.
PATIENCE = 10.0
#: Characters that are kept of why a save failed, which may be a user's exception.
LONGEST_REASON = 500


class Idleness:
    """What is known of the running incarnation of a kernel."""

    def __init__(self, manager: ElasticKernelManager) -> None:
        self._manager = manager
        self._forget()

    def _forget(self) -> None:
        #: What cells have left running, in words, and when that was seen.
        self.left_running: tuple[str, ...] = ()
        self.left_running_at: datetime | None = None
        #: Why the variables can never be saved; None: they can, or it is not known yet.
        self.unsavable: str | None = None
        self.warned_at: datetime | None = None
        self._failure: saves.Failure | None = None
        # What was told of all this, and of the verdict.
        self._told: Mapping[str, Any] | None = None

    def begin(self, *, recovered: bool) -> None:
        """Start anew with an incarnation that runs.

        ``recovered``: it ran before this gateway did, and what was left running may still run, as a
        cell may: it is greeted when it is known that none does.
        """
        self._forget()
        manager = self._manager
        facts = manager.facts
        if recovered and facts is not None and facts.left_running:
            self.left_running, self.left_running_at = facts.left_running, datetime.now(UTC)
        if not recovered:  # no cell has run, or what ran was restored, which greets, too
            self.greet()

    def greet(self) -> None:
        """Greet the agent; to be called while no cell runs.

        From then on no question runs the hooks of cells, which the greeting itself may.
        """
        self._manager.spawn(self._greet())

    @property
    def outcome(self) -> WhenIdle:
        """What becomes of the kernel at its deadline, as far as it is known."""
        manager = self._manager
        fallback: Fallback = manager.mapping.fallback(manager.wish.spec_name)
        return idle.outcome(manager.wish.policy, fallback, savable=self.unsavable is None)

    def learn(self, unsavable: str) -> WhenIdle:
        """Take note of why the variables cannot be saved; return what follows."""
        self.unsavable = unsavable
        return self.outcome

    @property
    def failure(self) -> saves.Failure | None:
        """The latest save, where it failed and waits to be tried again."""
        manager, failure = self._manager, self._failure
        suspend = manager.facts is not None and manager.facts.suspend
        holds = failure and failure.holds(last_execution=manager.last_execution, suspend=suspend)
        return failure if holds else None

    def save_failed(self, why: str, *, released: bool) -> None:
        """Take note of a save that failed, and have the user read why with the next output."""
        before, why = self.failure, why[:LONGEST_REASON]
        anew = before is None or before.why != why
        if anew:
            self.forget_failure()
        self._failure = saves.failed(
            why,
            before=before,
            now=datetime.now(UTC),
            jitter=random.random(),
            released=released,
        )
        if anew:
            self._manager.notice.add(notices.save_failed(why))

    def forget_failure(self) -> None:
        """Have nobody told any longer of a save that failed: one has succeeded, or none follows."""
        if self._failure is not None:
            self._manager.notice.drop(notices.save_failed(self._failure.why))
            self._failure = None

    # -- questions

    async def _greet(self) -> None:
        """Find out whether variables can be saved, and tell the user when they cannot."""
        manager = self._manager
        with contextlib.suppress(TimeoutError):  # it is asked again when it is idle
            await self._ask("hello")
        if self.unsavable is None:
            return
        manager.log.info("kernel %s cannot hibernate: %s", manager.kernel_id, self.unsavable)
        known = manager.facts is not None and manager.facts.unsavable
        timeout = manager.mapping.limits(manager.wish.spec_name).timeout
        if self.outcome is WhenIdle.DELETE and timeout.total_seconds() > 0 and not known:
            manager.notice.add(notices.unsavable(self.unsavable, timeout))
        await manager.mapping.cull_kernel_if_idle(manager.kernel_id)  # which publishes it

    async def look(self) -> None:
        """Find out what runs that cells have left."""
        iopub = self._manager.iopub
        try:
            left = _named(await self._ask("leftovers") or {})
        except TimeoutError:
            left = (notices.SILENT,) if self.outcome is WhenIdle.HIBERNATE else ()
        if self._manager.iopub is not iopub:  # another incarnation meanwhile
            return
        self.left_running = left
        self.left_running_at = datetime.now(UTC) if self.left_running else None

    async def _ask(self, what: str) -> dict[str, Any] | None:
        """Return the agent's answer, None: there is none; learn whether there is an agent.

        Raises ``TimeoutError`` when it is silent.
        """
        manager = self._manager
        iopub = manager.iopub
        answer, unsavable = None, self.unsavable
        try:
            agent.require_ipykernel(manager.kernel_info)
            with manager.probe.socket("control") as (socket, session):
                async with asyncio.timeout(PATIENCE):
                    answer = await agent.ask(socket, session, {"ask": what})
            if manager.mapping.transfers is None:
                raise NoAgent(NO_PLACE)
            unsavable = None
        except NoAgent as error:
            unsavable = str(error)
        except AgentFailed as error:
            manager.log.warning("kernel %s: its agent failed: %s", manager.kernel_id, error)
        if manager.iopub is iopub and manager.wish.hibernates:
            self.unsavable = unsavable
        return answer

    # -- what follows

    async def judge(self) -> idle.Verdict:
        """Return the verdict on the kernel; before a warning or a reclaim the agent is asked."""
        verdict = self._manager.verdict(datetime.now(UTC))
        warns = verdict.action is idle.Action.WARN and self.warned_at is None
        if warns or verdict.action is idle.Action.RECLAIM:
            await self.look()
            verdict = self._manager.verdict(datetime.now(UTC))
        self.warned_at = verdict.warned_at
        return verdict

    def has_news(self, verdict: idle.Verdict) -> bool:
        """Say whether ``tell`` would say something else than it did."""
        return self._document(verdict) != self._told

    def tell(self, verdict: idle.Verdict) -> Mapping[str, Any]:
        """Return the part of ``status.activity`` that is about this; None removes a key."""
        self._told = self._document(verdict)
        return self._told

    def _document(self, verdict: idle.Verdict) -> Mapping[str, Any]:
        seen, limit = self.left_running_at, verdict.keep_limit
        # What runs beside a later execution is asked anew when that was long ago.
        left = seen is not None and seen >= self._manager.last_execution
        failure = self.failure
        return {
            "warnedAt": self.warned_at and precise(self.warned_at),
            "keepLimit": limit and precise(limit),
            "saveFailed": failure and failure.why,
            "saveFailedAt": failure and precise(failure.at),
            "leftRunning": list(self.left_running) if left else None,
            "unsavable": self.unsavable,
            "whenIdle": self.outcome.value,
        }


def _named(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the answer names, which comes from the user's process: it may be anything."""
    found = answer.get("leftovers")
    return tuple(
        notices.left(str(one.get("kind")), str(one.get("name")))
        for one in (found if isinstance(found, list) else [])[:MAX_LEFT_RUNNING]
        if isinstance(one, dict)
    )
