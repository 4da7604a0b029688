"""Decisions as pure functions: facts in, a verdict out; no I/O and no clock of their own.

Start with ``lifecycle.py``, which the kernels' reconciler obeys. Imports ``api`` and errors.
"""
