"""Talks to the API server: plain dicts in and out, our own errors.

lightkube reads the configuration and does TLS and authentication: it reads the service account's
token again after a 401, and so picks up a rotated one. Requests are our own (``requests.py``): its
``delete`` has no uid precondition, its ``watch`` no bookmarks and no read timeout (1.0.1), and what
never becomes a model loses nothing and costs less.
"""

import contextlib
import random
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from elastic_jupyter.errors import ConfigError, Expired, Unavailable
from elastic_jupyter.kube import kubeconfig, requests, responses
from elastic_jupyter.kube.kinds import Kind, Object
from elastic_jupyter.kube.requests import Request

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
"""Seconds without a byte of an answer. Writes with webhooks may take 30 s at most by default."""

WATCH_SECONDS = 290
"""How long the server keeps a watch open, give or take a tenth: below the 300 s at which some load
balancers cut it, and spread so that not all watches start again at once."""

INACTIVITY_TIMEOUT = 90.0
"""Seconds without a byte on a watch. The API server sends a bookmark about once a minute."""

MAX_CONNECTIONS = 128
"""Each watch holds one for good; the rest serve requests."""

# A peer that vanished without a word is noticed by the kernel in about 15 + 3 x 5 s, also while
# only the watch's inactivity timeout would notice it later.
_KEEPALIVE: list[tuple[int, int, int]] = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, option), value)
        for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, option)
    ),
]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list as of ``resource_version``, from which a watch can go on."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark's object has only a version."""

    type: str
    object: Object


class Client:
    """An API server. Use as an async context manager, or call ``close``.

    Every method raises only ``StoreError``s: ``NotFound``, ``AlreadyExists``, ``Conflict``,
    ``Invalid`` (with the server's message), ``Forbidden``, ``Expired``, ``Unavailable``. Nothing is
    repeated here: the caller knows whether that is safe. A ``namespace`` is None for cluster-wide
    kinds and, where many objects are read, for all namespaces. Returned dicts are the caller's own.
    """

    def __init__(self, config: SingleConfig) -> None:
        user = config.user or User()
        self.namespace = config.namespace
        """The namespace that the configuration names: in a pod, the pod's own."""
        self._http = httpx2.AsyncClient(
            base_url=config.cluster.server,
            auth=user_auth(user),
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            transport=httpx2.AsyncHTTPTransport(
                verify=verify_cluster(config.cluster, user, config.abs_file, trust_env=False),
                limits=httpx2.Limits(
                    max_connections=MAX_CONNECTIONS,
                    max_keepalive_connections=32,
                    # Below the 90 s of the API server; the default of 5 s costs a TLS handshake
                    # for nearly every kernel start.
                    keepalive_expiry=60.0,
                ),
                socket_options=_KEEPALIVE,
            ),
            # No proxy from the environment: inside a cluster it is meant for the outside.
            trust_env=False,
        )

    @classmethod
    def from_environment(cls) -> Self:
        """Connect with the pod's service account, else as a person does. Raises ``ConfigError``."""
        return cls._of(kubeconfig.of_process())

    @classmethod
    def of_person(cls, context: str | None = None) -> Self:
        """Connect as kubectl does: ``$KUBECONFIG``, ``~/.kube/config`` or the pod's account.

        ``context`` None is the current one. Raises ``ConfigError``.
        """
        return cls._of(kubeconfig.of_person(context))

    @classmethod
    def from_server(cls, url: str, *, namespace: str = "default") -> Self:
        """Connect to an API server that asks for no credentials."""
        return cls(kubeconfig.of_server(url, namespace=namespace))

    @classmethod
    def _of(cls, config: SingleConfig) -> Self:
        try:
            return cls(config)
        except (OSError, LightkubeConfigError) as error:  # certificates; an unknown way to log in
            raise ConfigError(
                f"no usable Kubernetes configuration: context {config.context_name}: {error}"
            ) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, those of watches too."""
        await self._http.aclose()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Return one object. Raises ``NotFound``."""
        return await self._object(requests.get(kind, namespace, name))

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Listing:
        """Return all objects that match, with ``kind`` and ``apiVersion``, without managedFields.

        Read in pages; when the server forgets the list between two of them, read again at once in
        one.
        """
        items: list[Object] = []
        limit: int | None = requests.LIST_CHUNK
        token: str | None = None
        while True:
            request = requests.list_page(
                kind,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                continue_from=token,
            )
            try:
                page = await self._object(request)
            except Expired:
                if token is None:
                    raise
                items, limit, token = [], None, None
                continue
            for item in page.get("items") or ():
                items.append(responses.strip(responses.fill(kind, item)))
            metadata = page.get("metadata") or {}
            token = metadata.get("continue") or None
            if token is None:
                return Listing(items, metadata.get("resourceVersion", ""))

    async def create(
        self, kind: Kind, obj: Object, *, field_manager: str | None = None, dry_run: bool = False
    ) -> Object:
        """Create an object in its ``metadata.namespace``; return it with the server's defaults.

        Raises ``AlreadyExists``, ``Invalid``, ``Forbidden`` (a quota, too).
        """
        request = requests.create(kind, obj, field_manager=field_manager, dry_run=dry_run)
        return await self._object(request)

    async def apply(
        self,
        kind: Kind,
        obj: Object,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply: create the object, or make exactly its fields in ``obj`` so.

        Fields that this manager applied before and that are missing now are removed. Without
        ``force`` a field of another manager is a ``Conflict``. A ``metadata.uid`` or
        ``resourceVersion`` in ``obj`` is a precondition.
        """
        request = requests.apply(
            kind,
            obj,
            field_manager=field_manager,
            force=force,
            subresource=subresource,
            dry_run=dry_run,
        )
        return await self._object(request)

    async def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        field_manager: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """JSON merge patch: None removes a key, lists are replaced; return the new object.

        A ``metadata.resourceVersion`` in ``body`` is a precondition (``Conflict``).
        """
        request = requests.patch(
            kind,
            namespace,
            name,
            body,
            subresource=subresource,
            field_manager=field_manager,
            dry_run=dry_run,
        )
        return await self._object(request)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
    ) -> None:
        """Delete an object. Returns before finalizers and grace are through.

        With ``uid`` only the object that has it: another one of the same name is a ``Conflict``.
        Raises ``NotFound``.
        """
        await self._object(
            requests.delete(
                kind,
                namespace,
                name,
                grace_seconds=grace_seconds,
                uid=uid,
            )
        )

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        inactivity: float = INACTIVITY_TIMEOUT,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield changes after ``resource_version``, and bookmarks, until the server ends it.

        Without a version everything that exists comes first as ADDED. Objects come without
        managedFields. Raises ``Expired`` when the version is too old, ``Unavailable`` when the
        connection breaks or is silent for ``inactivity`` seconds. Close it
        (``contextlib.aclosing``). ``Reflector`` does all this and what follows from it.
        """
        request = requests.watch(
            kind,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=round(WATCH_SECONDS * random.uniform(0.9, 1.1)),
        )
        async with (
            self._streamed(request, inactivity=inactivity) as response,
            contextlib.aclosing(_lines(response)) as lines,
        ):
            async for line in lines:
                yield _event(kind, line, what=request.what)

    async def log(
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        follow: bool = False,
        tail: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield what a container printed, in pieces of any size; ``tail``: so many last lines.

        ``follow``: and what comes, until the container ends. Raises ``NotFound`` without pod,
        ``Invalid`` before the container was started. Close it.
        """
        request = requests.pod_log(namespace, pod, container=container, follow=follow, tail=tail)
        # A kernel may print nothing for days.
        async with (
            self._streamed(request, inactivity=None if follow else READ_TIMEOUT) as response,
            contextlib.aclosing(response.aiter_bytes()) as pieces,
        ):
            async for piece in pieces:
                yield piece

    @contextlib.asynccontextmanager
    async def _streamed(
        self, request: Request, *, inactivity: float | None
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a request whose answer is read while it comes; its errors and the reader's are ours.

        ``inactivity``: seconds without a byte of it that are borne; None: any.
        """
        timeout = httpx2.Timeout(inactivity, connect=CONNECT_TIMEOUT)
        with _translated(request.what):
            response = await self._http.send(self._build(request, timeout), stream=True)
            try:
                if response.is_error:
                    content = await response.aread()
                    raise responses.error_of(
                        response.status_code, content, response.headers, what=request.what
                    )
                yield response
            finally:
                await response.aclose()

    async def _object(self, request: Request) -> Object:
        with _translated(request.what):
            response = await self._http.send(self._build(request))
        if response.is_error:
            raise responses.error_of(
                response.status_code, response.content, response.headers, what=request.what
            )
        return responses.decode(response.content, what=request.what)

    def _build(self, request: Request, timeout: httpx2.Timeout | None = None) -> httpx2.Request:
        return self._http.build_request(
            request.method,
            request.path,
            params=dict(request.params),
            content=None if request.body is None else msgspec.json.encode(request.body),
            headers={"Content-Type": request.content_type} if request.body is not None else None,
            timeout=self._http.timeout if timeout is None else timeout,
        )


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the library's errors into ours; everything else passes."""
    try:
        yield
    except httpx2.HTTPError as error:
        raise Unavailable(f"{what}: {str(error) or type(error).__name__}") from error
    except LightkubeConfigError as error:  # the token file or the credential plugin failed
        raise Unavailable(f"{what}: no credentials: {error}") from error


async def _lines(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a stream.

    Not ``aiter_lines``: it splits as ``str.splitlines`` does, and so inside of a JSON string that
    holds U+0085, which Go does not escape.
    """
    rest: list[bytes] = []
    async for chunk in response.aiter_bytes():
        *ended, tail = chunk.split(b"\n")
        for line in ended:
            whole = b"".join([*rest, line])
            rest.clear()
            if whole:
                yield whole
        if tail:
            rest.append(tail)


def _event(kind: Kind, line: bytes, *, what: str) -> WatchEvent:
    event = responses.decode(line, what=what)
    obj = event["object"]
    if event["type"] == "ERROR":
        raise responses.error_of_status(int(obj.get("code") or 500), obj, what=what)
    return WatchEvent(event["type"], responses.strip(responses.fill(kind, obj)))
