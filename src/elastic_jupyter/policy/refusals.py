"""What a 403 on a kernel's pod means: does waiting help? The API server's words are all there is.

Quotas, LimitRanges, Pod Security, policies and missing rights have the same code and reason.
"""

from dataclasses import dataclass
from typing import Final

#: Words of the admission plugins ResourceQuota and ServiceAccount, 1.34. A ServiceAccount is made
#: a moment after its namespace. "failed quota: ... must specify" is not among them: it stays so.
_PASSING: Final = (
    ("exceeded quota: ", "QuotaExceeded"),
    ("error looking up service account ", "ServiceAccountNotFound"),
)
_FOR_GOOD: Final = "Forbidden"

#: Every ``Refusal.reason``.
REASONS: Final = frozenset({_FOR_GOOD, *(reason for _, reason in _PASSING)})


@dataclass(frozen=True)
class Refusal:
    """``reason`` is the PascalCase word for it. ``passing``: it may be accepted later as it is."""

    reason: str
    passing: bool


def judge(message: str) -> Refusal:
    """Return what a refusal means, by the API server's words."""
    for words, reason in _PASSING:
        if words in message:
            return Refusal(reason, passing=True)
    return Refusal(_FOR_GOOD, passing=False)
