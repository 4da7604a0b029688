"""What a reconciler came to, written into the status of a kernel."""

from datetime import datetime

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import NotFound
from elastic_jupyter.policy import kernel_status
from elastic_jupyter.policy.kernel_status import Told
from elastic_jupyter.store.protocol import KernelStore, Key


async def report(
    store: KernelStore, key: Key, kernel: JupyterKernel, told: Told, *, now: datetime
) -> JupyterKernel | None:
    """Write the facts; return the object after it.

    None: its status says all of it already, or the object was deleted meanwhile, which the watch
    tells. Raises what ``KernelStore.patch_status`` does, but ``NotFound``.
    """
    patch = kernel_status.patch(kernel, told, now=now)
    if not patch:
        return None
    version = kernel.metadata.resource_version or ""
    try:
        return await store.patch_status(key, patch, version=version)
    except NotFound:
        return None
