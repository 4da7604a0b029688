import asyncio
import base64
from datetime import UTC, datetime, timedelta

import pytest

from elastic_jupyter.errors import Invalid, NotFound
from elastic_jupyter.kube.kinds import SECRET, Key
from elastic_jupyter.store.kubernetes import SecretTombstones
from tests.support.objects import an_object

KEY = Key("team", "gw-tombstones")


class TickingClock:
    """A second passes with each look."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 18, tzinfo=UTC)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def monotonic(self) -> float:
        raise NotImplementedError


@pytest.fixture
def secret(server):
    return server.put(SECRET, an_object(KEY.name))


@pytest.fixture
def tombstones(client, secret):
    return SecretTombstones(client, *KEY, clock=TickingClock())


async def test_what_is_put_is_loaded_by_another_process(tombstones, client):
    await tombstones.put("k1", {"epoch": 3, "env": {"A": "ä"}})
    await tombstones.put("k2", {"epoch": 1})
    await tombstones.put("k1", {"epoch": 4})
    successor = SecretTombstones(client, *KEY)
    assert await successor.load() == {"k1": {"epoch": 4}, "k2": {"epoch": 1}}


async def test_what_is_removed_is_forgotten_and_may_be_removed_again(tombstones):
    await tombstones.put("k1", {})
    await tombstones.remove("k1")
    await tombstones.remove("k1")
    assert await tombstones.load() == {}


async def test_what_is_removed_while_it_is_written_does_not_come_back(tombstones):
    await asyncio.gather(tombstones.put("k1", {}), tombstones.remove("k1"))
    assert await tombstones.load() == {}


async def test_two_writers_do_not_undo_each_other(tombstones, client):
    other = SecretTombstones(client, *KEY)
    await tombstones.put("k1", {"x": 1})
    await other.put("k2", {"x": 2})
    await tombstones.remove("k1")
    assert await other.load() == {"k2": {"x": 2}}


async def test_the_oldest_are_dropped_when_it_is_full(tombstones, server, caplog):
    for number in range(8):
        await tombstones.put(f"k{number}", {"number": number, "x": "y" * 100_000})
    kept = await tombstones.load()
    assert list(kept) == ["k1", "k2", "k3", "k4", "k5", "k6", "k7"]
    await tombstones.put("k2", {"number": 2, "x": "y" * 150_000})
    assert sorted(await tombstones.load()) == ["k2", "k3", "k4", "k5", "k6", "k7"]
    raw = server.get(SECRET, KEY)["data"]
    assert sum(len(key) + len(base64.b64decode(value)) for key, value in raw.items()) <= 700 * 1024
    assert "the oldest are dropped" in caplog.text


async def test_one_that_alone_is_too_big_is_refused_and_drops_nothing(tombstones):
    await tombstones.put("k1", {})
    with pytest.raises(Invalid, match="k2"):
        await tombstones.put("k2", {"x": "y" * 800_000})
    assert list(await tombstones.load()) == ["k1"]


async def test_an_entry_that_cannot_be_read_is_left_out_and_dropped_first(
    tombstones, server, caplog
):
    await tombstones.put("good", {"x": 1})
    broken = server.get(SECRET, KEY)
    broken["data"] |= {"not-base64": "%", "not-json": "eHg=", "wrong": "e30="}
    server.put(SECRET, broken)
    assert await tombstones.load() == {"good": {"x": 1}}
    assert caplog.text.count("cannot be read") == 3
    await tombstones.put("big", {"x": "y" * 716_665})
    left = set(server.get(SECRET, KEY)["data"])
    assert {"big", "good"} <= left
    assert len(left) < 5


async def test_without_its_secret_it_says_so(client):
    with pytest.raises(NotFound, match="Secret team/missing"):
        await SecretTombstones(client, "team", "missing").load()
