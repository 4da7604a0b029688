import asyncio
import contextlib
import os
import socket

import pytest

from elastic_jupyter.store.sqlite.bell import Bell


@pytest.fixture
def bell(tmp_path):
    directory = tmp_path / "bells"
    directory.mkdir()
    return Bell(directory)


@contextlib.contextmanager
def at_most(seconds):
    """Fail when the block takes longer, by the loop's time."""
    began = asyncio.get_running_loop().time()
    yield
    assert asyncio.get_running_loop().time() - began < seconds


async def test_a_ring_wakes_all_that_listen_also_if_it_came_before_they_waited(bell):
    elsewhere = Bell(bell.directory)
    with bell.listen() as one, elsewhere.listen() as two, at_most(10):
        for ringing in (bell, elsewhere):
            ringing.ring()
            await asyncio.gather(one.wait(seconds=60), two.wait(seconds=60))


async def test_who_waits_is_woken(bell):
    with bell.listen() as ear, at_most(10):
        waiting = asyncio.create_task(ear.wait(seconds=60))
        await asyncio.sleep(0)
        bell.ring()
        await waiting


async def test_without_a_ring_the_wait_ends_in_time(bell):
    with bell.listen() as ear, at_most(10):
        await ear.wait(seconds=0.01)


async def test_many_rings_are_one_and_nobody_waits_for_a_listener_that_does_not_look(bell):
    with bell.listen() as ear:
        with at_most(10):
            for _ in range(1000):
                bell.ring()
            await ear.wait(seconds=60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ear.wait(seconds=60)


async def test_a_listener_that_ended_leaves_nothing(bell):
    with bell.listen():
        assert len(os.listdir(bell.directory)) == 1
    assert os.listdir(bell.directory) == []


async def test_what_a_killed_listener_left_is_removed_and_the_others_are_heard(bell):
    for number in range(3):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(str(bell.directory / str(number)))
    with bell.listen() as ear, at_most(10):
        bell.ring()
        await ear.wait(seconds=60)
        assert len(os.listdir(bell.directory)) == 1


async def test_a_path_may_be_longer_than_a_socket_s(tmp_path):
    directory = tmp_path / ("x" * 100) / ("y" * 100)
    directory.mkdir(parents=True)
    bell = Bell(directory)
    with bell.listen() as ear, at_most(10):
        bell.ring()
        await ear.wait(seconds=60)


async def test_without_its_directory_nobody_fails_and_the_wait_ends_in_time(tmp_path, caplog):
    bell = Bell(tmp_path / "missing")
    with bell.listen() as ear, at_most(10):
        bell.ring()
        await ear.wait(seconds=0.01)
    assert "with a delay" in caplog.text
