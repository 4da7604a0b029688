"""The ticket of a kernel that waits for GPUs: the name of a file says all of it.

So it can be read without opening it, and a full file system cannot cut it short. A name has 255
bytes: the ticket says no more than the line needs, and nothing of any length.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, unquote

_PREFIX = "ticket"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ticket(NamedTuple):
    """Tickets sort in the order of the line. ``asked_at``: ns since 1970.

    ``pool``: what kind of GPU is waited for; each has its line. ``nonce`` makes the name unique, so
    that a name whose lock has ended never comes back.
    """

    asked_at: int
    kernel: str
    amount: int
    pool: str
    nonce: str


def name(ticket: Ticket) -> str:
    """Return the ticket as the name of a file."""
    parts = (
        _PREFIX,
        ticket.pool,
        f"{ticket.asked_at:020}",
        ticket.kernel,
        str(ticket.amount),
        ticket.nonce,
    )
    return ",".join(quote(part, safe="") for part in parts)


def parse(name: str) -> Ticket | None:
    """Return the ticket of such a name; None: it is none."""
    parts = [unquote(part) for part in name.split(",")]
    if len(parts) != 6 or parts[0] != _PREFIX:
        return None
    _, pool, asked_at, kernel, amount, nonce = parts
    if not (_is_number(asked_at) and _is_number(amount)):
        return None
    return Ticket(int(asked_at), kernel, int(amount), pool, nonce)


def nanoseconds(moment: datetime) -> int:
    """Return ns since 1970, 0 for what is earlier."""
    return max(0, (moment - _EPOCH) // timedelta(microseconds=1) * 1000)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20
