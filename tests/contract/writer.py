"""A process of its own that writes: ``python -m tests.contract.writer ADDRESS NAMESPACE DO NAME``.

What it does: ``create`` or ``delete`` a kernel, or ``count``: add 1 to its epoch twenty times.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.api.names import LABEL_GATEWAY
from elastic_jupyter.errors import Conflict
from elastic_jupyter.store.protocol import KernelStore, Key

STEPS = 20


@contextlib.asynccontextmanager
async def store_at(address: str) -> AsyncIterator[KernelStore]:
    """Open the store at ``sqlite:<path>`` or ``kubernetes:``."""
    scheme, _, path = address.partition(":")
    if scheme == "sqlite":
        from elastic_jupyter.store import sqlite

        database = sqlite.open_database(Path(path))
        with contextlib.closing(database):
            yield sqlite.SqliteKernelStore(database)
    else:
        from elastic_jupyter.store import kubernetes

        async with kubernetes.connect() as client:
            yield kubernetes.KubernetesKernelStore(client)


def a_kernel(key: Key, *, gateway: str = "gw", **spec: object) -> JupyterKernel:
    """Return a wish for a kernel."""
    return JupyterKernel.model_validate(
        {
            "kind": "JupyterKernel",
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "labels": {LABEL_GATEWAY: gateway},
            },
            "spec": {"kernelID": "1", "template": {}, **spec},
        }
    )


async def count(store: KernelStore, key: Key) -> None:
    """Add 1 to the epoch so many times, whoever else does the same."""
    for _ in range(STEPS):
        while True:
            seen = await store.get(key)
            epoch = (seen.status and seen.status.epoch) or 0
            with contextlib.suppress(Conflict):
                version = seen.metadata.resource_version or ""
                await store.patch_status(key, {"epoch": epoch + 1}, version=version)
                break


async def main(address: str, namespace: str, do: str, name: str) -> None:
    """Do one thing."""
    key = Key(namespace, name)
    async with store_at(address) as store:
        if do == "create":
            await store.create(a_kernel(key))
        elif do == "delete":
            await store.delete(key, uid=(await store.get(key)).metadata.uid or "")
        else:
            await count(store, key)


async def elsewhere(address: str, do: str, key: Key) -> None:
    """Do it in another process, and wait for its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, address, key.namespace, do, key.name),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert await process.wait() == 0


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
