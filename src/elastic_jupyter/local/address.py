"""An address of its own for each kernel of this machine, as pods have it."""

import ipaddress
import random
import socket

from elastic_jupyter.api import names
from elastic_jupyter.errors import Unavailable

#: Four million addresses that lead nowhere else.
NETWORK = ipaddress.ip_network("127.64.0.0/10")
_ATTEMPTS = 20


def free() -> str:
    """Return an address of the loopback network on which all ports of a kernel are free.

    Chosen by chance, so that two who choose at the same time do not meet. Raises ``Unavailable``.
    """
    for _ in range(_ATTEMPTS):
        address = str(NETWORK[random.randrange(1, NETWORK.num_addresses - 1)])
        if _is_free(address):
            return address
    ports = names.PORTS.values()
    raise Unavailable(
        f"no address in {NETWORK} has the ports {min(ports)} to {max(ports)} free: does something "
        "listen to one of them on all addresses?"
    )


def _is_free(address: str) -> bool:
    for port in names.PORTS.values():
        with socket.socket() as one:
            try:
                one.bind((address, port))
            except OSError:
                return False
    return True
