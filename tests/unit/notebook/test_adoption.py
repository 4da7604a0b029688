"""A notebook server that starts anew finds its kernels and sessions: real servers on loopback."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.policy import tokens
from tests.support.loopback import ANN, BOB, MASTER, Loopback, loopback
from tests.unit.notebook.servers import Message, Relay, Server, notebook_server

TOKEN = tokens.mint(MASTER, ANN)


@pytest.fixture
async def world() -> AsyncIterator[Loopback]:
    async with loopback() as world:
        yield world


async def open_notebook(server: Server, path: str = "a.ipynb") -> dict[str, Any]:
    kernel = {"name": "python3"}
    answer = await server.rest(
        "POST", "sessions", path=path, name=path, type="notebook", kernel=kernel
    )
    assert answer.code == 201, answer.body
    session: dict[str, Any] = json.loads(answer.body)
    return session


async def listed(server: Server, what: str) -> set[str]:
    return {one["id"] for one in json.loads((await server.rest("GET", what)).body)}


async def run(server: Server, kernel_id: str, code: str) -> str:
    async with server.tab(kernel_id) as tab:
        cell = await tab.execute(code)
        await tab.ended(cell)
        return tab.text(cell)


async def test_a_new_server_has_the_same_sessions_kernels_and_variables(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway()
    async with notebook_server(tmp_path / "1", gateway.port, gateway_token=TOKEN) as server:
        session = await open_notebook(server)
        kernel_id = session["kernel"]["id"]
        await run(server, kernel_id, "x = 41")
        renamed = await server.rest("PATCH", f"sessions/{session['id']}", path="b.ipynb")
        assert renamed.code == 200, renamed.body
    assert len(world.store.objects) == 1, "the end of a notebook server ends no kernel"

    async with notebook_server(tmp_path / "2", gateway.port, gateway_token=TOKEN) as server:
        # The tab's own first steps: its websocket, its session, its kernel.
        assert await run(server, kernel_id, "print(x + 1)") == "42\n"
        found = json.loads((await server.rest("GET", f"sessions/{session['id']}")).body)
        assert (found["path"], found["kernel"]["id"]) == ("b.ipynb", kernel_id)
        assert await listed(server, "sessions") == {session["id"]}
        assert await listed(server, "kernels") == {kernel_id}
        assert (await open_notebook(server, "b.ipynb"))["id"] == session["id"]

        assert (await server.rest("DELETE", f"sessions/{session['id']}")).code == 204
        assert await listed(server, "kernels") == set()
    assert not world.store.objects

    async with notebook_server(tmp_path / "3", gateway.port, gateway_token=TOKEN) as server:
        assert await listed(server, "sessions") == await listed(server, "kernels") == set()


async def test_nothing_that_a_kernel_says_is_lost_while_the_server_is_replaced(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway()
    code = "import time\nfor n in range(900):\n    print(n, flush=True)\n    time.sleep(0.01)"
    async with notebook_server(tmp_path / "1", gateway.port, gateway_token=TOKEN) as server:
        session = await open_notebook(server)
        ended: list[Message] = []
        async with server.tab(session["kernel"]["id"]) as tab:
            cell = await tab.execute(code)
            await tab.until(lambda: "20\n" in tab.text(cell))
            server.terminate()
            await tab.until_closed()
            ended = tab.inbox
            assert tab.ws.close_code == 1012
    async with (
        notebook_server(tmp_path / "2", gateway.port, gateway_token=TOKEN) as server,
        server.tab(session["kernel"]["id"], session=tab.session) as again,
    ):
        again.inbox += ended
        await again.ended(cell)
        assert again.text(cell) == "".join(f"{n}\n" for n in range(900))


async def test_no_token_stands_in_the_servers_log(
    world: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream logs the environment that it gives a session's kernel: its own."""
    monkeypatch.setenv("OPEN_SESAME", "a secret of the environment")
    gateway = await world.gateway()
    async with notebook_server(tmp_path, gateway.port, gateway_token=TOKEN) as server:
        await open_notebook(server)
        log = "".join(server.log)
    assert "JPY_SESSION_NAME" in log
    assert "a secret of the environment" not in log
    assert TOKEN not in log


async def test_another_notebook_server_sees_nothing_of_it(world: Loopback, tmp_path: Path) -> None:
    gateway = await world.gateway()
    async with notebook_server(tmp_path / "1", gateway.port, gateway_token=TOKEN) as server:
        await open_notebook(server)
    theirs = tokens.mint(MASTER, BOB)
    async with notebook_server(tmp_path / "2", gateway.port, gateway_token=theirs) as server:
        assert await listed(server, "sessions") == await listed(server, "kernels") == set()


async def test_nothing_is_said_of_kernels_until_the_gateway_answers(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway()
    relay = Relay(gateway.port)
    await relay.restore()
    async with notebook_server(tmp_path / "1", relay.port, gateway_token=TOKEN) as server:
        session = await open_notebook(server)
    await relay.cut()
    async with notebook_server(tmp_path / "2", relay.port, gateway_token=TOKEN) as server:
        for where in ("kernels", f"kernels/{session['kernel']['id']}", "sessions"):
            answer = await server.rest("GET", where)
            assert (answer.code, b"being read" in answer.body) == (503, True), where
        await relay.restore()
        await server.logs("1 kernels and 1 sessions of this notebook", within=30)
        assert await listed(server, "sessions") == {session["id"]}
    await relay.cut()
