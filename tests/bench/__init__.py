"""Benchmarks side by side with what they are compared to, on a real cluster and on one machine.

``python -m tests.bench [--local] [--rounds N] [--check] [name ...]`` prints JSON (``--help`` has
the names); each figure says whether it is within its limit, and ``--check`` exits with 1 if one is
not. Start reading in ``__main__``; ``inside`` runs in a pod, ``local`` on this machine. Absolute
times are of the machine; the ratios count.
"""
