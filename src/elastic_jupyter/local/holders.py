"""Who has the GPUs of this machine, and how those are told who wait for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from elastic_jupyter import untrusted_json

#: What is shown of each; other users wrote it.
_LONGEST = 64
#: Holders that are named to one who waits.
_NAMED = 4


@dataclass(frozen=True)
class Owner:
    """Whose the lease of a GPU is; empty or None: not known. ``kernel``: Jupyter's id."""

    user: str = ""
    kernel: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Holder:
    """A GPU (its label) that is in use, and whose it is, as ``Owner``. ``since``: local time.

    ``obstacle``: why nobody can lease it, if so.
    """

    gpu: str
    user: str = ""
    kernel: str = ""
    since: datetime | None = None
    obstacle: str = ""


def encode(owner: Owner) -> bytes:
    """Return the owner as it is written into the file of a GPU."""
    since = owner.since.isoformat() if owner.since else None
    return json.dumps({"user": owner.user, "kernel": owner.kernel, "since": since}).encode()


def decode(content: bytes) -> Owner:
    """Return the owner. What cannot be read is not known."""
    try:
        with untrusted_json.reading():
            found = json.loads(content)
    except ValueError:
        return Owner()
    if not isinstance(found, dict):
        return Owner()
    return Owner(_text(found.get("user")), _text(found.get("kernel")), _time(found.get("since")))


def in_use(holders: Sequence[Holder], total: int, *, first_wants: int) -> str:
    """Return why the first in the line waits; "": all it wants is free.

    ``first_wants`` GPUs of ``total``. Says when a lease began and not how long it is, so that it
    does not change while nothing happens.
    """
    used = len(holders)
    if total - used >= first_wants:
        return ""
    have = f"{used} GPU{'s' * (used != 1)} of this machine {'is' if used == 1 else 'are'} in use"
    # What somebody has to repair is named first.
    shown = sorted(holders, key=lambda holder: not holder.obstacle)[:_NAMED]
    named = ", ".join(map(_one, shown))
    more = f" and {used - _NAMED} more" if used > _NAMED else ""
    wants = f"; the first in the line wants {first_wants}" if used < total else ""
    return f"{have}: {named}{more}{wants}"


def _one(holder: Holder) -> str:
    if holder.obstacle:
        return f"{holder.gpu}, which cannot be leased ({holder.obstacle})"
    kernel = f" (kernel {_short(holder.kernel)})" if holder.kernel else ""
    since = f" since {holder.since:%d %b %H:%M}" if holder.since else ""
    return f"{holder.gpu} by {holder.user or 'somebody'}{kernel}{since}"


def _short(kernel: str) -> str:
    return kernel if len(kernel) <= 16 else f"{kernel[:12]}…"


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(char for char in value if char.isprintable())[:_LONGEST]


def _time(value: object) -> datetime | None:
    """Return a time as the clock of this machine shows it; None: it never does."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone() if moment.tzinfo else None
    except (ValueError, OverflowError):  # the first and the last hours there are have no local time
        return None
