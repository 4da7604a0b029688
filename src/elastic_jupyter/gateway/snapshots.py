"""Takes a kernel's variables from the agent in it, and gives them back, as ``Transfers`` allows.

| | while it is saved | while it is restored |
|---|---|---|
| ``snapshot/blobs/<digest>`` | HEAD: 200 needs no writing, 404; PUT: 201 | GET |
| ``snapshot/manifest`` | HEAD: 200 go on, 410 it sleeps; PUT: 201 with ``id``, all is saved | GET |

Below ``/api/kernels/<kernel_id>/``. Everything else is refused with a JSON object whose ``message``
is a sentence for the user: 403 a wrong token, 409 it has ended, 413 too large, 422 not what its
digest says, 503 and 507 the store. Bodies go through in pieces: a few megabytes are in memory, and
the store is waited for in threads.
"""

import asyncio
import json
from typing import Any, TypeVar, cast

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.services.kernels.handlers import _kernel_id_regex
from tornado import iostream, web

from elastic_jupyter.errors import Conflict, ElasticJupyterError, SnapshotTooLarge
from elastic_jupyter.gateway.transfers import Restoring, Saving, Transfer, Transfers
from elastic_jupyter.store.snapshots import BlobDraft

T = TypeVar("T", bound=Transfer)

#: Where a gateway that keeps snapshots has its ``Transfers`` among the application's settings.
SETTING = "elastic_jupyter_transfers"
#: Bytes that are handed to a thread at once. As many again come in meanwhile.
BATCH = 4 * 2**20
#: Bytes of a manifest: it has a hundred for each blob, and as many for each name.
MAX_MANIFEST = 32 * 2**20
#: No limit of tornado's: what is too large is counted here and told, where that would hang up.
_UNLIMITED = 2**62


class _SnapshotHandler(web.RequestHandler):
    """What both have in common: who calls, and errors as sentences."""

    transfer: Transfer

    def check_xsrf_cookie(self) -> None:
        """Do nothing: no browser calls here, and no cookie counts."""

    def prepare(self) -> None:
        """Find the transfer, before a body is read.

        403 for a token that opens none, 410 for a HEAD when the kernel sleeps.
        """
        transfers = cast("Transfers | None", self.settings.get(SETTING))
        token = self.request.headers.get("Authorization", "").removeprefix("token ")
        found = transfers and transfers.find(self.path_kwargs["kernel_id"], token)
        if not found:
            raise web.HTTPError(403, "the token is of no save or restore of this kernel")
        self.transfer = found
        if self.request.method == "HEAD" and isinstance(found, Saving) and found.named:
            raise web.HTTPError(410, "the kernel sleeps")
        wanted: type[Transfer] = Restoring if self.request.method == "GET" else Saving
        if not isinstance(found, wanted):
            raise web.HTTPError(403, "the token is not for this")
        found.require_open()
        cast("Any", self.request.connection).set_max_body_size(_UNLIMITED)

    @property
    def transfers(self) -> Transfers:
        """All transfers of the gateway."""
        return cast("Transfers", self.settings[SETTING])

    def of(self, kind: type[T]) -> T:
        """Return the transfer, which ``prepare`` has found to be of this kind."""
        assert isinstance(self.transfer, kind)
        return self.transfer

    def refuse(self, error: ElasticJupyterError) -> None:
        """Answer before all of a body has come: tornado then hangs up (6.6).

        So a sender whose connection breaks has to look for the answer.
        """
        self.send_error(error.http_status, exc_info=(type(error), error, error.__traceback__))

    def log_exception(self, *error: Any) -> None:
        """Log what is a fault of ours, and not what the caller is told in a sentence."""
        if not isinstance(error[1], ElasticJupyterError | iostream.StreamClosedError):
            super().log_exception(*error)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say in JSON what happened: ``message``, and ``reason`` as in the errors' classes."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        said = {"message": "the gateway failed", "reason": "InternalError"}
        if isinstance(error, ElasticJupyterError):
            self.set_status(error.http_status)
            said = {"message": str(error), "reason": error.reason}
        elif isinstance(error, web.HTTPError):
            said = {"message": error.log_message or self._reason, "reason": self._reason}
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(said))


@web.stream_request_body
class BlobHandler(_SnapshotHandler):
    """One part of a kernel's variables, named by its SHA-256."""

    def prepare(self) -> None:
        """Find the transfer, and begin to write where that is asked for."""
        super().prepare()
        self._batch: list[bytes] = []
        self._waiting = 0
        self._draft: BlobDraft | None = None
        self._writing: asyncio.Task[None] | None = None

    async def data_received(self, chunk: bytes) -> None:
        """Take some of the body. That it returns late makes the sender wait."""
        self._batch.append(chunk)
        self._waiting += len(chunk)
        self.transfer.moved += len(chunk)
        if self._waiting >= BATCH:
            try:
                await self._hand_over()
            except ElasticJupyterError as error:
                self.refuse(error)

    async def _hand_over(self, *, last: bool = False) -> None:
        """Have the batch written, after the one before it."""
        await self._written()
        batch, self._batch, self._waiting = self._batch, [], 0
        self._writing = asyncio.get_running_loop().create_task(self._write(batch, last=last))

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing

    async def _write(self, batch: list[bytes], *, last: bool) -> None:
        await self.transfer.call(self._in_thread, self.of(Saving), batch, last)

    def _in_thread(self, saving: Saving, batch: list[bytes], last: bool) -> None:
        if self._draft is None:
            self._draft = saving.save.put(self.path_kwargs["digest"])
        self._draft.write(b"".join(batch))
        if last:
            self._draft.commit()

    @allow_unauthenticated
    async def put(self, kernel_id: str, digest: str) -> None:
        """Answer 201 when all of the blob is in the store."""
        if self._finished:
            return  # refused before all had come
        await self._hand_over(last=True)
        await self._written()
        self.set_status(201)

    @allow_unauthenticated
    async def head(self, kernel_id: str, digest: str) -> None:
        """Answer 200 when the blob is there already, 404 when it has to be put."""
        if not await self.transfer.call(self.of(Saving).save.has, digest):
            self.set_status(404)
        self.transfer.moved += 1  # what is there already goes on without moving anything

    @allow_unauthenticated
    async def get(self, kernel_id: str, digest: str) -> None:
        """Send the blob. One that turns out to be damaged on the way ends too early."""
        transfer, store = self.of(Restoring), self.transfers.store
        size, pieces = await transfer.call(store.open_blob, transfer.uid, digest)

        def following() -> asyncio.Task[bytes | None]:
            return asyncio.get_running_loop().create_task(transfer.call(next, pieces, None))

        coming = following()
        try:
            # The first before the headers: of a small blob is known by then that it is whole.
            piece = await coming
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Content-Length", size)
            while piece is not None:
                coming = following()  # read while this one is sent
                self.write(piece)
                await self.flush()
                transfer.moved += len(piece)
                piece = await coming
        except ElasticJupyterError:
            if self._headers_written:
                cast("Any", self.request.connection).stream.close()
                return
            self.clear()
            raise
        finally:
            await asyncio.wait([coming])
            coming.exception()  # told already, or there is nobody to tell
            await transfer.clean_up(pieces.close)

    def on_finish(self) -> None:
        """Leave nothing of a blob behind that did not come to its end."""
        self._clean_up()

    def on_connection_close(self) -> None:
        """The same, where the kernel went away."""
        self._clean_up()

    def _clean_up(self) -> None:
        if getattr(self, "_cleaning", None) is None and hasattr(self, "_draft"):
            self._cleaning = asyncio.get_running_loop().create_task(self._abort())

    async def _abort(self) -> None:
        """Abort the draft after the thread that may still write it."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.exception()  # told already, or there is nobody to tell
        if self._draft is not None:
            await self.transfer.clean_up(self._draft.abort)


@web.stream_request_body
class ManifestHandler(_SnapshotHandler):
    """The list of a kernel's variables and of the blobs that they are in."""

    def prepare(self) -> None:
        """Find the transfer."""
        super().prepare()
        self._manifest = bytearray()

    def data_received(self, chunk: bytes) -> None:
        """Take some of the body."""
        self._manifest += chunk
        if len(self._manifest) > MAX_MANIFEST:
            self.refuse(SnapshotTooLarge(f"the manifest has more than {MAX_MANIFEST} bytes"))

    @allow_unauthenticated
    async def put(self, kernel_id: str) -> None:
        """Answer 201 with the snapshot's ``id`` when all that it lists is in the store."""
        if self._finished:
            return  # refused before all had come
        saving = self.of(Saving)
        if saving.sealed:
            raise Conflict("all is saved already")
        saving.sealed = await saving.call(saving.save.seal, bytes(self._manifest))
        self.set_status(201)
        self.finish(json.dumps({"id": saving.sealed}))

    @allow_unauthenticated
    async def head(self, kernel_id: str) -> None:
        """Answer 200 as long as the save is wanted; what else there is ``prepare`` answers."""

    @allow_unauthenticated
    async def get(self, kernel_id: str) -> None:
        """Send the manifest of the snapshot that is to be restored."""
        it = self.of(Restoring)
        self.set_header("Content-Type", "application/json")
        store = self.transfers.store
        self.finish(await it.call(store.manifest, it.uid, it.epoch, it.snapshot))


default_handlers = [
    (rf"/api/kernels/{_kernel_id_regex}/snapshot/blobs/(?P<digest>[0-9a-f]{{64}})", BlobHandler),
    (rf"/api/kernels/{_kernel_id_regex}/snapshot/manifest", ManifestHandler),
]
