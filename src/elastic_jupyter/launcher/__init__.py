"""``kubeflow-launcher``: the original's command, which makes a JupyterKernel from a template.

Enterprise Gateway runs it in place of its own ``launch_kubernetes.py``. Start with ``command.py``;
``launch.py`` reads flags and environment, ``kernel.py`` builds the object. May import ``api``,
``policy``, ``store`` and ``kube``.
"""
