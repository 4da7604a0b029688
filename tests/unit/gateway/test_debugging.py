"""A debugger's requests, which go to a real ipykernel on the control channel."""

from typing import Any

from tests.support.front_end import Cell, FrontEnd, Tab
from tests.support.loopback import Loopback
from tests.support.objects import until


async def ask(tab: Tab, command: str = "debugInfo") -> Cell:
    content = {"type": "request", "seq": 1, "command": command, "arguments": {}}
    return await tab.send("debug_request", content, channel="control")


def answers(cell: Cell) -> list[dict[str, Any]]:
    return [m["content"] for m in cell.messages if m["msg_type"] == "debug_reply"]


async def test_a_debugger_gets_its_answer_from_the_kernel(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    tab = await front_end.open(await front_end.start())
    await tab.run("x = 1")
    info = await ask(tab)
    await tab.until(lambda: answers(info) != [] and info.idle)
    [answer] = answers(info)
    assert (answer["success"], answer["body"]["isStarted"]) == (True, False)
    assert {m["channel"] for m in info.messages} == {"control", "iopub"}


async def test_a_debugger_wakes_no_kernel_and_holds_up_nobody(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.5))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    await until(lambda: not world.store.objects)

    info = await ask(tab)
    completion = await tab.send("complete_request", {"code": "x", "cursor_pos": 1})
    await tab.until(lambda: completion.idle)
    await tab.close()
    tab = await front_end.open(kernel_id)
    tab.adopt(info)
    completion = await tab.send("complete_request", {"code": "x", "cursor_pos": 1})
    await tab.until(lambda: completion.idle)
    assert not world.store.objects, "a tab that comes back asks for no kernel"

    await tab.run("1")
    await tab.until(lambda: answers(info) != [])
    assert answers(info)[0]["success"]
