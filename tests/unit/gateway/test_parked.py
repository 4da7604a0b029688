"""A front end that leaves while its cell waits or runs, and comes back: real kernels."""

from tests.support.front_end import Cell, FrontEnd, Tab
from tests.support.loopback import Loopback, only_key
from tests.support.objects import until


async def waiting(world: Loopback, front_end: FrontEnd, code: str) -> tuple[str, Tab, Cell]:
    """A cell that waits for its kernel, whose id comes first, in a tab."""
    world.store.hold = True
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute(code)
    await tab.until(lambda: bool(cell.waiting))
    return kernel_id, tab, cell


async def leave(tab: Tab, cell: Cell) -> None:
    await tab.close_and_read(cell)


async def come_back(front_end: FrontEnd, kernel_id: str, cell: Cell) -> Tab:
    tab = await front_end.open(kernel_id)
    tab.adopt(cell)
    return tab


async def test_a_cell_that_waits_runs_though_its_front_end_has_left(world: Loopback) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id, tab, cell = await waiting(world, front_end, "print('ran', flush=True)\n6 * 7")
    await leave(tab, cell)

    world.store.run(only_key(world))
    kernel = gateway.kernels.kernels[kernel_id]
    await until(lambda: kernel.iopub is not None and not kernel.parked.waiting and not kernel.busy)
    tab = await come_back(front_end, kernel_id, cell)
    await tab.until(lambda: cell.done)
    assert cell.text() == "ran\n"
    kinds = [message["msg_type"] for message in cell.messages]
    assert kinds.index("clear_output") < kinds.index("stream"), "the waiting text goes first"
    assert (await tab.run("print(_ + 1)")).text() == "43\n"


async def test_a_cell_that_waits_is_waited_for_on_return(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id, tab, cell = await waiting(world, front_end, "print('ran')")
    await leave(tab, cell)

    tab = await come_back(front_end, kernel_id, cell)
    queue = {"position": 2, "length": 3, "reason": "1 Insufficient nvidia.com/gpu."}
    world.store.report(only_key(world), phase="Queued", queue=queue)
    await tab.until(lambda: "2nd of 3" in cell.waiting[-1])
    world.store.run(only_key(world))
    await tab.until(lambda: cell.done)
    assert cell.text() == "ran\n"


async def test_a_cell_that_waits_runs_once_though_the_end_of_its_websocket_is_not_seen(
    world: Loopback,
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id, tab, cell = await waiting(world, front_end, "print('ran')")

    tab = await front_end.open(kernel_id, query="&last_msg_id=")
    tab.adopt(cell)
    [connection] = gateway.kernels.kernels[kernel_id].connections
    assert connection.waits, "what the one before had sent is here"
    world.store.run(only_key(world))
    await tab.until(lambda: cell.done)
    assert cell.text() == "ran\n"
    assert (await tab.run("print(_ih.count(\"print('ran')\"))")).text() == "1\n"


async def test_a_start_that_fails_meanwhile_is_told_on_return(world: Loopback) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id, tab, cell = await waiting(world, front_end, "1")
    await leave(tab, cell)

    condition = {"type": "Failed", "status": "True", "reason": "Error", "message": "no such image"}
    world.store.report(only_key(world), phase="Failed", conditions=[condition])
    await until(lambda: not world.store.objects)
    tab = await come_back(front_end, kernel_id, cell)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert "no such image" in cell.reply["content"]["evalue"]


async def test_the_end_of_a_kernel_is_told_on_return(world: Loopback) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    cell = await tab.execute("print('began', flush=True)\nimport time\ntime.sleep(600)")
    await tab.until(lambda: cell.text() == "began\n")
    await leave(tab, cell)

    condition = {"type": "Failed", "status": "True", "reason": "OOMKilled", "message": "too much"}
    world.store.report(only_key(world), phase="Failed", conditions=[condition])
    await until(lambda: gateway.kernels.kernels[kernel_id].reason != "")
    tab = await come_back(front_end, kernel_id, cell)
    await tab.until(lambda: cell.done)
    assert cell.reply is not None
    assert "OOMKilled" in cell.reply["content"]["evalue"]


async def test_what_a_cell_printed_is_there_though_its_kernel_was_reclaimed(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway(idle=1))
    kernel_id = await front_end.start()
    tab = await front_end.open(kernel_id)
    code = "import time\nfor n in range(10):\n    print(n, flush=True)\n    time.sleep(0.1)"
    cell = await tab.execute(code)
    await tab.until(lambda: "1\n" in cell.text())
    await leave(tab, cell)
    await until(lambda: not world.store.objects)

    tab = await come_back(front_end, kernel_id, cell)
    await tab.until(lambda: cell.done)
    assert cell.text() == "".join(f"{n}\n" for n in range(10))
    assert cell.reply is not None
    assert cell.reply["content"]["status"] == "ok"
