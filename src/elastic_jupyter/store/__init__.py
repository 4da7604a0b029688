"""Where the objects are. Start with ``protocol.py``; ``kubernetes.py`` and ``sqlite/`` hold
what implements it.

Imports ``api`` and ``kube``. This file imports nothing: who needs only the protocol pays for no
client library.
"""
