"""What kernels printed, from the API server, which asks the kubelet."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import Invalid, NotFound
from elastic_jupyter.kube.client import Client
from elastic_jupyter.policy.pod_template import first_container


class PodLogs:
    """``KernelLogs`` of pods."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(
        self, kernel: JupyterKernel, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        namespace, name = kernel.metadata.namespace or "", kernel.metadata.name or ""
        container = first_container(kernel.spec.template).get("name") or "kernel"
        log = self._client.log(namespace, name, container=container, follow=follow, tail=tail)
        try:
            async with aclosing(log):
                async for piece in log:
                    yield piece
        except Invalid as error:  # it waits for something, in the API server's words
            raise NotFound(str(error)) from error
