"""Amounts as Kubernetes writes them (``resource.Quantity``): 500m, 3k, 10Gi, 1e3."""

import re
from fractions import Fraction

_SUFFIXES = {
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("m", "", *"kMGTPE"), -1)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(
    rf"(?P<number>\d+(\.\d+)?)((?P<suffix>{'|'.join(_SUFFIXES)})|[eE](?P<exponent>[+-]?\d{{1,2}}))"
)
#: Characters of the longest quantity that is read: int() takes no more than some thousand digits.
_LONGEST = 64


def parse(text: str) -> Fraction | None:
    """Return the amount, None for what is no quantity of zero or more.

    The API server writes 3000 as 3k; so only amounts can be compared.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    exponent = found["exponent"]
    factor = _SUFFIXES[found["suffix"]] if exponent is None else Fraction(10) ** int(exponent)
    return Fraction(found["number"]) * factor
