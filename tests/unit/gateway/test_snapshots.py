"""Variables between a kernel's agent and the store: real server, store and client on loopback."""

import asyncio
import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from elastic_jupyter.errors import Conflict, StoreFull, Unavailable
from elastic_jupyter.gateway import blob_connection, snapshots, transfers
from elastic_jupyter.gateway.transfers import Restoring, Saving, Transfers
from elastic_jupyter.store.snapshots import BlobDraft, Save, SnapshotStore
from elastic_jupyter_agent import transfer as agent_transfer
from elastic_jupyter_agent.snapshot import blobs
from tests.support.eventually import eventually

KERNEL = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
UID, EPOCH = "uid-1", 3
LARGE = 8 * 2**20
BLOBS = [b"numbers" * 1000, b"", os.urandom(LARGE + 7)]


def digest(content: bytes) -> str:
    return blake3(content).hexdigest()


def manifest(*blobs: bytes) -> bytes:
    listed = [{"digest": digest(blob), "size": len(blob)} for blob in blobs]
    return json.dumps({"blobs": listed, "lost": [], "names": {}}).encode()


class Ping(web.RequestHandler):
    """Any other request."""

    def get(self) -> None:
        self.finish("ok")


class Gateway:
    """A tornado server with our handlers, and what the gateway's own code would hold."""

    def __init__(self, store: SnapshotStore) -> None:
        self.transfers = Transfers(store)
        settings = {snapshots.SETTING: self.transfers, "log_function": lambda handler: None}
        application = web.Application(
            [*snapshots.default_handlers, (r"/ping", Ping)],
            **settings,
        )
        # As the gateway's, whose limit holds for other requests.
        self._server = HTTPServer(application, max_body_size=2**20)
        socket, self.port = bind_unused_port()
        self._server.add_socket(socket)
        self._threads = ThreadPoolExecutor(4)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str,
        kernel: str = KERNEL,
        headers: dict[str, str] | None = None,
        read: Callable[[http.client.HTTPResponse], bytes] = http.client.HTTPResponse.read,
    ) -> tuple[int, bytes]:
        """Make one request of an agent, with ``headers``; return status and body. Blocks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        upgrade = {"Authorization": f"token {token}", "Upgrade": snapshots.PROTOCOL}
        with contextlib.closing(connection):
            connection.request("GET", f"/api/kernels/{kernel}/snapshot", headers=upgrade)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                return answer.status, said
            connection.request(method, f"/{path}", body, headers or {})
            answer = connection.getresponse()
            return answer.status, read(answer)

    async def ask(self, *arguments: Any, **named: Any) -> tuple[int, bytes]:
        """The same, beside the server's loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: self.call(*arguments, **named))

    async def put(self, saving: Saving, content: bytes) -> tuple[int, bytes]:
        """Send a blob."""
        return await self.ask("PUT", f"blobs/{digest(content)}", content, token=saving.token)

    async def close(self) -> None:
        self._server.stop()
        await self._server.close_all_connections()
        self._threads.shutdown()


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(str(tmp_path / "snapshots"), key=b"key", max_bytes=300 * 2**20)


@pytest.fixture
async def gateway(store: SnapshotStore) -> AsyncIterator[Gateway]:
    gateway = Gateway(store)
    yield gateway
    await gateway.close()


async def saved(gateway: Gateway, blobs: list[bytes] = BLOBS) -> str:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    for blob in blobs:
        assert (await gateway.put(saving, blob))[0] == 201
    status, said = await gateway.ask("PUT", "manifest", manifest(*blobs), token=saving.token)
    assert status == 201
    assert saving.sealed == json.loads(said)["id"]
    await gateway.transfers.close(saving)
    return saving.sealed


async def restoring(gateway: Gateway) -> Restoring:
    return gateway.transfers.open_restore(KERNEL, UID, EPOCH, await saved(gateway))


def left(store: SnapshotStore) -> dict[str, int]:
    return store._files.sizes(f"{UID}/blobs") | store._files.sizes(f"{UID}/partial")


async def until(holds: Callable[[], object]) -> None:
    await asyncio.to_thread(eventually, holds, bool, within=10, what="so much was wanted")


async def test_what_a_kernel_saved_it_gets_back(gateway: Gateway) -> None:
    transfer = await restoring(gateway)
    assert await gateway.ask("GET", "manifest", token=transfer.token) == (200, manifest(*BLOBS))
    for blob in BLOBS:
        path = f"blobs/{digest(blob)}"
        assert await gateway.ask("GET", path, token=transfer.token) == (200, blob)
    assert transfer.moved == sum(map(len, BLOBS))


async def test_a_body_of_unknown_length_is_refused(gateway: Gateway) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    # The refusal comes before the body, and whoever still sends one then finds no connection.
    chunked = {"Transfer-Encoding": "chunked"}
    path = f"blobs/{digest(b'onetwo')}"
    assert (await gateway.ask("PUT", path, token=saving.token, headers=chunked))[0] == 411


async def test_a_second_save_asks_what_is_there(gateway: Gateway) -> None:
    await saved(gateway)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH + 1)
    status, said = await gateway.ask("GET", "blobs", token=saving.token)
    assert (status, set(said.decode().split())) == (200, {digest(blob) for blob in BLOBS})


async def test_another_protocol_is_refused(gateway: Gateway) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    with contextlib.closing(connection):
        headers = {"Authorization": f"token {saving.token}"}
        path = f"/api/kernels/{KERNEL}/snapshot"
        await asyncio.to_thread(connection.request, "GET", path, headers=headers)
        answer = await asyncio.to_thread(connection.getresponse)
        assert answer.status == 426
        assert snapshots.PROTOCOL in json.loads(answer.read())["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "blobs", None, id="what is there"),
        pytest.param("PUT", f"blobs/{digest(b'x')}", b"x", id="blob"),
        pytest.param("PUT", "manifest", manifest(), id="manifest"),
        pytest.param("GET", f"blobs/{digest(BLOBS[0])}", None, id="a blob back"),
        pytest.param("GET", "manifest", None, id="a manifest back"),
    ],
)
class TestTokens:
    """Each request is allowed by the token for it, while that is open, and by nothing else."""

    async def test_a_wrong_token_is_refused(
        self, method: str, path: str, body: bytes | None, gateway: Gateway
    ) -> None:
        await saved(gateway)
        for transfer in (None, gateway.transfers.open_save(KERNEL, UID, EPOCH)):
            for token in ("wrong", "", "ä"):
                status, _ = await gateway.ask(method, path, body, token=token)
                assert status == 403, (token, transfer)

    async def test_a_token_opens_its_own_kernel(
        self, method: str, path: str, body: bytes | None, gateway: Gateway
    ) -> None:
        snapshot = await saved(gateway)
        for transfer in (
            gateway.transfers.open_save(OTHER, "uid-2", 1),
            gateway.transfers.open_restore(KERNEL, UID, EPOCH, snapshot),
        ):
            kernel = OTHER if transfer.kernel_id == KERNEL else KERNEL
            status, _ = await gateway.ask(method, path, body, token=transfer.token, kernel=kernel)
            assert status == 403

    async def test_a_token_is_for_saving_or_for_restoring(
        self, method: str, path: str, body: bytes | None, gateway: Gateway
    ) -> None:
        snapshot = await saved(gateway)
        transfer = (
            gateway.transfers.open_save(KERNEL, UID, EPOCH)
            if _is_for_restoring(method, path)
            else gateway.transfers.open_restore(KERNEL, UID, EPOCH, snapshot)
        )
        assert (await gateway.ask(method, path, body, token=transfer.token))[0] == 403

    async def test_a_transfer_that_ended_is_told(
        self, method: str, path: str, body: bytes | None, gateway: Gateway, store: SnapshotStore
    ) -> None:
        snapshot = await saved(gateway)
        before = left(store)
        transfer = (
            gateway.transfers.open_restore(KERNEL, UID, EPOCH, snapshot)
            if _is_for_restoring(method, path)
            else gateway.transfers.open_save(KERNEL, UID, EPOCH)
        )
        await gateway.transfers.close(transfer, "the cell came first")
        status, said = await gateway.ask(method, path, body, token=transfer.token)
        assert status == 409
        assert json.loads(said) == {"message": "the cell came first", "reason": "Conflict"}
        assert left(store) == before


def _is_for_restoring(method: str, path: str) -> bool:
    return method == "GET" and path != "blobs"


async def test_one_transfer_of_a_kernel_at_a_time(gateway: Gateway) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    with pytest.raises(Conflict, match="already"):
        gateway.transfers.open_restore(KERNEL, UID, EPOCH, digest(b""))
    gateway.transfers.open_save(OTHER, "uid-2", 1)
    for _ in range(2):
        await gateway.transfers.close(saving)
    gateway.transfers.open_save(KERNEL, UID, EPOCH)


# -- what is refused


async def test_a_transfer_has_so_many_connections_and_no_more(gateway: Gateway) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    path = f"/api/kernels/{KERNEL}/snapshot"
    headers = {"Authorization": f"token {saving.token}", "Upgrade": snapshots.PROTOCOL}
    with contextlib.ExitStack() as stack:
        answers = []
        for _ in range(transfers.CONNECTIONS + 1):
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
            stack.enter_context(contextlib.closing(connection))
            await asyncio.to_thread(connection.request, "GET", path, headers=headers)
            answers.append((await asyncio.to_thread(connection.getresponse)).status)
        assert answers == [101] * transfers.CONNECTIONS + [503]
    await until(lambda: not saving._connections)
    assert (await gateway.ask("GET", "blobs", token=saving.token))[0] == 200


async def test_a_blob_with_a_wrong_digest_is_refused(
    gateway: Gateway, store: SnapshotStore
) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    for content in (b"x", BLOBS[2]):
        path = f"blobs/{digest(b'another')}"
        status, said = await gateway.ask("PUT", path, content, token=saving.token)
        assert (status, json.loads(said)["reason"]) == (422, "SnapshotBroken")
    await until(lambda: not left(store))


async def test_a_manifest_of_blobs_that_are_not_there_is_refused(gateway: Gateway) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    for body, want in ((manifest(b"never"), 422), (b"nonsense", 400)):
        status, _ = await gateway.ask("PUT", "manifest", body, token=saving.token)
        assert status == want
    assert saving.sealed is None


async def test_a_manifest_that_is_too_large_is_refused(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_connection, "MAX_MANIFEST", 1000)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    status, said = await gateway.ask("PUT", "manifest", b"x" * 2**21, token=saving.token)
    assert (status, json.loads(said)["reason"]) == (413, "SnapshotTooLarge")


async def test_a_snapshot_that_is_too_large_is_refused_on_the_way(
    tmp_path: Path,
) -> None:
    store = SnapshotStore(str(tmp_path), key=b"key", max_bytes=LARGE)
    gateway = Gateway(store)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    status, said = await gateway.put(saving, bytes(5 * LARGE))
    assert (status, json.loads(said)["reason"]) == (413, "SnapshotTooLarge")
    assert saving.moved < 2 * LARGE, "the rest is thrown away"
    await until(lambda: not left(store))
    await gateway.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(StoreFull("the store file:///s is full"), 507, id="full"),
        pytest.param(Unavailable("the store s3://b could not be written"), 503, id="away"),
    ],
)
@pytest.mark.parametrize("size", [10, 3 * LARGE], ids=["small", "large"])
async def test_what_is_wrong_with_the_store_is_told(
    size: int,
    error: Exception,
    status: int,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(draft: BlobDraft, data: bytes) -> None:
        raise error

    monkeypatch.setattr(BlobDraft, "write", fail)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    answered, said = await gateway.put(saving, bytes(size))
    assert (answered, json.loads(said)["message"]) == (status, str(error))


# -- what breaks off


@pytest.mark.parametrize("url", ["on a disk", "memory://snapshots"])
async def test_a_damaged_blob_never_seems_to_be_whole(url: str, tmp_path: Path) -> None:
    """From a disk it comes as it is, and the agent sees it by the digest."""
    store = SnapshotStore(str(tmp_path) if url == "on a disk" else url, key=b"key")
    gateway = Gateway(store)
    large = os.urandom(5 * LARGE)
    snapshot = await saved(gateway, [BLOBS[0], large])
    transfer = gateway.transfers.open_restore(KERNEL, UID, EPOCH, snapshot)
    for content in (BLOBS[0], large):
        at = store._files._at(f"{UID}/blobs/{digest(content)}")
        store._files._fs.pipe_file(at, content[:-1] + bytes([content[-1] ^ 1]))
        try:
            status, said = await gateway.ask(
                "GET", f"blobs/{digest(content)}", token=transfer.token
            )
        except http.client.IncompleteRead:
            continue
        assert (status, digest(said) == digest(content)) in ((200, False), (422, False))
    await gateway.close()


async def test_a_kernel_that_vanishes_leaves_nothing(
    gateway: Gateway, store: SnapshotStore
) -> None:
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"GET /api/kernels/{KERNEL}/snapshot HTTP/1.1\r\nHost: x\r\n"
        f"Upgrade: {snapshots.PROTOCOL}\r\nAuthorization: token {saving.token}\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(
        f"PUT /blobs/{digest(BLOBS[2])} HTTP/1.1\r\n"
        f"Content-Length: {len(BLOBS[2])}\r\n\r\n".encode()
    )
    writer.write(BLOBS[2][:-1])
    await until(lambda: store._files.sizes(f"{UID}/partial"))
    writer.close()
    await until(lambda: not left(store))
    assert (await gateway.put(saving, BLOBS[2]))[0] == 201, "once more is fine"


async def test_a_save_that_is_cancelled_writes_nothing_afterwards(
    gateway: Gateway, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealing, go_on = threading.Event(), threading.Event()
    seal = Save.seal

    def slow(save: Save, said: bytes) -> str:
        sealing.set()
        assert go_on.wait(10)
        return seal(save, said)

    monkeypatch.setattr(Save, "seal", slow)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    request = asyncio.ensure_future(gateway.ask("PUT", "manifest", manifest(), token=saving.token))
    await until(sealing.is_set)
    closing = asyncio.ensure_future(gateway.transfers.close(saving, "the cell came first"))
    done, _ = await asyncio.wait([closing], timeout=0.2)
    assert not done, "the store still writes"
    go_on.set()
    await closing
    store.remove(UID)
    with pytest.raises(ConnectionError):
        await request
    status, said = await gateway.ask("PUT", "manifest", manifest(), token=saving.token)
    assert (status, json.loads(said)["message"]) == (409, "the cell came first")
    assert saving.sealed is None
    assert store.uids() == []


# -- bounded


class Throttled:
    """A store of so many bytes per second; counts what it was given and is done with.

    It calls ``meanwhile`` amid each write.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        rate: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        write = BlobDraft.write
        self.written = 0

        def slow(draft: BlobDraft, data: bytes) -> None:
            time.sleep(len(data) / rate)
            meanwhile()
            write(draft, data)
            self.written += len(data)

        monkeypatch.setattr(BlobDraft, "write", slow)


class Others:
    """Another client, which has to be served before something large goes on."""

    def __init__(self, gateway: Gateway) -> None:
        self._port = gateway.port
        self.served = 0

    def ask(self) -> None:
        """Ask something, and wait for the answer. Blocks."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/ping")
            assert connection.getresponse().status == 200
        self.served += 1


async def test_a_large_blob_to_a_slow_store_holds_up_nobody(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = os.urandom(6 * LARGE)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    others = Others(gateway)
    waiting = 0

    def meanwhile() -> None:
        nonlocal waiting
        others.ask()
        waiting = max(waiting, saving.moved - store.written)

    store = Throttled(monkeypatch, rate=32 * 2**20, meanwhile=meanwhile)
    status, _ = await gateway.put(saving, large)
    assert (status, saving.moved) == (201, len(large))
    assert others.served > 10
    assert waiting <= 2 * blob_connection.PIECE, "no more is in memory"


async def test_a_slow_store_is_not_taken_for_a_gateway_that_is_gone(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_transfer, "SILENT", 1)
    content = os.urandom(blobs.CHUNK)
    Throttled(monkeypatch, rate=blob_connection.PIECE / 4)
    saving = gateway.transfers.open_save(KERNEL, UID, EPOCH)
    url = f"http://127.0.0.1:{gateway.port}/api/kernels/{KERNEL}/snapshot"
    with agent_transfer.Gateway(url, saving.token) as agent:
        await asyncio.to_thread(agent.put, digest(content), content)
    assert saving.moved == len(content), "it was sent once"


async def test_a_large_blob_that_is_fetched_holds_up_nobody(gateway: Gateway) -> None:
    large = os.urandom(7 * LARGE)
    snapshot = await saved(gateway, [large])
    transfer = gateway.transfers.open_restore(KERNEL, UID, EPOCH, snapshot)
    others = Others(gateway)

    def read(answer: http.client.HTTPResponse) -> bytes:
        pieces = []
        while piece := answer.read(blob_connection.PIECE):
            others.ask()
            pieces.append(piece)
        return b"".join(pieces)

    path = f"blobs/{digest(large)}"
    assert await gateway.ask("GET", path, token=transfer.token, read=read) == (200, large)
    assert others.served > 10
