"""The reconciler of one machine: a JupyterKernel becomes a process.

Start with ``app.py``, then ``kernel.py``. What the operator is on a cluster; it obeys the same
``policy`` and writes the same status. Imports api, policy, runtime and store.
"""
