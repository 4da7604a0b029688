"""The gateway: Jupyter's kernels API in front of JupyterKernel objects.

Start with ``app.py`` (the process), then ``kernels.py`` (all kernels: watch, recovery, culling) and
``kernel.py`` (one kernel: launch, reclaim, wake), with what has a state of its own beside it:
``hibernation.py``, ``idleness.py``, ``notice.py``, ``returning.py``. ``connection.py`` is one
websocket; what it shows while a kernel waits comes from ``policy.notices``. Imports ``api``,
``policy``, ``store`` and ``runtime.backoff``, never ``kube``.
"""
