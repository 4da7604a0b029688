"""A disk that is full: what runs goes on, what cannot start says so, and nothing is lost."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from elastic_jupyter.store.protocol import Key
from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
from tests.scenarios.ends import COUNT, said_why
from tests.support.jupyter_tab import Tab
from tests.support.machine import NAMESPACE, Machine

NewMachine = Callable[..., Machine]


class Ballast:
    """A file that leaves no byte free on its disk, until it is dropped."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def fill(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass

    def drop(self) -> None:
        self._file.unlink()


def make_room_in_the_database(machine: Machine, tab: Tab) -> None:
    """Write until the database writes over its log anew, as after a day of use.

    It needs no more space then, for a while.
    """

    metadata = (machine.kernel(tab) or {})["metadata"]

    async def write() -> None:
        database = open_database(machine.state / "objects.db")
        with contextlib.closing(database):
            store, key = SqliteKernelStore(database), Key(NAMESPACE, metadata["name"])
            for number in range(400):
                note = {"note": str(number % 10) * 20_000}
                await store.annotate(key, note, uid=metadata["uid"])

    asyncio.run(write())
    assert (machine.state / "objects.db-wal").stat().st_size > 1000 * 4096


def test_a_full_disk_ends_no_kernel_and_is_told_to_who_starts_one(
    new_machine: NewMachine, small_disk: Callable[..., Path]
) -> None:
    disk = small_disk(16)
    ballast = Ballast(disk)
    state = disk / "state"
    machine = new_machine(state=state).up()
    running, dying = machine.server.open(), machine.server.open(machine.gpu)
    assert running.run("x = 41; x", within=60).result == "41"
    dies = dying.start(COUNT)
    dies.until(lambda cell: cell.stdout == "on\n", within=60, what="a cell that computes")
    make_room_in_the_database(machine, running)

    ballast.fill()
    assert running.run("x + 1").result == "42"
    late = machine.server.open().start("print('started')")
    told = f"the disk of {state} is full: free some space"
    late.until(lambda cell: told in "".join(cell.displayed), within=30, what=told)
    machine.kill_kernel(dying)
    said_why(dies.wait(), "exit code 137 (SIGKILL)")
    assert running.run("x + 1").result == "42"

    ballast.drop()
    assert late.wait(within=60).stdout == "started\n"
    assert running.run("x + 1").result == "42"
    token = machine.server.token

    ballast.fill()
    machine.signal()
    assert machine.wait() == 0
    machine.all_gone()
    ballast.fill()  # the log of the database went with it
    machine.spawn()
    assert machine.wait(within=60) == 2
    assert f"{state}/objects.db: the disk is full: free some space" in machine.said

    ballast.drop()
    machine.up()
    assert machine.server.token == token
    again = machine.server.attach(running.session)
    said = again.run("'x' in globals()", within=60)
    assert said.result == "False"
    assert "elastic-jupyter was stopped on this machine" in said.text

    ballast.fill()
    with pytest.raises(requests.HTTPError, match=rf"{state}/objects.db: the disk is full: free"):
        machine.server.open()
    assert again.run("6 * 7").result == "42"
