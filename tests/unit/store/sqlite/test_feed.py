import asyncio
import contextlib
from functools import partial

import pytest
import pytest_asyncio

from elastic_jupyter.store.protocol import Gone, Synced
from elastic_jupyter.store.sqlite import feed, objects
from elastic_jupyter.store.sqlite.feed import Written, follow
from tests.support.objects import an_object, until


@pytest.fixture
def write(other):
    """Create an object in another process, or what looks like one from here."""

    async def write(name):
        now = other.clock.now()
        return await other.write(
            partial(objects.create, kind="Thing", obj=an_object(name), now=now)
        )

    return write


@pytest.fixture
def no_slow_look(monkeypatch):
    monkeypatch.setattr(feed, "SLOW_LOOK", 600)


@pytest_asyncio.fixture
async def events(database):
    events = []

    async def read():
        async with contextlib.aclosing(follow(database, "Thing", "team")) as feed:
            async for event in feed:
                events.append(event)  # noqa: PERF401 - read by the test meanwhile

    task = asyncio.create_task(read())
    yield events
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_another_process_writes_is_told_at_once(no_slow_look, events, write, other):
    await until(lambda: events == [Synced()])
    a = await write("a")
    await until(lambda: events == [Synced(), Written(a)])
    await other.write(partial(objects.remove, kind="Thing", obj=a))
    await until(lambda: events[2:] == [Gone(("team", "a"), a["metadata"]["uid"])])


async def test_what_nobody_rang_for_is_told_after_a_while(events, write, other, monkeypatch):
    monkeypatch.setattr(other.bell, "ring", lambda: None)
    await until(lambda: events == [Synced()])
    a = await write("a")
    await until(lambda: events == [Synced(), Written(a)])


async def test_more_than_a_page_is_told_before_it_is_synced(
    no_slow_look, monkeypatch, write, events
):
    monkeypatch.setattr(feed, "PAGE", 2)
    written = [Written(await write(name)) for name in "abcd"]
    await until(lambda: Synced() in events)
    told = events.index(Synced())
    assert events[:told] == written[:told]
    await until(lambda: [event for event in events if event != Synced()] == written)


async def test_a_fault_is_waited_out_and_nothing_is_missed(events, write, other, caplog):
    await until(lambda: events == [Synced()])
    a = await write("a")
    await until(lambda: events == [Synced(), Written(a)])
    await other.write(lambda c: c.execute("ALTER TABLE removals RENAME TO broken"))
    await until(lambda: "watching failed" in caplog.text)
    b = await write("b")
    await other.write(lambda c: c.execute("ALTER TABLE broken RENAME TO removals"))
    await until(lambda: events == [Synced(), Written(a), Written(b)])


async def test_a_follower_of_a_file_that_cannot_be_read_is_not_synced(
    database, other, write, caplog
):
    await other.write(lambda c: c.execute("ALTER TABLE objects RENAME TO broken"))
    async with contextlib.aclosing(follow(database, "Thing", "team")) as events:
        first = asyncio.ensure_future(anext(events))
        await until(lambda: "watching failed" in caplog.text)
        assert not first.done()
        await other.write(lambda c: c.execute("ALTER TABLE broken RENAME TO objects"))
        assert await first == Synced()
