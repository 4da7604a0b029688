"""The notebook server's picture of its kernels at the gateway."""

import asyncio
import contextlib
from typing import Any

from jupyter_server.gateway.managers import GatewayKernelManager, GatewayMappingKernelManager
from jupyter_server.utils import url_path_join
from tornado.escape import url_escape
from tornado.web import HTTPError
from traitlets import default

from elastic_jupyter.notebook.backoff import LONGEST
from elastic_jupyter.notebook.connection import ElasticGatewayConnection
from elastic_jupyter.notebook.rest import TRANSIENT

#: Seconds that a call waits for the adoption. The gateway is asked every ``LONGEST`` seconds, so
#: that whoever calls when it is there, as a page that was just opened, is not refused.
ADOPTING = 2 * LONGEST


class ElasticGatewayKernelManager(GatewayKernelManager):
    """Overrides ``refresh_model``, ``interrupt_kernel`` (jupyter_server 2.21.1), with ``super()``.

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

    async def interrupt_kernel(self) -> None:  # type: ignore[override]  # as upstream's
        """Interrupt what the kernel runs, and what waits here for the gateway."""
        ElasticGatewayConnection.interrupt_waiting(str(self.kernel_id))
        await super().interrupt_kernel()


class ElasticMappingKernelManager(GatewayMappingKernelManager):
    """Overrides what reads kernels, and ``shutdown_all`` (jupyter_server 2.21.1), with ``super()``.

    Upstream knows only the kernels that its own process started, and stops them at its end. Here
    those that the gateway keeps for this notebook are adopted at the start (``adoption.py``); until
    then nothing is said of kernels, since front ends drop one that a list lacks.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._kernels: dict[str, Any] = {}  # upstream's is shared by all instances
        self._adopted = asyncio.Event()
        self._hindrance = ""
        #: Whether the gateway keeps kernels and sessions of a notebook server that ends.
        self.kept_by_gateway = False

    @default("kernel_manager_class")
    def _default_kernel_manager_class(self) -> str:
        return f"{__name__}.{ElasticGatewayKernelManager.__name__}"

    async def adopt(self, models: list[dict[str, Any]]) -> None:
        """Take over the kernels that the gateway keeps, as ``GET /api/kernels`` shows them."""
        for model in models:
            kernel = self.kernel_manager_factory(parent=self, log=self.log)
            kernel.kernel_id = model["id"]
            kernel.kernel_url = url_path_join(self.kernels_url, url_escape(model["id"]))
            await kernel.refresh_model(model)
            self._kernels[model["id"]] = kernel
        self.kept_by_gateway = True

    def not_yet(self, why: str) -> None:
        """Note what keeps the kernels from being adopted, for whoever asks for them meanwhile."""
        self._hindrance = why

    def serve(self) -> None:
        """Note that all kernels which are there have been adopted."""
        self._adopted.set()

    async def until_adopted(self) -> None:
        """Wait until it is known which kernels there are. Raises 503 after ``ADOPTING`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ADOPTING):
                await self._adopted.wait()
        self._require_adopted()

    def _require_adopted(self) -> None:
        if self._adopted.is_set():
            return
        text = "the notebook's kernels are being read from the gateway"
        if self._hindrance:
            text = f"the notebook's kernels cannot be read from the gateway: {self._hindrance}"
        raise HTTPError(503, text)

    def get_kernel(self, kernel_id: str) -> Any:
        """Return the manager of one kernel. Raises ``KeyError``, and 503 before the adoption."""
        self._require_adopted()
        return super().get_kernel(kernel_id)

    async def list_kernels(self, **kwargs: Any) -> Any:
        """Return the models of all kernels. Waits for the adoption, or raises 503."""
        await self.until_adopted()
        return await super().list_kernels(**kwargs)  # type: ignore[no-untyped-call]

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        """Leave the kernels to a gateway that keeps them; called when the server ends."""
        if not self.kept_by_gateway:
            await super().shutdown_all(now=now)  # type: ignore[no-untyped-call]
