"""Two users of one machine, with an engine each, and its one GPU."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio

from elastic_jupyter.api import names
from elastic_jupyter.clock import SystemClock
from elastic_jupyter.local import gpus
from elastic_jupyter.local.leases import Leases
from elastic_jupyter.local.shared_directory import SharedDirectory
from elastic_jupyter.store.protocol import Key
from tests.support.clock import START
from tests.support.one_machine import OneMachine, one_machine
from tests.unit.local.test_kernel import STAYS


def line(leases: Path) -> Leases:
    return Leases(SharedDirectory(leases), gpus.inventory(1), SystemClock())


@dataclass
class Users:
    leases: Path
    ann: OneMachine
    bob: OneMachine

    def holders(self) -> list[tuple[str, str, str]]:
        return [(one.gpu, one.user, one.kernel) for one in line(self.leases).holders()]


@pytest_asyncio.fixture
async def users(tmp_path: Path) -> AsyncIterator[Users]:
    leases = tmp_path / "leases"
    states = [tmp_path / user for user in ("ann", "bob")]
    for state in states:
        state.mkdir()
    ann, bob = (one_machine(state, line(leases)) for state in states)
    async with ann as anns, bob as bobs:
        anns.start()
        bobs.start()
        yield Users(leases, anns, bobs)


async def wish(machine: OneMachine, user: str, asked: int, name: str = "k-1") -> Key:
    """Wish for a kernel with a GPU that was asked for at this second."""
    return await machine.run(
        STAYS,
        name=name,
        user=user,
        gpus=1,
        kernelID=f"{user}-0000",
        annotations={names.ANNOTATION_ASKED_AT: (START + timedelta(seconds=asked)).isoformat()},
    )


def has_place(position: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: (status.get("queue") or {}).get("position") == position


async def test_two_users_take_turns_with_one_gpu(users: Users) -> None:
    ann = await wish(users.ann, "ann", 0)
    await users.ann.until_phase(ann, "Running")
    bob = await wish(users.bob, "bob", 1)
    waits = (await users.bob.until_phase(bob, "Queued"))["queue"]
    assert (waits["position"], waits["length"]) == (1, 1)
    assert users.holders() == [("stand-in 0", "ann", "ann-0000")]
    assert waits["reason"].startswith(
        "1 GPU of this machine is in use: stand-in 0 by ann (kernel ann-0000) since "
    )
    assert not users.bob.processes()
    await users.ann.delete(ann)
    await users.bob.until_phase(bob, "Running")
    assert users.holders() == [("stand-in 0", "bob", "bob-0000")]
    assert not users.ann.processes()


async def test_whoever_asked_first_is_next_whichever_engine_it_has(users: Users) -> None:
    first = await wish(users.ann, "ann", 0)
    await users.ann.until_phase(first, "Running")
    late = await wish(users.ann, "ann", 9, name="k-2")
    early = await wish(users.bob, "bob", 5)
    await users.ann.until(late, has_place(2))
    await users.ann.delete(first)
    await users.bob.until_phase(early, "Running")
    await users.ann.until(late, has_place(1))


async def test_a_kernel_has_its_place_again_when_its_supervisor_was_killed(users: Users) -> None:
    first = await wish(users.bob, "bob", 0)
    await users.bob.until_phase(first, "Running")
    await users.ann.stop()
    with users.ann.another_supervisor(gpus=1, leases=users.leases):
        ann = await wish(users.ann, "ann", 1)
        await users.ann.until_phase(ann, "Queued")
        second = await wish(users.bob, "bob", 2, name="k-2")
        await users.bob.until(second, has_place(2))
    await users.bob.until(second, has_place(1))
    users.ann.start()
    await users.bob.until(second, has_place(2))
    await users.bob.delete(first)
    await users.ann.until_phase(ann, "Running")
