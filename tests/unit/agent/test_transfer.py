"""What the agent does when its gateway goes in the middle of something."""

import http.client
import os
import socket

import pytest

from elastic_jupyter_agent import interruptible, transfer
from elastic_jupyter_agent.snapshot import blobs


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
    monkeypatch.setattr(interruptible, "MISSED", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return interruptible.Question(f"http://127.0.0.1:{port}/snapshot", "token")


def test_a_save_whose_gateway_is_gone_is_cancelled(nobody: interruptible.Question) -> None:
    assert not nobody.is_cancelled(), "it may be back"
    while not nobody.is_cancelled():
        pass


def test_cells_run_again_when_the_gateway_of_a_save_is_gone(nobody: interruptible.Question) -> None:
    nobody.hold()


def test_what_comes_back_is_not_shared_with_a_child() -> None:
    memory = blobs._memory(2 * blobs.SAMPLE)
    child = os.fork()
    if not child:
        memory[0] = 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert memory[0] == 0
