import asyncio

import pytest

from elastic_jupyter.errors import Invalid
from elastic_jupyter.store.sqlite import SqliteTombstones, tombstones


@pytest.fixture
def stones(database):
    return SqliteTombstones(database, "team")


async def test_what_is_put_is_loaded_by_another_process(stones, other):
    await stones.put("k1", {"epoch": 3, "env": {"A": "ä", "B": None}})
    await stones.put("k2", {"epoch": 1})
    await stones.put("k1", {"epoch": 4})
    assert await SqliteTombstones(other, "team").load() == {"k1": {"epoch": 4}, "k2": {"epoch": 1}}
    assert await SqliteTombstones(other, "elsewhere").load() == {}


async def test_what_is_removed_is_forgotten_and_may_be_removed_again(stones):
    await stones.put("k1", {})
    await stones.remove("k1")
    await stones.remove("k1")
    assert await stones.load() == {}


async def test_what_is_removed_while_it_is_written_does_not_come_back(stones):
    await asyncio.gather(stones.put("k1", {}), stones.remove("k1"))
    assert await stones.load() == {}


async def test_two_writers_do_not_undo_each_other(stones, other):
    await stones.put("k1", {"x": 1})
    await SqliteTombstones(other, "team").put("k2", {"x": 2})
    await stones.remove("k1")
    assert await stones.load() == {"k2": {"x": 2}}


async def test_the_oldest_are_dropped_when_it_is_full(stones, monkeypatch, caplog):
    monkeypatch.setattr(tombstones, "MAX_BYTES", 700 * 1024)
    await SqliteTombstones(stones._database, "elsewhere").put("k0", {})
    for number in range(8):
        await stones.put(f"k{number}", {"number": number, "x": "y" * 100_000})
    assert list(await stones.load()) == ["k1", "k2", "k3", "k4", "k5", "k6", "k7"]
    await stones.put("k2", {"number": 2, "x": "y" * 150_000})
    assert sorted(await stones.load()) == ["k2", "k3", "k4", "k5", "k6", "k7"]
    assert "the oldest are dropped" in caplog.text
    assert await SqliteTombstones(stones._database, "elsewhere").load() == {"k0": {}}


async def test_one_that_alone_is_too_big_is_refused_and_drops_nothing(stones):
    await stones.put("k1", {})
    with pytest.raises(Invalid, match="k2"):
        await stones.put("k2", {"x": "y" * 1_600_000})
    assert list(await stones.load()) == ["k1"]
