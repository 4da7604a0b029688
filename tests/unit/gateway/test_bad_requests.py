"""A gateway on loopback that is sent garbage: it answers with a reason, and works on."""

import json
import logging
from typing import Any

import pytest

from elastic_jupyter.errors import Invalid
from elastic_jupyter.gateway.wish import MAX_ENV
from tests.support.front_end import FrontEnd
from tests.support.loopback import Loopback
from tests.support.objects import until

SESSION = "00000000-0000-0000-0000-000000000000"


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person who reads the log would take for a fault of the gateway."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.ERROR or record.exc_info
    ]


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"{", "the body is no JSON", id="bad JSON"),
        pytest.param(b"[1]", "the body must be a JSON object", id="a list"),
        pytest.param(b'{"name": 1}', "name must be a string", id="a number for a name"),
        pytest.param(b'{"name": "moon"}', "no kernel spec 'moon'", id="an unknown name"),
        pytest.param(b'{"env": []}', "env must be an object", id="a list of variables"),
        pytest.param(b'{"env": {"KERNEL_A": {}}}', "env.KERNEL_A must be", id="an object's value"),
    ],
)
async def test_a_start_that_makes_no_sense_is_answered_with_the_reason(
    world: Loopback, body: bytes, want: str, caplog: pytest.LogCaptureFixture
) -> None:
    front_end = FrontEnd(await world.gateway())
    response = await front_end.rest("POST", "/api/kernels", body)
    assert response.code == 400
    assert want in json.loads(response.body)["message"]
    assert complaints(caplog) == []
    assert not world.store.objects


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="bad JSON"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'["path"]', id="a list"),
        pytest.param(b'{"path": 1, "epoch": Infinity, "address": "127.0.0.1"}', id="wrong types"),
    ],
)
async def test_sessions_and_addresses_that_make_no_sense_are_answered_with_400(
    world: Loopback, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel = f"/api/kernels/{await front_end.start()}"
    assert (await front_end.rest("POST", f"{kernel}/address", body)).code == 400
    assert (await front_end.rest("PUT", f"{kernel}/sessions/{SESSION}", body)).code == 400
    assert complaints(caplog) == []


async def test_a_body_without_end_is_not_read(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    response = await front_end.rest("POST", "/api/kernels", b" " * 2**21)
    assert response.code != 201
    assert await front_end.start()


async def test_an_environment_that_is_too_large_is_refused_with_the_limit(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    env = {f"KERNEL_{letter}": "ä" * (MAX_ENV // 4) for letter in "AB"}  # two bytes each
    response = await front_end.rest("POST", "/api/kernels", {"env": env})
    assert response.code == 400
    assert f"env has {MAX_ENV + 16} bytes" in json.loads(response.body)["message"]
    assert str(MAX_ENV) in json.loads(response.body)["message"]
    assert not world.store.objects
    assert await front_end.start(env={"PATH": "x" * MAX_ENV}), "what is not taken does not count"


async def test_an_id_that_a_client_names_is_not_taken(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    theirs = "00000000-0000-0000-0000-000000000000"
    assert await front_end.start(kernel_id=theirs) != theirs


async def test_a_restart_that_is_refused_says_why(
    world: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()

    def gone(*args: Any, **kwargs: Any) -> None:
        raise Invalid("kernel spec python3: there is no JupyterKernelTemplate t")

    monkeypatch.setattr(gateway.kernels.specs, "pod_template", gone)
    response = await front_end.rest("POST", f"/api/kernels/{kernel_id}/restart")
    assert response.code == 400
    assert "there is no JupyterKernelTemplate t" in json.loads(response.body)["message"]


async def test_frames_that_are_no_messages_are_dropped_and_the_next_cell_runs(
    world: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    front_end = FrontEnd(await world.gateway())
    tab = await front_end.open(await front_end.start())
    for running in (False, True):
        for frame in (
            "{",
            "[]",
            "[" * 5000,
            b"\x7f\xff\xff\xff" + bytes(8),
            json.dumps({"header": None}),
            json.dumps({"header": {"msg_id": 1, "msg_type": "execute_request"}}),
            json.dumps({"header": {"msg_id": "1", "msg_type": "a_request"}, "channel": {}}),
            json.dumps({"header": {"msg_id": "1", "msg_type": "a_request"}, "channel": "moon"}),
        ):
            await tab.ws.write_message(frame, binary=isinstance(frame, bytes))
        cell = await tab.run(f"print({running})")
        assert cell.text() == f"{running}\n"
    assert complaints(caplog) == []


async def test_another_object_with_a_kernels_id_does_not_take_its_place(world: Loopback) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    [original] = world.store.objects.values()
    metadata = {**original["metadata"], "name": "impostor", "uid": "uid-impostor"}
    status = {"phase": "Failed", "epoch": 7, "podIP": "127.0.0.1"}
    world.store.put({**original, "metadata": metadata, "status": status})
    assert (await tab.run("print(x)")).text() == "1\n"


@pytest.mark.parametrize(
    "reference",
    [None, {"name": "another"}, {"name": "gw", "namespace": "elsewhere"}],
    ids=["no gateway", "another gateway", "one of another namespace"],
)
async def test_a_kernel_with_our_label_that_names(
    world: Loopback, reference: dict[str, str] | None
) -> None:
    """Its key is not ours to derive, and its object not ours to delete."""
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    [(key, original)] = world.store.objects.items()
    stranger_id = kernel_id[:-4] + "0000"
    metadata = {**original["metadata"], "name": "stranger", "uid": "uid-stranger"}
    spec = {**original["spec"], "kernelID": stranger_id, "gatewayRef": reference}
    status = {"phase": "Failed", "epoch": 1}
    world.store.put({**original, "metadata": metadata, "spec": spec, "status": status})
    second = await world.gateway()
    for one in (gateway, second):
        # The watch tells in order: what came after has been seen.
        world.store.report(key, epoch=9)
        await until(lambda one=one: one.kernels.kernels[kernel_id].epoch == 9)
        assert set(one.kernels.kernels) == {kernel_id}
