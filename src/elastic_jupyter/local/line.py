"""What the reconciler needs of the GPUs of this machine: a line to wait in, and leases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from elastic_jupyter.policy.queue import Place


@dataclass(frozen=True)
class Applicant:
    """Who wants GPUs: one incarnation of a kernel.

    ``kernel`` is unique on this machine. ``user`` and ``kernel_id``, which is Jupyter's, are what
    the others read that they wait for. First asked, first served.
    """

    kernel: str
    user: str
    asked_at: datetime
    kernel_id: str = ""


class Lease(Protocol):
    """GPUs that one kernel has to itself, for as long as a process has one of ``fds`` open."""

    @property
    def env(self) -> Mapping[str, str]:
        """Variables that show the kernel its GPUs and hide the others."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """The names by which a later process may ``resume`` it."""
        ...

    @property
    def fds(self) -> tuple[int, ...]:
        """Open files that the kernel's process inherits: they are the lease."""
        ...

    def hand_over(self) -> None:
        """Close our own copies of ``fds``. May be called again.

        Called when no process of the kernel is left, or none was made: the GPUs are free then.
        """
        ...


class GpuLine(Protocol):
    """The line for the GPUs of this machine, which all its users share.

    No method blocks. One that cannot read or write its files raises ``Unavailable``.
    """

    @property
    def total(self) -> int:
        """How many GPUs the machine has."""
        ...

    @property
    def no_gpu_env(self) -> Mapping[str, str]:
        """Variables that hide all GPUs from a kernel that asked for none."""
        ...

    def enter(self, applicant: Applicant, amount: int) -> None:
        """Stand in the line for ``amount`` GPUs. Who stands there already stays where it is."""
        ...

    def place(self, applicant: Applicant) -> Place:
        """Return the place of one that has entered; the reason names who has the GPUs."""
        ...

    def try_lease(self, applicant: Applicant) -> Lease | None:
        """Return the GPUs of the first in the line, who leaves it with that.

        None for all others, and while too few are free.
        """
        ...

    def resume(self, applicant: Applicant, files: Sequence[str]) -> Lease:
        """Hold, with a kernel that runs, the GPUs that it was given by an earlier process.

        One that has become another's meanwhile is not held.
        """
        ...

    def leave(self, applicant: Applicant) -> None:
        """Stop waiting. That it does not wait is success."""
        ...
