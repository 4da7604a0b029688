"""Kernels that tell the gateway their address themselves. Real gateway and kernels, on loopback."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.gateway.app import GatewayApp
from elastic_jupyter.policy.keys import address_token
from elastic_jupyter.store.protocol import Key
from tests.support.front_end import FrontEnd
from tests.support.loopback import MASTER, Loopback, loopback


@pytest.fixture
async def world() -> AsyncIterator[Loopback]:
    async with loopback() as world:
        world.store.hold = True
        yield world


def only(world: Loopback) -> tuple[Key, str]:
    """Return key and uid of the one kernel."""
    ((key, body),) = world.store.objects.items()
    return key, body["metadata"]["uid"]


async def call(
    gateway: GatewayApp, kernel_id: str, body: Any, *, token: str, source: str = "127.0.0.1"
) -> int:
    """Call from the address ``source``, as a pod does from its own; return the status."""

    def post() -> int:
        connection = http.client.HTTPConnection(
            "127.0.0.1", gateway.port, timeout=10, source_address=(source, 0)
        )
        try:
            headers = {"Authorization": f"token {token}"}
            connection.request("POST", names.address_path(kernel_id), json.dumps(body), headers)
            return connection.getresponse().status
        finally:
            connection.close()

    return await asyncio.to_thread(post)


async def test_a_kernel_that_calls_answers_before_its_status_has_an_address(
    world: Loopback,
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute("print('up')")
    key, uid = only(world)
    ip = world.store.run(key, told=False)
    body = {"address": ip, "epoch": 1}
    token = address_token(MASTER, uid, 1)
    assert await call(gateway, kernel_id, body, token=token, source=ip) == 204
    await tab.until(lambda: cell.done)
    assert cell.text() == "up\n"
    assert "podIP" not in world.store.objects[key]["status"]

    world.store.report(key, phase="Running")  # without an address still
    world.store.report(key, podIP=ip)
    assert await call(gateway, kernel_id, body, token=token, source=ip) == 204, "once more is fine"
    assert (await tab.run("print('still')")).text() == "still\n"


async def test_the_call_of_an_earlier_incarnation_is_refused(world: Loopback) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    _, old = only(world)
    assert (await front_end.rest("POST", f"/api/kernels/{kernel_id}/restart")).code == 200
    _, new = only(world)
    assert new != old
    body = {"address": "127.0.0.1", "epoch": 1}
    assert await call(gateway, kernel_id, body, token=address_token(MASTER, old, 1)) == 403
    body["epoch"] = 2
    assert await call(gateway, kernel_id, body, token=address_token(MASTER, old, 1)) == 403
    assert await call(gateway, kernel_id, body, token=address_token(MASTER, new, 2)) == 204


@pytest.mark.parametrize(
    ("body", "token", "want"),
    [
        pytest.param({"address": "127.0.0.1", "epoch": 1}, "wrong", 403, id="a wrong token"),
        pytest.param({"address": "127.0.0.1", "epoch": 1}, "", 403, id="no token"),
        pytest.param({"address": "127.0.0.1", "epoch": 1}, "ä", 403, id="a token beyond ASCII"),
        pytest.param({"address": "127.0.0.1", "epoch": 2}, None, 403, id="another epoch's token"),
        pytest.param({"address": "127.0.0.2", "epoch": 1}, None, 400, id="another's address"),
        pytest.param({"address": "evil.example", "epoch": 1}, None, 400, id="no address"),
        pytest.param({"address": "127.0.0.1"}, None, 400, id="no epoch"),
        pytest.param(["127.0.0.1", 1], None, 400, id="no object"),
    ],
)
async def test_a_call_that_is_not_the_kernels_is_refused(
    body: Any, token: str | None, want: int, world: Loopback
) -> None:
    gateway = await world.gateway()
    kernel_id = await FrontEnd(gateway).start()
    _, uid = only(world)
    token = address_token(MASTER, uid, 1) if token is None else token
    assert await call(gateway, kernel_id, body, token=token) == want
    facts = gateway.kernels.kernels[kernel_id].facts
    assert facts is not None
    assert facts.pod_ip is None


async def test_a_kernel_that_the_gateway_does_not_know_is_refused(world: Loopback) -> None:
    gateway = await world.gateway()
    unknown = "00000000-0000-4000-8000-000000000000"
    body = {"address": "127.0.0.1", "epoch": 1}
    assert await call(gateway, unknown, body, token=address_token(MASTER, "u", 1)) == 403


async def test_a_gateway_that_reads_its_kernels_is_to_be_asked_again(world: Loopback) -> None:
    gateway = await world.gateway()
    gateway.kernels.recovered.clear()
    assert await call(gateway, "0" * 8 + "-0000-4000-8000-" + "0" * 12, {}, token="") == 503
