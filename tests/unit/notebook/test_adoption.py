"""A notebook server that starts anew finds its kernels and sessions: real servers on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tornado.web import Application, RequestHandler

from elastic_jupyter.policy import tokens
from tests.support.loopback import ANN, BOB, MASTER, Loopback, loopback
from tests.support.ports import free_port
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
        asked = ("kernels", f"kernels/{session['kernel']['id']}", "sessions")
        for answer in await asyncio.gather(*(server.rest("GET", where) for where in asked)):
            assert (answer.code, b"being read" in answer.body) == (503, True), answer.effective_url
        await relay.restore()
        # Who asks as soon as the gateway is back is not refused.
        assert await listed(server, "sessions") == {session["id"]}
    await relay.cut()


class Answers:
    """A gateway that answers one thing to whatever it is asked."""

    def __init__(self) -> None:
        self.port = free_port()
        self.code, self.body = 200, ""
        self._asked = asyncio.Condition()
        self._count = 0

    async def __aenter__(self) -> "Answers":
        outer = self

        class Handler(RequestHandler):
            async def get(self) -> None:
                self.set_status(outer.code)
                self.write(outer.body)
                async with outer._asked:
                    outer._count += 1
                    outer._asked.notify_all()

        self._server = Application([(r".*", Handler)]).listen(self.port, "127.0.0.1")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.stop()
        await self._server.close_all_connections()

    async def asked(self, times: int) -> None:
        """Wait until it was asked so many times more."""
        want = self._count + times
        async with asyncio.timeout(20), self._asked:
            await self._asked.wait_for(lambda: self._count >= want)


def refusal(code: int, message: str) -> tuple[int, str]:
    return code, json.dumps({"message": message, "reason": None})


NOT_SERVED = "JupyterNotebook team/ann is not served: it was deleted"


async def test_whatever_keeps_kernels_from_being_adopted_is_told_once_and_passes(
    tmp_path: Path,
) -> None:
    hindrances = [
        (*refusal(403, NOT_SERVED), f"HTTP 403: {NOT_SERVED}"),
        (500, "<h1>oops</h1>", "HTTP 500: Internal Server Error"),
        (401, "[]", "AttributeError"),  # upstream stumbles over it
        (200, "<h1>Welcome</h1>", "JSONDecodeError"),
        (200, '{"kernels": [], "sessions": [{"id": "1"}]}', "KeyError"),
    ]
    async with Answers() as gateway:
        gateway.code, gateway.body, why = hindrances[0]
        async with notebook_server(tmp_path, gateway.port) as server:
            files, *refused = await asyncio.gather(
                *(server.rest("GET", where) for where in ("contents", "kernels", "sessions"))
            )
            assert files.code == 200
            for answer in refused:
                said = json.loads(answer.body)["message"]
                assert (answer.code, why in said) == (503, True), said
            for gateway.code, gateway.body, _ in hindrances[1:]:
                await gateway.asked(1)
            await gateway.asked(1)  # what it said before is not told again
            model = {
                **{"id": "k", "name": "python3", "execution_state": "idle", "connections": 0},
                "last_activity": "2026-01-01T00:00:00.000000Z",
            }
            gateway.code, gateway.body = 200, json.dumps({"kernels": [model], "sessions": []})
            assert (await server.rest("GET", "sessions")).body == b"[]"
            await server.logs("The gateway has 1 kernels and 0 sessions")
            told = [line for line in server.log if "cannot be read from the gateway yet" in line]
            for line, (*_, why) in zip(told, hindrances, strict=True):
                assert why in line


async def test_a_session_that_the_servers_own_file_has_is_not_adopted_again(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway()
    file = f"--SessionManager.database_filepath={tmp_path / 'sessions'}"
    want = set()
    for home in ("1", "2"):
        async with notebook_server(
            tmp_path / home, gateway.port, file, gateway_token=TOKEN
        ) as server:
            session = await open_notebook(server)
            want.add(session["id"])
            [found] = json.loads((await server.rest("GET", "sessions")).body)
            assert {found["id"]} == want


async def test_a_session_that_comes_twice_is_on_the_kernel_that_was_made_last(
    tmp_path: Path,
) -> None:
    def model(kernel_id: str) -> dict[str, Any]:
        moment = "2026-01-01T00:00:00.000000Z"
        state = {"execution_state": "idle", "connections": 0, "last_activity": moment}
        return {"id": kernel_id, "name": "python3", **state}

    session = {"id": "s", "path": "a.ipynb", "name": "a", "type": "notebook"}
    async with Answers() as gateway:
        gateway.body = json.dumps(
            {
                "kernels": [model("old"), model("new")],
                "sessions": [{**session, "kernel_id": one} for one in ("old", "new")],
            }
        )
        async with notebook_server(tmp_path, gateway.port) as server:
            await server.logs("The gateway has 2 kernels")
            gateway.body = json.dumps(model("new"))
            [found] = json.loads((await server.rest("GET", "sessions")).body)
            assert (found["id"], found["kernel"]["id"]) == ("s", "new")


async def test_a_notebook_that_its_gateway_does_not_serve_says_so_until_it_does(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway()
    world.notebooks.uids.remove(ANN.uid)
    async with notebook_server(tmp_path, gateway.port, gateway_token=TOKEN) as server:
        answer = await server.rest("GET", "sessions")
        said = json.loads(answer.body)["message"]
        assert answer.code == 503
        assert "HTTP 403: JupyterNotebook team/ann-notebook is not served" in said
        assert "spec.allowedNamespaces" in said
        world.notebooks.uids.add(ANN.uid)
        assert await listed(server, "sessions") == set()


async def test_a_gateway_that_knows_nothing_of_notebooks_has_nothing_to_adopt(
    tmp_path: Path,
) -> None:
    async with Answers() as gateway:
        gateway.code, gateway.body = refusal(404, "Not Found")
        async with notebook_server(tmp_path, gateway.port) as server:
            assert (await server.rest("GET", "sessions")).body == b"[]"
