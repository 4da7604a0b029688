"""Leases of this machine's GPUs, and the line for them, which all its users share.

One file a GPU: whoever locks it has the GPU, and so has each process that inherits the open file,
and the supervisor that takes its kernel over; its content says whose it is. One file a waiting
kernel, the ticket, locked by who waits: the first ticket that somebody has locked is the head of
the line, and only the head may lease. So nobody has to clean up after a process that died, and no
process serves the others.
"""

import contextlib
import os
import secrets
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote

from elastic_jupyter import logs
from elastic_jupyter.clock import Clock
from elastic_jupyter.errors import Unavailable
from elastic_jupyter.local import holders, shared_directory, tickets
from elastic_jupyter.local.gpus import Gpu, Inventory
from elastic_jupyter.local.holders import Holder, Owner
from elastic_jupyter.local.line import Applicant
from elastic_jupyter.local.shared_directory import SharedDirectory
from elastic_jupyter.local.tickets import Ticket
from elastic_jupyter.policy.queue import Place

#: How long one may be silent in the line. Whoever waits asks for its place every few seconds; a
#: process that is stopped (Ctrl-Z) steps aside and has its place again once it goes on.
SILENCE = timedelta(seconds=30)
#: How long one look at the line and at the holders serves all of ours who wait, if no ticket comes
#: or goes: each of them asks that often, and a look opens the ticket of everybody.
GLANCE = timedelta(seconds=0.2)

log = logs.get(__name__)


@dataclass
class GpuLease:
    """GPUs that are ours, and for that long. See ``line.Lease``."""

    gpus: tuple[Gpu, ...]
    env: Mapping[str, str]
    files: tuple[str, ...]
    fds: tuple[int, ...]
    _open: bool = field(default=True, init=False)

    def hand_over(self) -> None:
        """Close our copies of the files. May be called again."""
        if self._open:
            self._open = False
            for file in self.fds:
                os.close(file)


@dataclass(frozen=True)
class _Waiting:
    ticket: Ticket
    file: int


@dataclass(frozen=True)
class _Glance:
    """What was seen of the line, in order, and of the holders; ``at``: ns of the clock."""

    at: int
    changed: int
    line: Sequence[Ticket]
    holders: Sequence[Holder]


class Leases:
    """The line for the GPUs of an inventory (``line.GpuLine``). To be used by one thread."""

    def __init__(self, directory: SharedDirectory, inventory: Inventory, clock: Clock) -> None:
        self._directory = directory
        self._inventory = inventory
        self._clock = clock
        self._pool = "stand-in" if inventory.stand_in else "gpu"
        self._waiting: dict[str, _Waiting] = {}
        self._glanced: _Glance | None = None

    @property
    def total(self) -> int:
        return len(self._inventory.gpus)

    @property
    def no_gpu_env(self) -> Mapping[str, str]:
        return self._inventory.env(())

    def holders(self) -> list[Holder]:
        """Return who has which GPU, in the order of the GPUs; free ones are left out.

        One whose file is unusable counts as in use: it must not take the others with it.
        """
        found = []
        for gpu in self._inventory.gpus:
            seen = self._directory.look(_file(gpu))
            if seen and seen.locked:
                owner = holders.decode(seen.content)
                found.append(Holder(gpu.label, owner.user, owner.kernel, owner.since))
            elif obstacle := self._directory.obstacle(_file(gpu)):
                found.append(Holder(gpu.label, obstacle=obstacle))
        return found

    def enter(self, applicant: Applicant, amount: int) -> None:
        """Stand in the line for ``amount`` GPUs. Who stands there already stays where it is."""
        if applicant.kernel in self._waiting:
            return
        ticket = Ticket(
            asked_at=tickets.nanoseconds(applicant.asked_at),
            kernel=applicant.kernel,
            amount=amount,
            pool=self._pool,
            nonce=secrets.token_hex(4),
        )
        self._take(ticket)

    def place(self, applicant: Applicant) -> Place:
        """Return the place of one that has entered; the reason names who has the GPUs."""
        mine = self._present(applicant)
        seen = self._glance()
        ahead = bisect_left(seen.line, mine)
        first = seen.line[0] if ahead else mine
        reason = holders.in_use(seen.holders, self.total, first_wants=first.amount)
        # Somebody removed the ticket this very moment: it is written again at the next look.
        return Place(ahead + 1, max(len(seen.line), ahead + 1), reason)

    def try_lease(self, applicant: Applicant) -> GpuLease | None:
        """Return the GPUs of the first in the line, who leaves it with that; None: not yet."""
        mine = self._present(applicant)
        seen = self._at_hand()
        if seen is not None and next(iter(seen.line), mine) < mine:
            return None
        if next(self._line(), mine) < mine:  # what is locked now decides
            return None
        with contextlib.ExitStack() as undo:
            taken: list[tuple[Gpu, int]] = []
            for gpu in self._inventory.gpus:
                if len(taken) == mine.amount:
                    break
                if self._directory.obstacle(_file(gpu)):
                    continue  # ``holders`` names it
                file = self._directory.lock(_file(gpu), mode=shared_directory.ANYBODYS)
                if file is not None:
                    undo.callback(os.close, file)
                    taken.append((gpu, file))
            if len(taken) < mine.amount:
                return None  # and keeps none of them: another may need just these
            undo.pop_all()
        self._sign([file for _, file in taken], applicant)
        self.leave(applicant)
        return self._lease({_file(gpu): file for gpu, file in taken})

    def resume(self, applicant: Applicant, files: Sequence[str]) -> GpuLease:
        """Hold, with a kernel that runs, the GPUs that it was given by an earlier process.

        One that has become another's meanwhile is not held: the kernel had let go of its file.
        """
        held: dict[str, int] = {}
        for name in files:
            file = self._directory.join(name)
            if file is not None and self._is_signed(name, applicant):
                held[name] = file
                continue
            log.warning("a kernel has let go of its GPU", kernel=applicant.kernel, file=name)
            if file is not None:
                os.close(file)
        return self._lease(held)

    def _lease(self, held: Mapping[str, int]) -> GpuLease:
        gpus = tuple(gpu for gpu in self._inventory.gpus if _file(gpu) in held)
        return GpuLease(gpus, self._inventory.env(gpus), tuple(held), tuple(held.values()))

    def leave(self, applicant: Applicant) -> None:
        """Stop waiting. That it does not wait is success."""
        waiting = self._waiting.pop(applicant.kernel, None)
        if waiting is not None:
            self._glanced = None
            os.close(waiting.file)  # with that it is dead, whether or not it can be removed
            self._remove(waiting.ticket)

    def _take(self, ticket: Ticket) -> None:
        file = self._directory.create(
            tickets.name(ticket), mode=shared_directory.MINE, touched=self._now()
        )
        if file is None:
            raise Unavailable(f"{self._directory.path}: the ticket {ticket} is there already")
        self._waiting[ticket.kernel] = _Waiting(ticket, file)
        self._glanced = None

    def _present(self, applicant: Applicant) -> Ticket:
        """Return the ticket of one that has entered, and note that it still waits."""
        waiting = self._waiting.get(applicant.kernel)
        if waiting is None:
            raise ValueError(f"kernel {applicant.kernel} is not in the line")
        if shared_directory.is_there(waiting.file):
            shared_directory.touch(waiting.file, self._now())
            return waiting.ticket
        del self._waiting[applicant.kernel]  # somebody emptied the directory
        os.close(waiting.file)
        self._take(waiting.ticket)
        return waiting.ticket

    def _glance(self) -> _Glance:
        """Return what was seen a moment ago, or look again."""
        seen = self._at_hand()
        if seen is None:
            now, changed = self._now(), self._directory.changed()
            seen = self._glanced = _Glance(now, changed, list(self._line()), self.holders())
        return seen

    def _at_hand(self) -> _Glance | None:
        """Return what was seen a moment ago, if it was and no file came or went since."""
        seen = self._glanced
        if seen is None or self._now() - seen.at >= _nanoseconds(GLANCE):
            return None
        return seen if seen.changed == self._directory.changed() else None

    def _line(self) -> Iterator[Ticket]:
        """Yield the tickets of those who wait, in order; remove what dead processes left."""
        found = ((tickets.parse(name), name) for name in self._directory.names())
        line = [(ticket, name) for ticket, name in found if ticket and ticket.pool == self._pool]
        for ticket, name in sorted(line):
            seen = self._directory.look(name)
            if seen is None or not seen.locked:
                self._directory.remove(name)
            elif abs(self._now() - seen.touched) < _nanoseconds(SILENCE):
                yield ticket

    def _remove(self, ticket: Ticket) -> None:
        with contextlib.suppress(Unavailable):
            self._directory.remove(tickets.name(ticket))

    def _sign(self, files: list[int], applicant: Applicant) -> None:
        content = holders.encode(Owner(applicant.user, _shown(applicant), self._clock.now()))
        for file in files:
            try:
                os.ftruncate(file, 0)
                os.pwrite(file, content, 0)
            except OSError as error:  # a full file system; the lease counts all the same
                log.warning("a lease does not say whose it is", error=error)
            shared_directory.share(file)  # with a supervisor that takes the kernel over

    def _is_signed(self, name: str, applicant: Applicant) -> bool:
        seen = self._directory.look(name)
        return seen is not None and holders.decode(seen.content).kernel == _shown(applicant)

    def _now(self) -> int:
        """Return ns that are the same for all processes, and stand still while the machine does."""
        return int(self._clock.monotonic() * 1e9)


def _shown(applicant: Applicant) -> str:
    return applicant.kernel_id or applicant.kernel


def _nanoseconds(time: timedelta) -> int:
    return time // timedelta(microseconds=1) * 1000


def _file(gpu: Gpu) -> str:
    return f"lease,{quote(gpu.id, safe='')}"
