"""What the agent does when its gateway goes in the middle of something."""

import http.client
import itertools
import os
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from elastic_jupyter_agent import interruptible, transfer
from elastic_jupyter_agent.snapshot import blobs
from tests.unit.agent.snapshot.gateway import TOKEN, a_gateway


def test_a_body_that_ends_too_early_is_no_damaged_blob() -> None:
    ours, gateways = socket.socketpair()
    with ours:
        with gateways:
            gateways.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        response = http.client.HTTPResponse(ours)
        response.begin()
        with pytest.raises(http.client.IncompleteRead):
            transfer._filled(response, memoryview(bytearray(10)))


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> interruptible.Question:
    """A question to a gateway that is gone."""
    ticks = itertools.count()
    # Each look at the clock is a second later than the one before.
    clock = SimpleNamespace(monotonic=lambda: next(ticks), sleep=time.sleep)
    monkeypatch.setattr(interruptible, "time", clock)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return interruptible.Question(f"http://127.0.0.1:{port}/snapshot", "token")


def test_a_save_whose_gateway_is_gone_is_cancelled(nobody: interruptible.Question) -> None:
    assert not nobody.is_cancelled(), "it may be back"
    while not nobody.is_cancelled():
        pass


def test_cells_run_again_when_the_gateway_of_a_save_is_gone(nobody: interruptible.Question) -> None:
    nobody.hold()


def test_threads_that_ask_in_turn_share_a_connection() -> None:
    with a_gateway() as gateway, transfer.Gateway(gateway.url, TOKEN) as ours:
        for digest in ("a", "b", "c"):
            thread = threading.Thread(target=ours.put, args=(digest, digest.encode()))
            thread.start()
            thread.join()
        assert gateway.blobs == {"a": b"a", "b": b"b", "c": b"c"}
        assert gateway.connections == 1


def test_connections_that_broke_off_together_cost_one_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    with a_gateway() as gateway, transfer.Gateway(gateway.url, TOKEN) as ours:
        ours._free = [ours._connect()[2] for _ in range(3)]
        for connection in ours._free:
            connection.sock.shutdown(socket.SHUT_RDWR)
        ours.put("a", b"a")
        assert gateway.blobs == {"a": b"a"}
        assert len(pauses) == 1


def test_what_comes_back_is_not_shared_with_a_child() -> None:
    memory = blobs._memory(2 * blobs.SAMPLE)
    child = os.fork()
    if not child:
        memory[0] = 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert memory[0] == 0
