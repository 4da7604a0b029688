import pytest

from elastic_jupyter.store.sqlite import SqliteNotebooks
from tests.support.objects import until


@pytest.fixture
def notebooks(database):
    return SqliteNotebooks(database, "team", "gw")


@pytest.fixture
def supervisor(other):
    return SqliteNotebooks(other, "team", "gw")


async def test_nothing_is_known_before_the_first_list(notebooks, supervisor, other, running):
    async with running(notebooks.run()):
        await SqliteNotebooks(other, "team", "of-another-gateway").serve(["a"])
        assert not notebooks.synced.is_set()
        await supervisor.serve([])
        await notebooks.synced.wait()
        assert notebooks.uids == set()


async def test_a_change_of_the_list_is_told(notebooks, supervisor, running):
    told = []
    notebooks.on_change = lambda: told.append(notebooks.uids)
    async with running(notebooks.run()):
        await supervisor.serve(["b", "a"])
        await until(lambda: told == [{"a", "b"}])
        await supervisor.serve(["a", "b"])
        await supervisor.serve({"b"})
        await until(lambda: told == [{"a", "b"}, {"b"}])
