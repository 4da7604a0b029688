import math
from datetime import UTC, datetime
from functools import partial

import pytest

from elastic_jupyter.errors import Invalid, NotFound
from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.store.sqlite import objects
from tests.support.objects import an_object

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)


@pytest.fixture
def create(database):
    async def create(name, **parts):
        obj = an_object(name, **parts)
        return await database.write(partial(objects.create, kind="Thing", obj=obj, now=NOW))

    return create


async def test_removals_are_remembered_up_to_a_bound(database, create, monkeypatch):
    monkeypatch.setattr(objects, "KEPT_REMOVALS", 3)
    for number in range(5):
        obj = await create(f"a{number}")
        await database.write(partial(objects.remove, kind="Thing", obj=obj))
    kept = await database.read(lambda c: c.execute("SELECT revision FROM removals").fetchall())
    trimmed = await database.read(lambda c: c.execute("SELECT trimmed FROM log").fetchone())
    assert (kept, trimmed) == ([(6,), (8,), (10,)], (4,))


async def test_changes_come_in_pages_and_what_is_gone_comes_first(database, create):
    read = partial(objects.changes, kind="Thing", namespace="team", limit=2)
    first = [await create(name) for name in "abc"]
    await create("elsewhere", namespace="other")
    page = await database.read(partial(read, since=objects.Cursor(), known={}))
    assert (page.written, page.gone, page.more) == (first[:2], [], True)
    known = {obj["metadata"]["uid"]: None for obj in page.written}
    await database.write(partial(objects.remove, kind="Thing", obj=first[0]))
    successor = await create("a")
    page = await database.read(partial(read, since=page.cursor, known=known))
    assert page.gone == [first[0]["metadata"]["uid"]]
    assert page.written == [first[2], successor]
    page = await database.read(partial(read, since=page.cursor, known=known))
    assert (page.written, page.gone, page.more) == ([], [], False)


async def test_what_an_object_is_of_the_store_stays_when_it_is_put_again(database, create):
    old = await create("a", spec={"x": 1}, extra=1)
    put = partial(objects.put, kind="Thing", now=datetime.now(UTC))
    same = await database.write(partial(put, obj=an_object("a", spec={"x": 1}, extra=1)))
    assert same == old
    new = await database.write(partial(put, obj=an_object("a", spec={"x": 2})))
    kept = {**old["metadata"], "resourceVersion": "2", "generation": 2}
    assert new == {"metadata": kept, "spec": {"x": 2}}
    assert kept["creationTimestamp"] == "2026-11-24T18:00:00Z"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        pytest.param({"x": "y" * 2**21}, "at most 1572864 are kept", id="too big"),
        pytest.param({"x": math.nan}, "JSON compliant", id="no JSON"),
    ],
)
async def test_what_cannot_be_kept_is_refused(database, create, spec, complaint):
    with pytest.raises(Invalid, match=rf"Thing team/a: .*{complaint}"):
        await create("a", spec=spec)
    with pytest.raises(NotFound):
        await database.read(partial(objects.get, kind="Thing", key=Key("team", "a")))


async def test_any_text_is_kept(database, create):
    text = "\x00 \ud800 ä 😀 ' \" \\ \n"
    created = await create("a", spec={text: text})
    found = await database.read(partial(objects.get, kind="Thing", key=Key("team", "a")))
    assert found == created
