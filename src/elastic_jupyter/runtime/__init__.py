"""The level-triggered machinery: what must be looked at, when, and by how many at a time.

Start with ``controller.py``; ``queue.py`` decides what is next, ``backoff.py`` how long to wait.
Imports only the standard library, errors and logs; knows nothing of Kubernetes.
"""
