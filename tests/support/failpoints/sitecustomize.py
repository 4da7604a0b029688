"""Trouble at a chosen point of a process. Python imports this where its folder is on PYTHONPATH.

``$FAILPOINT`` names a JSON file, ``{"point": "Save.seal", "when": "before", "do": "kill"}``; the
others are ``after`` and ``fill``. The first process that comes to the point takes it by renaming
the file: the trouble is had once.
"""

import errno
import functools
import importlib.abc
import importlib.util
import inspect
import json
import os
import signal
import sys

#: Where a step of a sleep or a wake is done: by the gateway, the operator or the
#: machine itself, and the kernel.
POINTS = {
    "elastic_jupyter.store.sqlite.kernels": (
        "SqliteKernelStore.wish",
        "SqliteKernelStore.save",
        "SqliteKernelStore.patch_status",
    ),
    "elastic_jupyter.store.snapshots": (
        "BlobDraft.commit",
        "Save.seal",
        "SnapshotStore.manifest",
        "SnapshotStore.sweep",
    ),
    "elastic_jupyter.local.making": ("Maker.make", "Maker.end"),
    "elastic_jupyter.store.kernels": (
        "KubernetesKernelStore.wish",
        "KubernetesKernelStore.save",
        "KubernetesKernelStore.patch_status",
    ),
    "elastic_jupyter.operator.kernel": ("KernelReconciler._create", "KernelReconciler._delete"),
    "elastic_jupyter_agent.transfer": (
        "Gateway.put",
        "Gateway.put_manifest",
        "Gateway.get_manifest",
        "Gateway.read_into",
    ),
    "elastic_jupyter.store.files": ("_DiskDraft._append",),
}


def _come_to(point, when):
    file = os.environ["FAILPOINT"]
    try:
        with open(file) as opened:
            said = json.load(opened)
        if (said["point"], said["when"]) != (point, when):
            return
        os.rename(file, f"{file}.had")
    except FileNotFoundError:
        return
    if said["do"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)  # the first process of a container cannot kill itself
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _troubled(point, function):
    @functools.wraps(function)
    async def awaited(*args, **kwargs):
        _come_to(point, "before")
        result = await function(*args, **kwargs)
        _come_to(point, "after")
        return result

    @functools.wraps(function)
    def called(*args, **kwargs):
        _come_to(point, "before")
        result = function(*args, **kwargs)
        _come_to(point, "after")
        return result

    return awaited if inspect.iscoroutinefunction(function) else called


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a module as all others do, and wraps its points once it is loaded."""

    def find_spec(self, name, path, target=None):
        if name not in POINTS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            for point in POINTS[name]:
                owner, method = point.split(".")
                kind = getattr(module, owner)
                setattr(kind, method, _troubled(point, getattr(kind, method)))

        spec.loader.exec_module = exec_module
        return spec


if "FAILPOINT" in os.environ:
    sys.meta_path.insert(0, _Finder())
