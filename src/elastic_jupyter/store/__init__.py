"""Where the objects are. Start with ``protocol.py``; ``kubernetes.py`` and ``sqlite/`` hold
what implements it.

Imports ``api``, ``kube`` and ``policy``. This file imports nothing: who needs only the protocol
pays for no client library.
"""
