"""Routes of the gateway, each by who calls it.

| caller | routes |
|---|---|
| notebook server, with its token | Jupyter's API of kernels and of kernel specs with their logos |
| our extension in it, too | its kernels and sessions at once; one session on a kernel |
| the agent in a kernel, with the token of its incarnation | the kernel's address |
| kubelet | ``/livez``, ``/readyz`` |
"""

import ipaddress
import json
from typing import Any, cast

from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.kernelspecs.handlers import KernelSpecResourceHandler
from jupyter_server.services.kernels import handlers as upstream
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyter_server.services.kernelspecs import handlers as kernelspecs
from jupyter_server.services.sessions.handlers import _session_id_regex
from jupyter_server.utils import url_escape, url_path_join
from tornado import web

from elastic_jupyter.errors import ElasticJupyterError
from elastic_jupyter.gateway.bodies import Start, read_object
from elastic_jupyter.gateway.kernels import ElasticMappingKernelManager
from elastic_jupyter.gateway.sessions import KernelSession

_KERNEL = upstream._kernel_id_regex


class _AfterRecovery(JupyterHandler):
    """Answers 503 until the first list is complete.

    A notebook server drops its kernels on the 404 that it would get instead.
    """

    @property
    def kernels(self) -> ElasticMappingKernelManager:
        """The manager of all kernels."""
        return cast("ElasticMappingKernelManager", self.kernel_manager)

    def check_xsrf_cookie(self) -> None:
        """Do nothing: no cookie counts here. Upstream would speak of it when the token is bad."""

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        await super().prepare(*args, **kwargs)
        if not self.kernels.recovered.is_set():
            # An HTTPError would drop the header, without which nobody sends a POST again.
            self.set_header("Retry-After", "1")
            self.set_status(503)
            said = {"message": "the gateway is reading its kernels", "reason": None}
            self.finish(json.dumps(said))


class KernelsHandler(_AfterRecovery, upstream.MainKernelHandler):
    """Lists and starts the caller's kernels."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the caller's kernels, also those that are reclaimed."""
        self.finish(json.dumps(self.kernels.list_for(self.current_user.notebook)))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Start a kernel. Upstream ignores ``env`` and takes the caller's ``kernel_id``."""
        manager = self.kernels
        try:
            wanted = Start.read(self.request.body)
        except ValueError as error:
            raise web.HTTPError(400, str(error)) from error
        kernel_id = await manager.start_kernel(
            kernel_name=wanted.name or manager.default_kernel_name,
            identity=self.current_user.notebook,
            env=wanted.env,
        )
        self.set_header(
            "Location", url_path_join(self.base_url, "api", "kernels", url_escape(kernel_id))
        )
        self.set_status(201)
        self.finish(json.dumps(manager.kernel_model(kernel_id)))


class KernelHandler(_AfterRecovery, upstream.KernelHandler):
    """One kernel."""


class KernelActionHandler(_AfterRecovery, upstream.KernelActionHandler):
    """Interrupt and restart. Upstream answers 500 to a restart that fails, whatever the reason."""

    @web.authenticated
    @authorized
    async def post(self, kernel_id: str, action: str) -> None:
        """Answer as upstream, and with the reason to what cannot be done."""
        try:
            if action == "interrupt":
                await self.kernels.interrupt_kernel(kernel_id)
                self.set_status(204)
            else:
                await self.kernels.restart_kernel(kernel_id)
                self.write(json.dumps(self.kernels.kernel_model(kernel_id)))
        except ElasticJupyterError as error:
            message = f"the kernel was not {action}ed: {error}"
            raise web.HTTPError(error.http_status, message) from error


class ChannelsHandler(_AfterRecovery, KernelWebsocketHandler):
    """The websocket, without Nagle's algorithm: it costs 40 ms with delayed ACKs."""

    async def open(self, kernel_id: str) -> None:
        """Handle the new websocket."""
        self.set_nodelay(True)
        await super().open(kernel_id)  # type: ignore[no-untyped-call]


class NotebookHandler(_AfterRecovery, upstream.KernelsAPIHandler):
    """What a notebook server that starts anew has to know of its kernels."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer the caller's ``kernels`` (models) and ``sessions`` (id, path, name, type, kernel).

        A session's kernel is its ``kernel_id``.
        """
        notebook = self.current_user.notebook
        kernels, sessions = self.kernels.list_for(notebook), self.kernels.sessions_for(notebook)
        self.finish(json.dumps({"kernels": kernels, "sessions": sessions}))


class KernelSessionHandler(_AfterRecovery, upstream.KernelsAPIHandler):
    """One session on a kernel."""

    @web.authenticated
    @authorized
    async def put(self, kernel_id: str, session_id: str) -> None:
        """Keep path, name and type of a session, which leaves the kernel that it was on before."""
        try:
            session = KernelSession.of({**read_object(self.request.body), "id": session_id})
        except ValueError as error:
            raise web.HTTPError(400, f"not a session: {error}") from error
        try:
            await self.kernels.keep_session(kernel_id, session)
        except ElasticJupyterError as error:
            message = f"the session was not kept: {error}"
            raise web.HTTPError(error.http_status, message) from error
        self.set_status(204)


class KernelSpecsHandler(_AfterRecovery, kernelspecs.MainKernelSpecHandler):
    """The specs on offer."""


class KernelSpecHandler(_AfterRecovery, kernelspecs.KernelSpecHandler):
    """One spec."""


class LogoHandler(_AfterRecovery, KernelSpecResourceHandler):
    """A kernel's logo."""

    def get_login_url(self) -> str:
        """Refuse: there is no page to log in at, where upstream would send a browser."""
        raise web.HTTPError(403)


class AddressHandler(web.RequestHandler):
    """Takes a kernel's word on where it is, which its pod's status has only half a second later.

    The caller is the agent in a kernel, known by the token of its incarnation, and no notebook.
    """

    def check_xsrf_cookie(self) -> None:
        """Do nothing: no browser calls here, and no cookie counts."""

    @allow_unauthenticated
    def post(self, kernel_id: str) -> None:
        """Answer 204; 503 before recovery, 403 to anybody but the kernel's present incarnation.

        The address counts only if the call comes from it: so nobody names another's, and one that
        was translated on the way is not mistaken for the kernel's.
        """
        manager = self.settings["kernel_manager"]
        if not manager.recovered.is_set():
            raise web.HTTPError(503)
        try:
            said = read_object(self.request.body)
            address, epoch = ipaddress.ip_address(said["address"]), int(said["epoch"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise web.HTTPError(400, "an address and an epoch are wanted") from error
        if address != ipaddress.ip_address(str(self.request.remote_ip)):
            raise web.HTTPError(400, "the call does not come from the address it names")
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        kernel = manager.kernels.get(kernel_id)
        if not (kernel and kernel.take_address(str(address), epoch=epoch, token=token)):
            raise web.HTTPError(403)
        self.set_status(204)


class LiveHandler(web.RequestHandler):
    """The process answers."""

    @allow_unauthenticated
    def get(self) -> None:
        """Answer 200."""
        self.finish("ok")


class ReadyHandler(web.RequestHandler):
    """Every kernel has been read, and running ones are connected."""

    @allow_unauthenticated
    def get(self) -> None:
        """Answer 200, or 503 before recovery."""
        if not self.settings["kernel_manager"].recovered.is_set():
            self.set_status(503)
            self.finish("reading the kernels")
            return
        self.finish("ok")


default_handlers = [
    (r"/livez", LiveHandler),
    (r"/readyz", ReadyHandler),
    (r"/api/kernels", KernelsHandler),
    (rf"/api/kernels/{_KERNEL}", KernelHandler),
    (rf"/api/kernels/{_KERNEL}/{upstream._kernel_action_regex}", KernelActionHandler),
    (rf"/api/kernels/{_KERNEL}/channels", ChannelsHandler),
    (rf"/api/kernels/{_KERNEL}/sessions/{_session_id_regex}", KernelSessionHandler),
    (r"/api/notebook", NotebookHandler),
    (rf"/api/kernels/{_KERNEL}/address", AddressHandler),
    (r"/api/kernelspecs", KernelSpecsHandler),
    (rf"/api/kernelspecs/{kernelspecs.kernel_name_regex}", KernelSpecHandler),
    (rf"/kernelspecs/{kernelspecs.kernel_name_regex}/(?P<path>logo-[^/]+)", LogoHandler),
]
