"""Sessions that the gateway keeps for a notebook server."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.errors import Invalid, Unavailable
from elastic_jupyter.gateway import sessions
from elastic_jupyter.gateway.sessions import MAX_BYTES, MAX_SESSIONS, KernelSession
from tests.support.front_end import FrontEnd
from tests.support.loopback import BOB, Loopback
from tests.support.objects import until

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def session(number: int, path: str = "a.ipynb") -> KernelSession:
    return KernelSession(id=f"id-{number}", path=path, name=path, type="notebook")


def test_a_session_that_changes_stays_one() -> None:
    kept = sessions.with_session((session(1),), session(2))
    assert sessions.with_session(kept, session(1, "b.ipynb")) == (session(2), session(1, "b.ipynb"))


def test_the_oldest_sessions_go_beyond_the_limit() -> None:
    kept: sessions.Sessions = ()
    for number in range(MAX_SESSIONS + 2):
        kept = sessions.with_session(kept, session(number))
    assert kept == tuple(session(number) for number in range(2, MAX_SESSIONS + 2))


@given(st.lists(st.text(max_size=9), max_size=3))
def test_what_is_written_is_read_back(paths: list[str]) -> None:
    kept = tuple(session(number, path) for number, path in enumerate(paths))
    assert sessions.read(sessions.write(kept)) == kept


GOOD = {"id": "1", "path": "a.ipynb", "name": "a.ipynb", "type": "notebook"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "3",
        '"text"',
        json.dumps(GOOD),
        json.dumps([GOOD, None]),
        json.dumps([GOOD, {**GOOD, "id": ""}]),
        json.dumps([GOOD, {**GOOD, "path": 3}]),
        json.dumps([{**GOOD, "name": "x" * 5000}, GOOD]),
        pytest.param("[" * 9999, id="nested too deeply"),
    ],
)
def test_an_annotation_that_somebody_else_wrote_counts_for_nothing(text: str) -> None:
    assert sessions.read(text) == ()


@given(JSON.map(json.dumps) | st.text())
def test_no_annotation_is_an_error(text: str) -> None:
    sessions.read(text)


def test_an_annotation_has_long_paths_as_they_are_and_a_limit_in_bytes() -> None:
    paths = [f"{number}-" + "雪" * 4000 for number in range(5)]  # 12 kB, and as much for its name
    kept: sessions.Sessions = ()
    for number, path in enumerate(paths):
        kept = sessions.with_session(kept, session(number, path))
    assert [one.path for one in sessions.read(sessions.write(kept))] == paths
    assert len((sessions.write(kept) or "").encode()) < 5 * 2 * 3 * 4000 + 1000
    with pytest.raises(Invalid, match=rf"id-5 .* bytes .* at most {MAX_BYTES}"):
        sessions.with_session(kept, session(5, paths[0]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"path": "a"}, "id must not be empty", id="no id"),
        pytest.param({"id": "1", "path": 3}, "path must be a text", id="no text"),
        pytest.param({"id": "1", "name": "x" * 5000}, "name must be a text of at most", id="long"),
    ],
)
def test_what_is_no_session_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KernelSession.of(given)


async def keep(front_end: FrontEnd, kernel_id: str, session_id: str, path: str) -> int:
    where = f"/api/kernels/{kernel_id}/sessions/{session_id}"
    body = {"path": path, "name": path, "type": "notebook"}
    return (await front_end.rest("PUT", where, body)).code


async def kept(front_end: FrontEnd) -> dict[str, tuple[str, str]]:
    """Return path and kernel by session."""
    found = json.loads((await front_end.rest("GET", "/api/notebook")).body)
    return {one["id"]: (one["path"], one["kernel_id"]) for one in found["sessions"]}


async def test_a_session_is_kept_over_gateways_and_reclaims(world: Loopback) -> None:
    gateway = await world.gateway(idle=2)
    front_end = FrontEnd(gateway)
    kernel_id, session_id = await front_end.start(), str(uuid.uuid4())
    want = {session_id: ("a.ipynb", kernel_id)}
    assert await keep(front_end, kernel_id, session_id, "a.ipynb") == 204
    assert await kept(front_end) == want
    await world.end(gateway)

    gateway = await world.gateway(idle=0.3)
    front_end = FrontEnd(gateway)
    assert await kept(front_end) == want
    await until(lambda: not world.store.objects)
    assert await kept(front_end) == want
    assert await keep(front_end, kernel_id, session_id, "b.ipynb") == 204
    await world.end(gateway)

    front_end = FrontEnd(await world.gateway())
    want = {session_id: ("b.ipynb", kernel_id)}
    assert await kept(front_end) == want
    await (await front_end.open(kernel_id)).run("1")
    assert await kept(front_end) == want


async def test_a_session_is_on_one_kernel_and_ends_with_it(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    first, second = await front_end.start(), await front_end.start()
    session_id = str(uuid.uuid4())
    for kernel_id in (first, second):
        await keep(front_end, kernel_id, session_id, "a.ipynb")
        assert await kept(front_end) == {session_id: ("a.ipynb", kernel_id)}
    await front_end.rest("DELETE", f"/api/kernels/{second}")
    assert await kept(front_end) == {}


async def test_another_notebooks_sessions_are_neither_seen_nor_written(world: Loopback) -> None:
    gateway = await world.gateway()
    ann, bob = FrontEnd(gateway), FrontEnd(gateway, identity=BOB)
    kernel_id, session_id = await ann.start(), str(uuid.uuid4())
    await keep(ann, kernel_id, session_id, "a.ipynb")
    assert await kept(bob) == {}
    assert await keep(bob, kernel_id, session_id, "mine.ipynb") == 404
    assert await kept(ann) == {session_id: ("a.ipynb", kernel_id)}


async def test_a_session_that_is_none_is_refused(world: Loopback) -> None:
    front_end = FrontEnd(await world.gateway())
    where = f"/api/kernels/{await front_end.start()}/sessions/{uuid.uuid4()}"
    for body in ({"path": 3}, [1], "text"):
        assert (await front_end.rest("PUT", where, body)).code == 400


async def test_a_session_that_could_not_be_kept_is_told_and_kept_the_next_time(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway())
    kernel_id, session_id = await front_end.start(), str(uuid.uuid4())
    world.store.failing_annotates = 1
    where = f"/api/kernels/{kernel_id}/sessions/{session_id}"
    answer = await front_end.rest("PUT", where, {"path": "a.ipynb"})
    assert (answer.code, json.loads(answer.body)["message"]) == (
        503,
        "the session was not kept: no answer",
    )
    assert await kept(front_end) == {}
    assert await keep(front_end, kernel_id, session_id, "a.ipynb") == 204
    assert await kept(front_end) == {session_id: ("a.ipynb", kernel_id)}
    assert session_id in json.dumps(list(world.store.objects.values()))


async def test_a_tombstone_that_cannot_be_written_is_told_and_written_the_next_time(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway(idle=0.3))
    kernel_id, session_id = await front_end.start(), str(uuid.uuid4())
    await until(lambda: not world.store.objects)
    world.tombstones.failing_puts = 1
    assert await keep(front_end, kernel_id, session_id, "a.ipynb") == 503
    assert await kept(front_end) == {}
    assert await keep(front_end, kernel_id, session_id, "a.ipynb") == 204
    assert world.tombstones[kernel_id]["sessions"][0]["id"] == session_id


async def test_sessions_too_long_for_an_annotation_are_refused_with_the_limit(
    world: Loopback,
) -> None:
    front_end = FrontEnd(await world.gateway())
    where = f"/api/kernels/{await front_end.start()}/sessions"
    long = {"path": "雪" * 4000, "name": "雪" * 4000}
    answers = [await front_end.rest("PUT", f"{where}/{uuid.uuid4()}", long) for _ in range(6)]
    assert [answer.code for answer in answers] == [*[204] * 5, 400]
    assert str(MAX_BYTES) in json.loads(answers[-1].body)["message"]
    assert len(await kept(front_end)) == 5


async def test_a_session_that_changes_while_its_kernel_is_created_is_kept(
    world: Loopback,
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id, session_id = await front_end.start(), str(uuid.uuid4())
    await keep(front_end, kernel_id, session_id, "a.ipynb")

    world.store.answering.clear()
    restart = asyncio.ensure_future(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: not world.store.objects)
    change = asyncio.ensure_future(keep(front_end, kernel_id, session_id, "b.ipynb"))
    manager = gateway.kernels.kernels[kernel_id]
    await until(lambda: len(manager._accepted._callbacks) > 1)  # restart and change wait for it
    world.store.answering.set()
    assert (await restart).code == 200
    assert await change == 204

    want = {session_id: ("b.ipynb", kernel_id)}
    await (await front_end.open(kernel_id)).run("1")
    assert await kept(front_end) == want
    await world.end(gateway)
    assert await kept(FrontEnd(await world.gateway())) == want


async def test_a_session_that_changes_as_its_kernel_is_restarted_is_kept(
    world: Loopback,
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    kernel_id, session_id = await front_end.start(), str(uuid.uuid4())
    manager = gateway.kernels.kernels[kernel_id]
    world.store.answering.clear()
    change = asyncio.ensure_future(keep(front_end, kernel_id, session_id, "a.ipynb"))
    await until(lambda: manager._changing.locked())
    restart = asyncio.ensure_future(front_end.rest("POST", f"/api/kernels/{kernel_id}/restart"))
    await until(lambda: bool(manager._changing._waiters))
    world.store.answering.set()
    assert (await change, (await restart).code) == (204, 200)
    await (await front_end.open(kernel_id)).run("1")
    assert await kept(front_end) == {session_id: ("a.ipynb", kernel_id)}
    assert session_id in json.dumps(list(world.store.objects.values()))


async def test_a_session_that_cannot_leave_its_kernel_is_on_the_new_one_all_the_same(
    world: Loopback,
) -> None:
    gateway = await world.gateway()
    front_end = FrontEnd(gateway)
    old, new, session_id = await front_end.start(), await front_end.start(), str(uuid.uuid4())
    await keep(front_end, old, session_id, "a.ipynb")
    world.store.failing_annotates = 1
    assert await keep(front_end, new, session_id, "a.ipynb") == 503
    assert await kept(front_end) == {session_id: ("a.ipynb", old)}, "the new one failed first"

    leave = gateway.kernels.kernels[old]._keep_sessions

    async def no_answer(_: sessions.Sessions) -> None:
        raise Unavailable("no answer")

    gateway.kernels.kernels[old]._keep_sessions = no_answer
    assert await keep(front_end, new, session_id, "a.ipynb") == 503
    assert await kept(front_end) == {session_id: ("a.ipynb", new)}
    gateway.kernels.kernels[old]._keep_sessions = leave
    assert await keep(front_end, new, session_id, "a.ipynb") == 204
    assert sum(session_id in json.dumps(body) for body in world.store.objects.values()) == 1
