"""The entry point ``elastic-jupyter-gateway``: what has to be done before the imports.

As process 1 of its pod a process without a handler ignores SIGTERM. The imports below take a
second, and a pod that is deleted meanwhile would hold out for its whole grace period.
"""

import os
import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def main() -> None:
    """Run the gateway (``app.main``)."""
    # jupyter_server's events import jsonschema, and that its optional check of the format "iri",
    # which makes forty parsers: half of this process' start, and nothing here has that format. A
    # module that is None is one that is not installed (Python's reference, 5.3.1).
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

    from elastic_jupyter.gateway import app

    app.main()


if __name__ == "__main__":
    main()
