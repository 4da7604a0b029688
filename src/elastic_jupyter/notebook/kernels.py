"""The notebook server's picture of a kernel at the gateway."""

from typing import Any

from jupyter_server.gateway.managers import GatewayKernelManager
from tornado.web import HTTPError

from elastic_jupyter.notebook.rest import TRANSIENT


class ElasticGatewayKernelManager(GatewayKernelManager):
    """Overrides ``refresh_model`` (jupyter_server 2.21.1), with ``super()``.

    Upstream's ``GatewayMappingKernelManager.list_kernels`` forgets a kernel, and with it its
    session, when the gateway's list lacks it and asking for it fails in whatever way. Only 404
    means gone.
    """

    async def refresh_model(self, model: Any = None) -> Any:
        """Return the kernel's model, as last known while the gateway is away; None: it is gone."""
        known = self.kernel
        try:
            return await super().refresh_model(model)  # type: ignore[no-untyped-call]
        except HTTPError as error:
            if known is None or error.status_code not in TRANSIENT:
                raise
            return known
