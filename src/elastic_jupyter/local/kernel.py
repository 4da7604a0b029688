"""JupyterKernel: keeps its process as the life cycle says.

What it makes is in ``making.py``. Writes all of the status but ``activity``. Woken by the kernel,
by the end of its process, and by time while it waits for a GPU.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from elastic_jupyter import logs
from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel, Phase
from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import (
    Conflict,
    Invalid,
    LaunchFailed,
    NotFound,
    StoreError,
    Unavailable,
)
from elastic_jupyter.local import sight
from elastic_jupyter.local.command import GPU, Command, kernel_id
from elastic_jupyter.local.line import Applicant, GpuLine, Lease
from elastic_jupyter.local.making import Made, Maker, Remains, incarnation_of, interrupted_at
from elastic_jupyter.local.proc import Incarnation
from elastic_jupyter.policy import kernel_status
from elastic_jupyter.policy.kernel_status import Told
from elastic_jupyter.policy.lifecycle import Action, Sight, Sighting
from elastic_jupyter.policy.queue import Place
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.protocol import KernelStore, Key
from elastic_jupyter.store.report import report

#: Seconds until a decision on a kernel that somebody else has written meanwhile is made again.
_STALE_RETRY = 0.02
#: Seconds between two looks at the line for GPUs; the kernels of other users wake nobody here.
_LINE_RETRY = 0.2
#: Seconds until something is tried again that the machine did not grant.
_BLOCKED_RETRY = 5.0
#: How often the end of a kernel is written while others write, too.
_LAST_WRITES = 5

log = logs.get(__name__)


class KernelReconciler:
    """Makes JupyterKernels true on one machine.

    ``kernels`` is a live view of what the store has, in which own writes are put before the watch
    tells them; ``wake`` has a kernel looked at again.
    """

    def __init__(
        self,
        *,
        store: KernelStore,
        kernels: dict[Key, JupyterKernel],
        maker: Maker,
        line: GpuLine,
        clock: Clock,
        wake: Callable[[Key], None],
    ) -> None:
        self._store = store
        self._kernels = kernels
        self._maker = maker
        self._line = line
        self._clock = clock
        self._wake = wake
        self._made: dict[Key, Made] = {}
        self._recovered = False
        self._waiting: dict[Key, Applicant] = {}

    async def reconcile(self, key: Key) -> Result:
        """Look at one kernel once."""
        kernel = self._kernels.get(key)
        await self._end_others(key, kernel)
        if kernel is None:
            return DONE
        seen = self._observe(key, kernel)
        self._interrupt_if_asked(key, kernel)
        starts = kernel_status.verdict(kernel, seen.sight).action is Action.START
        if starts:
            seen = self._start(key, kernel)
        told = self._told(key, kernel, seen)
        try:
            await self._report(key, kernel, told)
        except Conflict:
            result = Result(_STALE_RETRY)
        else:
            result = _result(told)
            if kernel_status.over(told.phase):
                await self._clean_up(key)
        if starts and (made := self._made.get(key)) and made.process:
            await made.process.gather()
        return result

    async def recover(self) -> None:
        """Take over what an earlier supervisor left; end what nobody wants.

        Called once, when all kernels are known and before the first pass.
        """
        remains = await self._maker.remains()
        wanted = {incarnation_of(kernel): key for key, kernel in self._kernels.items()}
        for incarnation, key in wanted.items():
            if incarnation in remains:
                made = self._maker.take_over(
                    self._kernels[key], remains[incarnation], on_end=self._waker(key)
                )
                if made is not None:
                    self._made[key] = made
                    made.lease = self._resume(self._kernels[key], remains.pop(incarnation))
        await self._clear(remains)
        self._recovered = True

    async def close(self) -> None:
        """End all kernels, and say so in their status. Called when no pass runs any more."""
        # One that fails must not keep another from being ended.
        keys = self._kernels.keys() | self._made.keys()
        await asyncio.gather(*map(self._stop, keys))
        if not self._recovered:  # what an earlier supervisor left was not taken over yet
            await self._clear(await self._maker.remains())

    async def _clear(self, remains: Mapping[Incarnation, Remains]) -> None:
        for incarnation, orphan in remains.items():
            try:
                await self._maker.clear(incarnation, orphan)
            except (Unavailable, OSError) as error:
                log.error("something of a kernel that is gone stays", error=error)

    # -- observe

    def _observe(self, key: Key, kernel: JupyterKernel) -> Sighting:
        if made := self._made.get(key):
            return made.look()
        return sight.lost() if _was_made(kernel) else Sighting(Sight.NEVER_MADE)

    # -- act

    def _start(self, key: Key, kernel: JupyterKernel) -> Sighting:
        """Make the process, or find out what is in the way; return what is seen then."""
        try:
            plan = self._maker.plan(kernel)
            if plan.gpus > self._line.total:
                text = f"{GPU}: {plan.gpus} is asked for, and this machine has {self._line.total}"
                return sight.refused(sight.TOO_FEW_GPUS, text)
            lease = self._try_lease(key, kernel, plan.gpus) if plan.gpus else None
            if plan.gpus and lease is None:
                return sight.waiting()
            self._made[key] = self._make(key, kernel, plan, lease)
        except Invalid as error:
            return sight.refused(error.reason, str(error))
        except LaunchFailed as error:
            return sight.refused(sight.START_ERROR, str(error))
        except Unavailable as error:
            return Sighting(Sight.NEVER_MADE, error.reason, str(error))
        return self._made[key].look()

    def _interrupt_if_asked(self, key: Key, kernel: JupyterKernel) -> None:
        made, asked = self._made.get(key), interrupted_at(kernel)
        if made is not None and made.process is not None and asked != made.interrupted_at:
            made.interrupted_at = asked
            made.process.interrupt()

    def _make(self, key: Key, kernel: JupyterKernel, plan: Command, lease: Lease | None) -> Made:
        try:
            return self._maker.make(
                kernel,
                plan,
                env=lease.env if lease else self._line.no_gpu_env,
                lease=lease,
                on_end=self._waker(key),
            )
        except BaseException:
            self._give_back(lease)
            raise

    def _waker(self, key: Key) -> Callable[[], None]:
        return lambda: self._wake(key)

    # -- the line for GPUs

    def _try_lease(self, key: Key, kernel: JupyterKernel, amount: int) -> Lease | None:
        applicant = self._waiting.setdefault(key, self._applicant(kernel))
        self._line.enter(applicant, amount)
        lease = self._line.try_lease(applicant)
        if lease is not None:
            del self._waiting[key]
        return lease

    def _resume(self, kernel: JupyterKernel, remains: Remains) -> Lease | None:
        """Hold the GPUs of a kernel that is taken over: its code may close what it inherited."""
        files = remains.note.leases if remains.note and remains.running else ()
        try:
            return self._line.resume(self._applicant(kernel), files) if files else None
        except Unavailable as error:
            log.warning("only the kernel itself holds its GPU", error=error)
            return None

    def _applicant(self, kernel: JupyterKernel) -> Applicant:
        user = kernel.spec.user or names.DEFAULT_USER
        return Applicant(
            kernel=str(incarnation_of(kernel)),
            user=user,
            asked_at=self._asked_at(kernel),
            kernel_id=kernel_id(kernel),
        )

    def _asked_at(self, kernel: JupyterKernel) -> datetime:
        stamp = (kernel.metadata.annotations or {}).get(names.ANNOTATION_ASKED_AT, "")
        try:
            asked = datetime.fromisoformat(stamp)
        except ValueError:
            asked = kernel.metadata.creation_timestamp or self._clock.now()
        return asked if asked.tzinfo else asked.replace(tzinfo=UTC)

    def _leave_line(self, key: Key) -> None:
        if applicant := self._waiting.pop(key, None):
            self._line.leave(applicant)

    def _give_back(self, lease: Lease | None) -> None:
        """Let others have the GPUs of a process that is gone, or was never made."""
        if lease is not None:
            lease.hand_over()
            for key in self._waiting:
                self._wake(key)

    # -- report

    def _told(self, key: Key, kernel: JupyterKernel, seen: Sighting) -> Told:
        phase = kernel_status.verdict(kernel, seen.sight).phase
        made = key in self._made or _was_made(kernel)
        return Told(phase, kernel_status.epoch_of(kernel), made, seen, place=self._place(key, seen))

    def _place(self, key: Key, seen: Sighting) -> Place | None:
        waits = seen.sight is Sight.WAITING
        return self._line.place(self._waiting[key]) if waits else None

    async def _report(self, key: Key, kernel: JupyterKernel, told: Told) -> None:
        after = await report(self._store, key, kernel, told, now=self._clock.now())
        if after is None:
            return
        if self._kernels.get(key) is kernel:
            self._kernels[key] = after
        if told.phase is not _phase(kernel):
            log.info("phase changed", kernel=key, new=told.phase, reason=told.seen.reason)

    # -- clean up

    async def _end_others(self, key: Key, kernel: JupyterKernel | None) -> None:
        """End what was made for an object that is gone, and remove all that is left of it."""
        wanted = incarnation_of(kernel) if kernel else None
        made, applicant = self._made.get(key), self._waiting.get(key)
        if applicant is not None and applicant.kernel != str(wanted):
            self._leave_line(key)
        if made is not None and made.incarnation != wanted:
            await self._end(made, asked=True)
            await asyncio.to_thread(made.folder.remove)
            del self._made[key]

    async def _clean_up(self, key: Key) -> None:
        """End what is left of a kernel that has ended or rests and stays; its log stays, too."""
        self._leave_line(key)
        if made := self._made.get(key):
            await self._end(made, asked=False)

    async def _end(self, made: Made, *, asked: bool) -> None:
        await self._maker.end(made, asked=asked)
        lease, made.lease = made.lease, None
        self._give_back(lease)

    async def _stop(self, key: Key) -> None:
        """End one kernel because we end. The reason comes first: a gateway may still tell it."""
        try:
            if key in self._kernels:
                await self._write_stopped(key)
                await self._clean_up(key)
            else:  # its object went a moment ago
                await self._end_others(key, None)
        except Exception as error:
            log.error("something of a kernel stays", kernel=key, exc=error)

    async def _write_stopped(self, key: Key) -> None:
        for _ in range(_LAST_WRITES):
            try:
                kernel = await self._store.get(key)
                await self._report(key, kernel, self._told(key, kernel, sight.stopped()))
            except Conflict:
                continue
            except NotFound:  # it was shut down a moment ago: nobody asks how it ended
                return
            except StoreError as error:
                log.warning("the end of a kernel is not written", kernel=key, error=error)
            return


def _phase(kernel: JupyterKernel) -> Phase | None:
    return kernel.status.phase if kernel.status else None


def _was_made(kernel: JupyterKernel) -> bool:
    return kernel.status is not None and kernel.status.pod_name is not None


def _result(told: Told) -> Result:
    if told.phase is Phase.QUEUED:
        return Result(_LINE_RETRY)
    if told.seen.sight is Sight.NEVER_MADE and not kernel_status.over(told.phase):
        return Result(_BLOCKED_RETRY)
    return DONE
