"""One browser tab through a real notebook server, with a real gateway and with a scripted one."""

import asyncio
import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClosedError

from tests.unit.notebook.servers import V1, Scripted, Stack, Tab, Upstream, execution, message

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

PROTOCOLS = [pytest.param(V1, id="v1"), pytest.param(None, id="legacy")]
COUNTED = {"code": "1", "execution_count": 7}


# -- with a stock Jupyter server as the gateway


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A pipe: a cell that reads it waits until the test writes to it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


async def release(fifo: Path) -> None:
    """Let the cell that reads the pipe go on."""
    await asyncio.to_thread(fifo.write_text, "go")


async def sent_while_away(stack: Stack, tab: Tab, codes: list[str]) -> list[str]:
    """Return the cells that wait in the notebook server, whose gateway is away from now on."""
    mark = len(stack.notebook.log)
    await stack.relay.cut()
    # What is sent before the loss is noticed may or may not reach the kernel.
    await stack.notebook.logs("The gateway's websocket ended", since=mark)
    cells = [await tab.execute(code) for code in codes]
    # The answer to a call of the same server shows that it has read the cells.
    assert (await stack.notebook.rest("GET", "sessions")).code == 200
    return cells


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_binary_buffers_arrive_both_ways(stack: Stack, protocol: str | None) -> None:
    kernel_id = await stack.notebook.start_kernel()
    async with stack.notebook.tab(kernel_id, protocol) as tab:
        cell = await tab.execute(
            "from comm import create_comm\n"
            "comm = create_comm('echo', buffers=[b'\\xff\\x00\\xfe', b''])\n"
            "comm.on_msg(lambda m: comm.send({'n': 1}, buffers=[bytes(b) for b in m['buffers']]))"
        )
        assert (await tab.ended(cell))["status"] == "ok"
        (opened,) = tab.of(cell, "comm_open")
        want = [b"\xde\xad\x80", b"\x00" * 100_000]
        asked = await tab.send(
            message("comm_msg", {"comm_id": opened["content"]["comm_id"], "data": {}}, buffers=want)
        )
        await tab.until(lambda: tab.of(asked, "comm_msg"))
    assert opened["buffers"] == [b"\xff\x00\xfe", b""]
    assert tab.of(asked, "comm_msg")[0]["buffers"] == want
    await stack.notebook.rest("DELETE", f"kernels/{kernel_id}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_cell_that_ends_while_the_gateway_is_away_ends_with_an_error_that_names_the_gap(
    stack: Stack, fifo: Path, protocol: str | None
) -> None:
    kernel_id = await stack.notebook.start_kernel()
    async with stack.notebook.tab(kernel_id, protocol) as tab, stack.gateway.tab(kernel_id) as eye:
        cell = await tab.execute(f"print('before'); x = open({str(fifo)!r}).read()")
        await tab.until(lambda: "before" in tab.text(cell))
        await stack.relay.cut()
        await release(fifo)
        # Somebody beside the relay sees the cell's end.
        await eye.until(lambda: "idle" in eye.states(cell))
        await stack.relay.restore()
        reply = await tab.ended(cell)
        (error,) = tab.of(cell, "error")
        again = await tab.execute("print(x)")
        assert (await tab.ended(again))["status"] == "ok"
    assert reply["status"] == "error"
    assert reply["ename"] == error["content"]["ename"] == "GatewayConnectionLost"
    assert "the kernel and its variables are kept, the cell has finished" in reply["evalue"]
    assert tab.states(cell) == ["busy", "idle"]
    assert tab.text(again) == "go\n"
    sessions = {one["header"]["session"] for one in tab.inbox if one["channel"] == "iopub"}
    assert len(sessions) == 1, "JupyterLab drops messages of another session"
    await stack.notebook.rest("DELETE", f"kernels/{kernel_id}")


async def test_a_cell_that_goes_on_after_the_gap_says_so_and_ends_as_it_would_have(
    stack: Stack, fifo: Path
) -> None:
    kernel_id = await stack.notebook.start_kernel()
    async with stack.notebook.tab(kernel_id) as tab:
        cell = await tab.execute(f"print('before'); print(open({str(fifo)!r}).read())")
        await tab.until(lambda: "before" in tab.text(cell))
        await stack.relay.cut()
        await stack.relay.restore()
        await tab.until(lambda: tab.text(cell, "stderr"))
        await release(fifo)
        reply = await tab.ended(cell)
    told = tab.text(cell, "stderr")
    assert re.search(r"The connection to the gateway was lost for \d+ s", told), told
    assert told.count("\n") == 1
    assert reply["status"] == "ok"
    assert tab.text(cell) == "before\ngo\n"
    assert len(tab.of(cell, "execute_reply")) == 1
    await stack.notebook.rest("DELETE", f"kernels/{kernel_id}")


async def test_what_is_sent_while_the_gateway_is_away_runs_later_in_order(stack: Stack) -> None:
    kernel_id = await stack.notebook.start_kernel()
    async with stack.notebook.tab(kernel_id) as tab:
        assert (await tab.ended(await tab.execute("seen = []")))["status"] == "ok"
        codes = [f"seen.append({n}); print(seen)" for n in range(20)]
        cells = await sent_while_away(stack, tab, codes)
        await stack.relay.restore()
        for cell in cells:
            assert (await tab.ended(cell))["status"] == "ok"
    assert tab.text(cells[-1]) == f"{list(range(20))}\n"
    await stack.notebook.rest("DELETE", f"kernels/{kernel_id}")


async def test_an_interrupt_ends_cells_that_wait_for_a_gateway_that_is_away(stack: Stack) -> None:
    kernel_id = await stack.notebook.start_kernel()
    async with stack.notebook.tab(kernel_id) as tab:
        assert (await tab.ended(await tab.execute("seen = []")))["status"] == "ok"
        cells = await sent_while_away(stack, tab, ["seen.append(0)", "seen.append(1)"])
        interrupt = asyncio.create_task(
            stack.notebook.rest("POST", f"kernels/{kernel_id}/interrupt")
        )
        for cell in cells:
            assert (await tab.ended(cell))["ename"] == "KeyboardInterrupt"
        await stack.relay.restore()
        await interrupt
        after = await tab.execute("print(seen)")
        assert (await tab.ended(after))["status"] == "ok"
    assert tab.text(after) == "[]\n"
    await stack.notebook.rest("DELETE", f"kernels/{kernel_id}")


async def test_sessions_outlive_a_gateway_that_is_away(stack: Stack) -> None:
    opened = await stack.notebook.rest(
        "POST", "sessions", path="a.ipynb", name="a", type="notebook", kernel={"name": "python3"}
    )
    session = json.loads(opened.body)
    kernel_id = session["kernel"]["id"]
    await stack.relay.cut()
    listing = asyncio.create_task(stack.notebook.rest("GET", "kernels"))
    interrupting = asyncio.create_task(
        stack.notebook.rest("POST", f"kernels/{kernel_id}/interrupt")
    )
    sessions = json.loads((await stack.notebook.rest("GET", "sessions")).body)
    assert [one["id"] for one in sessions] == [session["id"]]
    assert not listing.done()
    await stack.relay.restore()
    assert [one["id"] for one in json.loads((await listing).body)] == [kernel_id]
    assert (await interrupting).code == 204
    assert (await stack.notebook.rest("DELETE", f"sessions/{session['id']}")).code == 204


# -- with a scripted gateway


async def start_cell(tab: Tab, gateway: Upstream) -> tuple[str, dict[str, Any]]:
    """Send a cell that the kernel begins; return its id and the request as the gateway got it."""
    cell = await tab.execute("1")
    request = await gateway.get("execute_request")
    await gateway.state("busy", to=request)
    await gateway.say("iopub", "execute_input", COUNTED, to=request)
    await tab.until(lambda: tab.of(cell, "execute_input"))
    return cell, request


async def test_the_reply_is_rebuilt_quietly_when_the_gateway_replays_the_output(
    scripted: Scripted,
) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        first = await scripted.gateway.accepted()
        cell, request = await start_cell(tab, first)
        seen_last = tab.inbox[-1]["header"]["msg_id"]
        scripted.gateway.resumed = "covered"
        first.drop()
        second = await scripted.gateway.accepted()
        await second.say("iopub", "stream", {"name": "stdout", "text": "missed\n"}, to=request)
        await second.state("idle", to=request)
        await second.answer_probe()
        reply = await tab.ended(cell)
        # Too late, and the second of its kind.
        await second.say("shell", "execute_reply", {"status": "ok"}, to=request)
        after = await tab.execute("2")
        request = await second.get("execute_request")
        await second.say("shell", "execute_reply", {"status": "ok"}, to=request)
        await second.state("idle", to=request)
        await tab.ended(after)
    always = {"session_id": tab.session, "sends_again": "true"}
    assert first.query == always
    assert second.query == {**always, "last_msg_id": seen_last}
    assert reply == {
        "status": "ok",
        "execution_count": 7,
        "user_expressions": {},
        "payload": [],
    }
    assert len(tab.of(cell, "execute_reply")) == 1
    assert tab.text(cell) == "missed\n"
    assert tab.text(cell, "stderr") == ""
    assert {one["parent_header"]["msg_id"] for one in tab.inbox} == {cell, after}


async def test_a_cell_that_failed_in_a_covered_gap_ends_with_its_own_error(
    scripted: Scripted,
) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        first = await scripted.gateway.accepted()
        cell, request = await start_cell(tab, first)
        scripted.gateway.resumed = "covered"
        first.close(1012)
        second = await scripted.gateway.accepted()
        error = {"ename": "ZeroDivisionError", "evalue": "division", "traceback": ["line"]}
        await second.say("iopub", "error", error, to=request)
        await second.state("idle", to=request)
        await second.answer_probe()
        reply = await tab.ended(cell)
    assert second.query["close_code"] == "1012"
    assert reply["status"] == "error"
    assert {name: reply[name] for name in error} == error
    assert reply["execution_count"] == 7
    assert len(tab.of(cell, "error")) == 1


async def test_a_cell_of_which_nothing_was_seen_may_not_have_run_and_is_not_sent_again(
    scripted: Scripted,
) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        first = await scripted.gateway.accepted()
        cell = await tab.execute("1")
        await first.get("execute_request")
        first.drop()
        second = await scripted.gateway.accepted()
        await second.answer_probe()
        reply = await tab.ended(cell)
        assert second.received.empty()
    assert reply["ename"] == "GatewayConnectionLost"
    assert "it may not have run" in reply["evalue"]


async def test_a_question_whose_answer_was_lost_is_asked_again(scripted: Scripted) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        first = await scripted.gateway.accepted()
        asked = await tab.send(message("complete_request", {"code": "a", "cursor_pos": 1}))
        await first.get("complete_request")
        first.drop()
        second = await scripted.gateway.accepted()
        await second.answer_probe()
        again = await second.get("complete_request")
        await second.say("shell", "complete_reply", {"status": "ok"}, to=again)
        await tab.until(lambda: tab.of(asked, "complete_reply"))
    assert again["content"] == {"code": "a", "cursor_pos": 1}
    assert again["header"]["msg_id"] == asked


async def test_a_kernel_that_is_gone_ends_its_requests_and_the_websocket(
    scripted: Scripted,
) -> None:
    kernel_id = await scripted.notebook.start_kernel()
    async with scripted.notebook.tab(kernel_id) as tab:
        first = await scripted.gateway.accepted()
        cell, _ = await start_cell(tab, first)
        scripted.gateway.kernels.clear()
        scripted.gateway.refuse_with = 404
        first.drop()
        reply = await tab.ended(cell)
        await tab.until(lambda: tab.closed)
        answer = await scripted.notebook.rest("GET", f"kernels/{kernel_id}")
    assert reply["ename"] == "KernelGone"
    assert "its variables are gone" in reply["evalue"]
    assert answer.code == 404


async def test_a_404_of_something_else_than_the_gateway_is_not_the_kernels_end(
    scripted: Scripted,
) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        first = await scripted.gateway.accepted()
        answered = asyncio.Event()

        async def note() -> None:
            answered.set()

        scripted.gateway.during_handshake = note
        scripted.gateway.refuse_with = 404  # for the websocket; REST still knows the kernel
        first.drop()
        await asyncio.wait_for(answered.wait(), 10)
        scripted.gateway.refuse_with = None
        await scripted.gateway.accepted()
        assert not tab.closed


@pytest.mark.parametrize("code", [401, 403])
async def test_a_refused_token_is_a_stated_error(scripted: Scripted, code: int) -> None:
    kernel_id = await scripted.notebook.start_kernel()
    scripted.gateway.refuse_with = code
    async with scripted.notebook.tab(kernel_id) as tab:
        reply = await tab.ended(await tab.execute("1"))
        later = await tab.ended(await tab.execute("2"))
    assert reply["ename"] == later["ename"] == "GatewayRefused"
    assert f"HTTP {code}" in reply["evalue"]


async def test_more_than_is_held_is_answered_with_an_error(scripted: Scripted) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        first = await scripted.gateway.accepted()
        await scripted.gateway.stop()
        first.drop()
        async with asyncio.timeout(10):
            await first.closed.wait()
        requests = [execution(str(n)) for n in range(1010)]
        for request in requests:
            await tab.send(request)
        last = requests[-1]["header"]["msg_id"]
        reply = await tab.ended(last)
        scripted.gateway.start()
        second = await scripted.gateway.accepted()
        codes: list[str] = []
        while len(codes) < 1000:
            got = await asyncio.wait_for(second.received.get(), 10)
            if got["header"]["msg_type"] == "execute_request":
                codes.append(got["content"]["code"])
    assert reply["ename"] == "GatewayAway"
    assert "1000 requests already wait" in reply["evalue"]
    assert codes == [str(n) for n in range(1000)]


async def test_a_gateway_without_the_v1_protocol_works_with_a_browser_that_has_it(
    scripted: Scripted,
) -> None:
    scripted.gateway.speaks_v1 = False
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        upstream = await scripted.gateway.accepted()
        asked = await tab.send(message("comm_msg", {"data": {}}, buffers=[b"\xff"]))
        request = await upstream.get("comm_msg")
        await upstream.say("iopub", "comm_msg", {"data": {}}, to=request, buffers=[b"\xfe"])
        await tab.until(lambda: tab.of(asked))
    assert request["buffers"] == [b"\xff"]
    assert tab.of(asked)[0]["buffers"] == [b"\xfe"]


async def test_the_gateways_websocket_does_not_outlive_a_browser_that_leaves_during_the_handshake(
    scripted: Scripted,
) -> None:
    kernel_id = await scripted.notebook.start_kernel()
    asked, left = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await left.wait()

    scripted.gateway.during_handshake = wait
    async with scripted.notebook.tab(kernel_id):
        await asyncio.wait_for(asked.wait(), 10)
    # The notebook server has handled the end of the tab's websocket before it answers this.
    await scripted.notebook.rest("GET", "sessions")
    left.set()
    upstream = await scripted.gateway.accepted()
    async with asyncio.timeout(10):
        await upstream.closed.wait()


async def test_the_gateways_websocket_is_closed_when_the_browser_leaves_amid_output(
    scripted: Scripted,
) -> None:
    async with scripted.notebook.tab(await scripted.notebook.start_kernel()) as tab:
        upstream = await scripted.gateway.accepted()
        cell, request = await start_cell(tab, upstream)
        piece = {"name": "stdout", "text": "x" * (1 << 16)}  # the close comes behind few bytes

        async def flood() -> None:
            with contextlib.suppress(WebSocketClosedError):
                while True:
                    await upstream.say("iopub", "stream", piece, to=request)

        flooding = asyncio.create_task(flood())
        await tab.until(lambda: len(tab.of(cell, "stream")) > 2)
        tab.drop()
    async with asyncio.timeout(4):  # sooner than tornado's abort of an unanswered close, 5 s
        await upstream.closed.wait()
        await flooding
