"""Widgets of a kernel that sleeps, and after it woke. The front end's part is played."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.front_end import Cell, FrontEnd, Tab
from tests.support.loopback import Loopback, only_key
from tests.unit.gateway.test_gateway import until
from tests.unit.gateway.test_hibernation import NEVER, asleep, phase, spec, suspend

SLIDER = """
import ipywidgets as w
seen = []
slider = w.IntSlider(value=1)
slider.observe(lambda change: seen.append(change.new), "value")
button = w.Button()
button.on_click(lambda _: seen.append("click"))
print(slider.model_id, button.model_id, end="")
"""


async def sleeping(world: Loopback, code: str = SLIDER) -> tuple[Tab, list[str]]:
    """A kernel that has run the code and sleeps; and the ids that the code printed."""
    front_end = FrontEnd(await world.gateway(**NEVER))
    return await put_to_sleep(world, await front_end.open(await front_end.start()), code)


async def put_to_sleep(world: Loopback, tab: Tab, code: str = SLIDER) -> tuple[Tab, list[str]]:
    ids = (await tab.run(code)).text().split()
    await suspend(world)
    await asleep(world)
    tab.comms.clear()
    return tab, ids


async def sleeping_slider(world: Loopback) -> tuple[FrontEnd, str, Tab, str]:
    """The same with its front end, the kernel's id, and the id of the slider."""
    front_end = FrontEnd(await world.gateway(**NEVER))
    kernel_id = await front_end.start()
    tab, [slider, _] = await put_to_sleep(world, await front_end.open(kernel_id))
    return front_end, kernel_id, tab, slider


def answered(cell: Cell) -> dict[str, Any] | None:
    """The content of the reply to a request of any type."""
    replies = [m["content"] for m in cell.messages if m["channel"] == "shell"]
    return replies[0] if replies else None


def told(tab: Tab, comm_id: str) -> list[tuple[str, Any]]:
    """What the tab was told of a comm: the methods or types, and the value in it."""
    return [
        (m["content"]["data"].get("method", m["msg_type"]), _value(m))
        for m in tab.comms
        if m["content"]["comm_id"] == comm_id
    ]


def _value(message: dict[str, Any]) -> Any:
    return message["content"]["data"].get("state", {}).get("value")


async def test_a_touch_is_answered_and_wakes_nobody(world: Loopback) -> None:
    tab, [slider, button] = await sleeping(world)
    first = await tab.touch(slider, method="update", state={"value": 3})
    assert "sleeps. Run a cell to wake it: the change reaches it then" in first.text("stderr")
    second = await tab.touch(slider, method="update", state={"value": 4})
    assert second.text("stderr") == "", "not once for each step of a slider"
    click = await tab.touch(button, method="custom", content={"event": "click"})
    assert click.idle
    assert phase(world) == "Hibernated"
    assert spec(world)["suspend"] is True


async def test_a_change_reaches_the_kernel_before_the_cell_that_wakes_it(world: Loopback) -> None:
    tab, [slider, button] = await sleeping(world)
    for value in (3, 4, 5):
        await tab.touch(slider, method="update", state={"value": value})
    await tab.touch(slider, method="update", state={"max": 50})
    await tab.touch(button, method="custom", content={"event": "click"})
    cell = await tab.run("print(slider.value, slider.max, seen)")
    assert cell.text() == "5 50 [5]\n"
    assert told(tab, slider)[0] == ("update", 1), "what the kernel has comes first"
    assert ("echo_update", 5) in told(tab, slider)
    await tab.touch(slider, method="update", state={"value": 6})
    await tab.touch(button, method="custom", content={"event": "click"})
    assert (await tab.run("print(seen)")).text() == "[5, 6, 'click']\n"


async def test_what_cannot_be_kept_says_so(world: Loopback) -> None:
    tab, [slider, _] = await sleeping(world)
    touch = await tab.touch(slider, method="update", state={"description": "x" * 2_000_000})
    assert "sleeps. Run a cell to wake it: then do this again" in touch.text("stderr")
    await tab.run("1")
    assert told(tab, slider) == [("update", 1)]


async def test_a_widget_that_is_lost_is_closed_in_the_front_end(world: Loopback) -> None:
    code = f"{SLIDER}\nimport threading\nslider.lock = threading.Lock()"
    tab, [slider, button] = await sleeping(world, code)
    cell = await tab.run("'slider' in dir(), print(seen)")
    assert "slider (ipywidgets.widgets.widget_int.IntSlider: cannot pickle" in cell.text("stderr")
    assert told(tab, slider) == [("comm_close", None)]
    assert "comm_close" not in dict(told(tab, button))


async def test_a_touch_while_it_wakes_waits_for_its_turn(world: Loopback) -> None:
    tab, [slider, button] = await sleeping(world)
    world.store.hold = True
    cell = await tab.execute("seen.append(slider.value)")
    await until(lambda: spec(world)["suspend"] is False)
    move = await tab.send(
        "comm_msg", {"comm_id": slider, "data": {"method": "update", "state": {"value": 9}}}
    )
    click = await tab.send(
        "comm_msg", {"comm_id": button, "data": {"method": "custom", "content": {"event": "click"}}}
    )
    world.store.hold = False
    world.store.run(next(iter(world.store.objects)))
    await tab.until(lambda: cell.done and move.idle and click.idle)
    assert (await tab.run("print(seen)")).text() == "[1, 9, 'click']\n"


async def test_a_widget_whose_kernel_is_gone_says_so(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.5, interval=0.1))
    tab = await front_end.open(await front_end.start())
    [slider, _] = (await tab.run(SLIDER)).text().split()
    await until(lambda: not world.store.objects)
    touch = await tab.touch(slider, method="update", state={"value": 3})
    assert "was stopped: run the widget's cell again" in touch.text("stderr")
    assert not world.store.objects


async def loaded(tab: Tab) -> list[Cell]:
    """Ask what a widget manager asks when its page is loaded."""
    control = {"comm_id": "page", "target_name": "jupyter.widget.control", "data": {}}
    states = {"comm_id": "page", "data": {"method": "request_states"}}
    return [
        await tab.send("comm_open", control),
        await tab.send("comm_msg", states),
        await tab.send("comm_info_request", {}),
    ]


async def test_a_page_that_is_loaded_meanwhile_learns_of_the_widgets_when_they_are_back(
    world: Loopback,
) -> None:
    tab, [slider, _] = await sleeping(world)
    asked = await loaded(tab)
    touch = await tab.touch(slider, method="update", state={"value": 3})
    assert "The kernel of this widget sleeps" in touch.text("stderr")
    completion = await tab.send("complete_request", {"code": "sl", "cursor_pos": 2})
    await tab.until(lambda: answered(completion) is not None)
    assert not any(cell.messages for cell in asked), "that there are none would be no answer"
    assert spec(world)["suspend"] is True

    assert (await tab.run("print(slider.value, seen)")).text() == "3 [3]\n"
    await tab.until(lambda: all(cell.idle for cell in asked))
    await tab.until(lambda: answered(asked[2]) is not None)
    assert slider in (answered(asked[2]) or {})["comms"]


async def test_the_last_touch_holds_though_its_page_lost_the_connection(world: Loopback) -> None:
    front_end, kernel_id, tab, slider = await sleeping_slider(world)
    await loaded(tab)
    await tab.touch(slider, method="update", state={"value": 3})
    await tab.close()
    tab = await front_end.open(kernel_id)
    await tab.touch(slider, method="update", state={"value": 5})
    assert (await tab.run("print(slider.value, seen)")).text() == "5 [5]\n"


async def test_touches_of_all_tabs_come_before_every_cell_and_the_last_one_counts(
    world: Loopback,
) -> None:
    front_end, kernel_id, tab, slider = await sleeping_slider(world)
    other = await front_end.open(kernel_id, session="tab-2")
    await tab.touch(slider, method="update", state={"value": 5})
    await other.touch(slider, method="update", state={"value": 7})
    assert (await tab.run("print(slider.value, seen)")).text() == "7 [7]\n"


async def test_a_touch_while_it_wakes_is_kept_for_the_next_wake(world: Loopback) -> None:
    front_end, kernel_id, tab, slider = await sleeping_slider(world)
    world.store.hold = True
    cell = await tab.execute("1")
    await tab.until(lambda: bool(cell.waiting))
    move = {"comm_id": slider, "data": {"method": "update", "state": {"value": 4}}}
    moved = await tab.send("comm_msg", move)
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    await tab.until(lambda: cell.done and moved.idle)
    world.store.hold = False
    await asleep(world)
    assert (await tab.run("print(slider.value)")).text() == "4\n"


async def test_a_touch_is_kept_though_its_page_has_left(world: Loopback) -> None:
    front_end, kernel_id, tab, slider = await sleeping_slider(world)
    await tab.touch(slider, method="update", state={"value": 3})
    await tab.close()
    other = await front_end.open(kernel_id, session="tab-2")
    assert (await other.run("print(slider.value, seen)")).text() == "3 [3]\n"


async def test_a_page_that_was_only_looked_at_wakes_nothing_and_is_forgotten(
    world: Loopback,
) -> None:
    gateway = await world.gateway(**NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab, _ = await put_to_sleep(world, await front_end.open(kernel_id))
    await loaded(tab)
    await tab.close()
    kernel = gateway.kernels.kernels[kernel_id]
    await until(lambda: kernel.parked.get("tab-1") is not None)
    assert not kernel.parked.waiting
    assert (phase(world), spec(world)["suspend"]) == ("Hibernated", True)
    other = await front_end.open(kernel_id, session="tab-2")
    await other.run("1")
    await suspend(world)
    await asleep(world)
    assert kernel.parked.get("tab-1") is None


async def test_a_page_goes_on_waiting_when_a_wake_is_interrupted(world: Loopback) -> None:
    front_end, kernel_id, tab, slider = await sleeping_slider(world)
    *_, info = await loaded(tab)
    world.store.hold = True
    cell = await tab.execute("1")
    await tab.until(lambda: bool(cell.waiting))
    await front_end.rest("POST", f"/api/kernels/{kernel_id}/interrupt")
    await tab.until(lambda: cell.done)
    assert answered(info) is None
    world.store.hold = False
    await asleep(world)
    await tab.run("1")
    await tab.until(lambda: answered(info) is not None)
    assert slider in (answered(info) or {})["comms"]


async def test_a_page_waits_at_the_next_gateway_too(world: Loopback) -> None:
    first = await world.gateway(**NEVER)
    kernel_id = await FrontEnd(first).start()
    _, [slider, _] = await put_to_sleep(world, await FrontEnd(first).open(kernel_id))
    await world.end(first)
    tab = await FrontEnd(await world.gateway(**NEVER)).open(kernel_id)
    info = await tab.send("comm_info_request", {})  # as its notebook server repeats it
    completion = await tab.send("complete_request", {"code": "sl", "cursor_pos": 2})
    await tab.until(lambda: answered(completion) is not None)
    assert answered(info) is None
    await tab.run("1")
    await tab.until(lambda: answered(info) is not None)
    assert slider in (answered(info) or {})["comms"]


async def test_a_page_of_a_kernel_without_widgets_is_answered_at_once(world: Loopback) -> None:
    tab, _ = await sleeping(world, "x = 1")
    *_, info = await loaded(tab)
    await tab.until(lambda: answered(info) is not None)
    assert answered(info) == {"status": "ok", "comms": {}}
    assert told(tab, "page") == [("comm_close", None)]


async def subshell(tab: Tab) -> str:
    """Make a subshell, as JupyterLab does for what is done to widgets."""
    asked = await tab.send("create_subshell_request", {}, channel="control")
    await tab.until(lambda: any(m["channel"] == "control" for m in asked.messages))
    [reply] = [m for m in asked.messages if m["channel"] == "control"]
    return str(reply["content"]["subshell_id"])


@pytest.mark.parametrize("gateways", [1, 2])
async def test_a_front_end_that_names_a_subshell_of_before_reaches_the_kernel(
    world: Loopback, gateways: int
) -> None:
    gateway = await world.gateway(**NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    [slider, _] = (await tab.run(SLIDER)).text().split()
    before = await subshell(tab)
    await suspend(world)
    await asleep(world)
    await tab.touch(slider, subshell=before, method="update", state={"value": 3})
    assert (await tab.run("print(seen)")).text() == "[3]\n"
    now = await subshell(tab)
    if gateways == 2:
        await world.end(gateway)
        tab = await FrontEnd(await world.gateway(**NEVER)).open(kernel_id)
        await tab.run("1")
    for number, named in enumerate((before, now, before), 4):
        await tab.touch(slider, subshell=named, method="update", state={"value": number})
    assert (await tab.run("print(seen)")).text() == "[3, 4, 5, 6]\n"


async def test_a_cell_for_a_subshell_of_before_runs_though_its_front_end_has_left(
    world: Loopback, tmp_path: Path
) -> None:
    gateway = await world.gateway(**NEVER)
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    await tab.run("x = 1")
    before = await subshell(tab)
    await suspend(world)
    await asleep(world)
    world.store.hold = True
    await tab.execute(f"open({str(tmp_path / 'ran')!r}, 'w')", subshell=before)
    await until(lambda: not spec(world)["suspend"])
    await tab.close()
    await until(lambda: not gateway.kernels.kernels[kernel_id].connections)
    world.store.run(only_key(world))
    await until((tmp_path / "ran").exists)
