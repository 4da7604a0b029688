import asyncio
import base64
import contextlib

import pytest_asyncio

from elastic_jupyter.kube.kinds import SECRET, Key
from elastic_jupyter.store.kubernetes import SecretNotebooks
from tests.support.objects import an_object, until

KEY = Key("team", "gw-notebooks")


def a_list(*uids):
    text = base64.b64encode("\n".join(uids).encode()).decode()
    return an_object(KEY.name, data={"uids": text})


@pytest_asyncio.fixture
async def notebooks(client):
    notebooks = SecretNotebooks(client, *KEY)
    task = asyncio.create_task(notebooks.run())
    yield notebooks
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_nothing_is_known_before_the_first_list(notebooks, server):
    await until(lambda: server.watching)
    assert not notebooks.synced.is_set()
    server.put(SECRET, a_list())
    await notebooks.synced.wait()
    assert notebooks.uids == set()


async def test_a_change_of_the_list_is_told(notebooks, server):
    told = []
    notebooks.on_change = lambda: told.append(notebooks.uids)
    server.put(SECRET, a_list("a", "b"))
    await until(lambda: told == [{"a", "b"}])
    server.put(SECRET, a_list("b"))
    await until(lambda: told == [{"a", "b"}, {"b"}])


async def test_the_list_is_followed_and_the_last_one_counts_while_it_is_gone(notebooks, server):
    server.put(SECRET, a_list("a", "b"))
    server.put(SECRET, an_object("unrelated", data={"uids": "eA=="}))
    await until(lambda: notebooks.uids == {"a", "b"})
    server.put(SECRET, a_list("b"))
    await until(lambda: notebooks.uids == {"b"})
    server.remove(SECRET, KEY)
    await until(lambda: server.watching)
    await asyncio.sleep(60)  # of the loop's time
    assert notebooks.uids == {"b"}
    server.put(SECRET, a_list("c"))
    await until(lambda: notebooks.uids == {"c"})
