"""Kubernetes: the only package that imports its client library.

Start with ``client.py``; ``reflector.py`` keeps a copy of many objects, ``events.py`` tells people,
``requests.py`` builds requests without sending them, ``kinds.py`` is data that anybody may import.
Imports ``runtime.backoff``, errors, clock and logs of ours. This file imports nothing, so that
``kinds`` stays free of the client library.
"""
