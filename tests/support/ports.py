"""Ports of the loopback that a server will listen on later."""

import itertools
import os
import socket

#: Below those that the system gives to connections and to whoever asks for any, and below the
#: node ports of Kubernetes; so many for each worker of a run.
_FIRST, _EACH, _WORKERS = 20_000, 500, 20
_NUMBERS = itertools.count(os.getpid())


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has, and that nobody gets but who names it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    first = _FIRST + int(worker) % _WORKERS * _EACH
    for number in itertools.islice(_NUMBERS, _EACH):
        port = first + number % _EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free from {first} on")
