"""The operator's answer to its liveness probe."""

import asyncio
import http.client
import socket
from pathlib import Path

import pytest
import yaml

from elastic_jupyter.operator import livez

DEPLOYMENT = Path(__file__).parents[3] / "deploy" / "operator" / "deployment.yaml"


def port_of(server: asyncio.Server) -> int:
    [port] = [one.getsockname()[1] for one in server.sockets if one.family is socket.AF_INET]
    return int(port)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for ever for what a client asks: time would jump while the thread that asks waits."""
    monkeypatch.setattr(livez, "_PATIENCE", None)


def ask(port: int, *, within: float = 10) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within)
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


async def test_the_probe_is_answered_while_the_event_loop_turns_and_only_then() -> None:
    async with livez.serving(port=0) as server:
        port = port_of(server)
        assert await asyncio.to_thread(ask, port) == (200, b"ok\n")
        with pytest.raises(TimeoutError):
            ask(port, within=0.3)  # in the loop itself, which stands still meanwhile


@pytest.mark.parametrize("said", [b"", b"GET", b"x" * 100_000], ids=["nothing", "half", "much"])
async def test_a_client_that_does_not_ask_properly_keeps_no_other_from_its_answer(
    said: bytes,
) -> None:
    async with livez.serving(port=0) as server:
        port = port_of(server)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(said)
            assert await asyncio.to_thread(ask, port) == (200, b"ok\n")


def test_the_deployment_asks_where_the_operator_answers() -> None:
    [container] = yaml.safe_load(DEPLOYMENT.read_text())["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": livez.PORT}
