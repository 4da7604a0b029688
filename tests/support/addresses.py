"""Addresses of loopback that nobody else has."""

import itertools
import os

_NUMBERS = itertools.count()


def own_address() -> str:
    """Return one in 127.0.0.0/8: a port that was free there is free yet when a kernel binds it.

    On 127.0.0.1 any connection on its way out may have taken it.
    """
    number = next(_NUMBERS)
    return f"127.{os.getpid() % 200 + 20}.{200 + number // 250 % 50}.{number % 250 + 1}"
