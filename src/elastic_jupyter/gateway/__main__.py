"""The entry point ``elastic-jupyter-gateway``: can be ended before it has begun.

As process 1 of its pod a process without a handler ignores SIGTERM. The imports below take a
second, and a pod that is deleted meanwhile would hold out for its whole grace period.
"""

import os
import signal

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def main() -> None:
    """Run the gateway (``app.main``)."""
    from elastic_jupyter.gateway import app

    app.main()


if __name__ == "__main__":
    main()
