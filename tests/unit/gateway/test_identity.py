"""Who may do what at a gateway. The real application, on loopback; most kernels never start."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from elastic_jupyter.gateway.connection import POLICY_VIOLATION
from elastic_jupyter.gateway.wish import Wish
from elastic_jupyter.policy import idle, tokens
from elastic_jupyter.policy.tokens import NotebookIdentity
from tests.support.front_end import FrontEnd
from tests.support.loopback import ANN, BOB, MASTER, Loopback, loopback, now, only_key
from tests.support.objects import until

NAMESAKE = NotebookIdentity(ANN.namespace, ANN.name, "uid-of-the-next-ann", ANN.user)
GONE = NotebookIdentity("team", "gone", "uid-gone", "ann")
TOKEN = tokens.mint(MASTER, ANN)


@pytest.fixture
async def world() -> AsyncIterator[Loopback]:
    async with loopback() as world:
        world.store.hold = True
        world.notebooks.uids.add(NAMESAKE.uid)
        yield world


def env_of(body: dict[str, Any]) -> dict[str, str]:
    entries = body["spec"]["template"]["spec"]["containers"][0]["env"]
    return {entry["name"]: entry["value"] for entry in entries}


# -- whose kernels


@pytest.mark.parametrize("other", [BOB, NAMESAKE], ids=["another", "a later one of the same name"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/interrupt"),
        ("POST", "/restart"),
        ("GET", "/channels"),
    ],
)
async def test_another_notebooks_kernel_does_not_exist(
    world: Loopback, method: str, path: str, other: NotebookIdentity
) -> None:
    gateway = await world.gateway()
    kernel_id = await FrontEnd(gateway).start()
    front_end = FrontEnd(gateway, identity=other)
    before = dict(world.store.objects)
    answer = await front_end.rest(method, f"/api/kernels/{kernel_id}{path}")
    unknown = kernel_id[:-4] + "0000"
    told = await front_end.rest(method, f"/api/kernels/{unknown}{path}")
    assert (answer.code, told.code) == (404, 404), "the same as for an id that is nobody's"
    assert world.store.objects == before
    assert await front_end.kernels() == []


async def test_no_websocket_opens_to_another_notebooks_kernel(world: Loopback) -> None:
    gateway = await world.gateway()
    kernel_id = await FrontEnd(gateway).start()
    with pytest.raises(HTTPClientError, match="404"):
        await FrontEnd(gateway, identity=BOB).open(kernel_id)
    assert not gateway.kernel_manager.kernels[kernel_id].connections


@pytest.mark.parametrize("path", ["/api/status", "/api/me", "/api/spec.yaml"])
async def test_no_route_counts_the_kernels_of_all(world: Loopback, path: str) -> None:
    """Upstream's server has one, and others that no gateway client asks for."""
    gateway = await world.gateway()
    await FrontEnd(gateway, identity=BOB).start()
    assert (await FrontEnd(gateway).rest("GET", path)).code == 404


# -- who is let in


def tampered(token: str) -> str:
    """Ann's token with Bob's uid and her signature."""
    payload = tokens.mint(MASTER, BOB).split(".")[0]
    return f"{payload}.{token.split('.')[1]}"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": ""}, id="none"),
        pytest.param({"Authorization": "token "}, id="an empty one"),
        pytest.param({"Authorization": "token forged.token"}, id="a forged one"),
        pytest.param({"Authorization": f"token {tampered(TOKEN)}"}, id="a tampered one"),
        pytest.param({"Authorization": f"token {TOKEN[:-1]}"}, id="a cut one"),
        pytest.param(
            {"Authorization": f"token {tokens.mint(b'x' * 32, ANN)}"}, id="another gateway's"
        ),
        pytest.param(
            {"Authorization": f"token {tokens.mint(MASTER, GONE)}"}, id="a deleted notebook's"
        ),
        pytest.param({"Authorization": "", "Cookie": f"token={TOKEN}"}, id="in a cookie"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/kernels"),
        ("POST", "/api/kernels"),
        ("GET", "/api/kernelspecs"),
        ("POST", "/api/kernels/{}/restart"),
        ("GET", "/api/kernels/{}/channels"),
    ],
)
async def test_there_is_no_way_in_with(
    world: Loopback, method: str, path: str, headers: dict[str, str]
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    path = path.format(await front_end.start())
    answer = await front_end.rest(method, path, headers=headers)
    assert answer.code == 403
    assert b"xsrf" not in answer.body
    assert (await front_end.rest("GET", "/readyz", headers=headers)).code == 200


async def test_a_token_in_the_address_is_not_taken(world: Loopback) -> None:
    """It would stand in the logs of every proxy."""
    gateway = await world.gateway()
    answer = await AsyncHTTPClient(force_instance=True).fetch(
        HTTPRequest(f"http://127.0.0.1:{gateway.port}/api/kernels?token={TOKEN}"), raise_error=False
    )
    assert answer.code == 403


async def test_before_the_list_of_notebooks_is_known_the_gateway_is_not_ready(
    world: Loopback,
) -> None:
    world.notebooks.synced.clear()
    starting = asyncio.create_task(world.gateway())
    await until(lambda: world.gateways)
    (gateway,) = world.gateways
    front_end = FrontEnd(gateway)
    assert (await front_end.rest("GET", "/readyz")).code == 503
    assert (await front_end.rest("GET", "/api/kernels")).code == 503, "a 403 would be final"
    world.notebooks.synced.set()
    await starting
    assert await front_end.kernels() == []


# -- a notebook that is not served any more


#: Longer than any test: what happens has not waited for the culler.
NEVER = 2**31 - 1


async def test_a_deleted_notebook_leaves_nothing_behind(world: Loopback) -> None:
    gateway = await world.gateway(interval=NEVER)
    front_end = FrontEnd(gateway)
    tab = await front_end.open(await front_end.start())
    (key,) = world.store.objects
    world.store.run(key)
    await tab.run("x = 1")

    world.notebooks.serve(BOB.uid)
    answer = await front_end.rest("POST", "/api/kernels")
    assert answer.code == 403
    assert "team/ann-notebook is not served" in json.loads(answer.body)["message"]
    with pytest.raises(AssertionError, match=str(POLICY_VIOLATION)):
        await tab.until(lambda: False)
    # What runs is the operator's to delete; then nothing is remembered of it.
    assert key in world.store.objects
    await world.store.delete(key, uid=world.store.objects[key]["metadata"]["uid"])
    await until(lambda: not gateway.kernel_manager.kernels)
    assert not world.tombstones


async def test_no_cell_runs_after_its_notebook_is_turned_away(
    world: Loopback, tmp_path: Path
) -> None:
    """Also of a client that sends on; and a mistake that is taken back costs no variable."""
    gateway = await world.gateway(interval=NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab, bob = await front_end.open(kernel_id), FrontEnd(gateway, identity=BOB)
    world.store.run(only_key(world))
    await tab.run("x = 1")
    bobs = await bob.open(await bob.start())

    world.notebooks.serve(BOB.uid)
    await tab.execute(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(AssertionError, match=str(POLICY_VIOLATION)):
        await tab.until(lambda: False)
    with pytest.raises(HTTPClientError, match="403"):
        await front_end.open(kernel_id)

    world.notebooks.serve(ANN.uid, BOB.uid)
    again = await front_end.open(kernel_id, session="tab-2")
    assert (await again.run("print(x)")).text() == "1\n"
    assert not (tmp_path / "ran").exists()
    await bobs.send("kernel_info_request", {})
    assert bobs.ws.close_code is None, "another notebook's websocket stays"


async def test_a_cell_that_waits_for_its_kernel_ends_when_its_notebook_is_turned_away(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway(interval=NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute(f"open({str(tmp_path / 'ran')!r}, 'w')")
    await tab.until(lambda: cell.waiting)
    world.notebooks.serve(BOB.uid)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert cell.reply["content"]["ename"] == "NotServed"

    world.store.run(only_key(world))
    world.notebooks.serve(ANN.uid, BOB.uid)
    again = await front_end.open(kernel_id, session="tab-2")
    assert (await again.run("print(1)")).text() == "1\n"
    assert not (tmp_path / "ran").exists()


async def test_a_kernel_that_nobody_may_reach_ends_where_nothing_is_culled(
    world: Loopback,
) -> None:
    world.store.hold = False
    gateway = await world.gateway(idle=0, interval=NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    await (await front_end.open(kernel_id)).run("x = 1")
    kernel = gateway.kernels.kernels[kernel_id]
    world.notebooks.serve(BOB.uid)
    await until(lambda: kernel.unreachable_since)
    assert world.store.objects, "whoever edits a label by mistake has an hour"

    kernel.last_execution = kernel.unreachable_since = now() - idle.UNREACHABLE_TIMEOUT
    world.notebooks.serve(BOB.uid)
    await until(lambda: not world.store.objects)
    assert not world.tombstones
    assert not gateway.kernels.kernels


async def test_a_sleeping_kernel_of_a_deleted_notebook_is_forgotten(world: Loopback) -> None:
    world.store.hold = False
    gateway = await world.gateway(idle=0.5)
    front_end = FrontEnd(gateway)
    await (await front_end.open(await front_end.start())).run("x = 1")
    await until(lambda: not world.store.objects)
    assert world.tombstones
    world.notebooks.serve(BOB.uid)
    await until(lambda: not gateway.kernel_manager.kernels)
    assert not world.tombstones


# -- what a client may say


@pytest.mark.parametrize("name", ["KERNEL_USERNAME", "KERNEL_ID", "KERNEL_NAMESPACE"])
async def test_a_client_does_not_say_whose_kernel_it_is(world: Loopback, name: str) -> None:
    front_end = FrontEnd(await world.gateway(allowed_env=frozenset({name})))
    headers = {name: "root", name.replace("_", "-"): "root", "Cookie": f"{name}=root"}
    answer = await front_end.rest(
        "POST", "/api/kernels", {"env": {name: "root"}, name: "root"}, headers=headers
    )
    assert answer.code == 201
    (body,) = world.store.objects.values()
    assert body["spec"]["user"] == "ann"
    assert body["metadata"]["name"].startswith("ann-")
    assert env_of(body).get(name) in (None, "ann", body["spec"]["kernelID"])


SENT = {
    "KERNEL_X": "1",
    "HF_HOME": "/data",
    "LD_PRELOAD": "evil.so",
    "PATH": "/evil",
    "PYTHONPATH": "/evil",
    "kernel_y": "2",
}


@pytest.mark.parametrize(
    ("allowed", "want"),
    [
        ((), {"KERNEL_X"}),
        (("HF_HOME",), {"KERNEL_X", "HF_HOME"}),
        (("HF_HOME", "LD_PRELOAD"), {"KERNEL_X", "HF_HOME", "LD_PRELOAD"}),
    ],
)
async def test_a_client_sets_the_variables_that_are_allowed(
    world: Loopback, allowed: tuple[str, ...], want: set[str]
) -> None:
    front_end = FrontEnd(await world.gateway(allowed_env=frozenset(allowed)))
    await front_end.start(env=SENT)
    (body,) = world.store.objects.values()
    assert {name: value for name, value in env_of(body).items() if name in SENT} == {
        name: SENT[name] for name in want
    }


async def test_starts_at_the_same_time_do_not_mix_their_variables(world: Loopback) -> None:
    gateway = await world.gateway(allowed_env=frozenset({"LANG"}))
    front_ends = [FrontEnd(gateway, identity=identity) for identity in (ANN, BOB)]

    async def start(number: int) -> tuple[str, str, dict[str, str]]:
        env = {f"KERNEL_OF_{number % 7}": str(number), "LANG": f"l{number}"}
        kernel_id = await front_ends[number % 2].start(env=env)
        return kernel_id, ("ann", "bob")[number % 2], env

    started = await asyncio.gather(*map(start, range(60)))
    have = {
        body["spec"]["kernelID"]: (
            body["spec"]["user"],
            {k: v for k, v in env_of(body).items() if k.startswith("KERNEL_OF_") or k == "LANG"},
        )
        for body in world.store.objects.values()
    }
    assert have == {kernel_id: (user, env) for kernel_id, user, env in started}


async def test_what_a_client_said_is_known_after_a_restart_of_the_gateway(world: Loopback) -> None:
    """And nothing else: what the template says is read from the template of that day."""
    sent = {"KERNEL_X": "$(HOME) costs $5 or $$", "LANG": "C"}
    front_end = FrontEnd(await world.gateway(allowed_env=frozenset({"LANG"})))
    await front_end.start(env=sent)
    (body,) = world.store.objects.values()
    assert env_of(body)["KERNEL_X"] == "$$(HOME) costs $$5 or $$$$", "Kubernetes halves them"
    body["spec"]["template"]["spec"]["containers"][0]["env"].insert(
        0, {"name": "KERNEL_OF_TEMPLATE", "value": "1"}
    )
    kernel = await world.store.get(next(iter(world.store.objects)))
    assert Wish.of(kernel, gateway="gw", gateway_uid="uid-gw").env == sent
