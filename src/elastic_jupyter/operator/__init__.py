"""The operator: makes true on Kubernetes what our five kinds ask for.

Start with ``kernel.py``, the reconciler that matters most, and ``wiring.py``, which says what wakes
whom. One reconciler a kind, each told a name and never an event; ``queue.py`` lifts the gates of
pods that wait for a GPU; ``objects/`` holds pure builders of children; ``sight.py`` reads a pod.
``app.py`` is the process. Imports ``api``, ``policy``, ``runtime``, ``kube`` and ``store``.
"""
