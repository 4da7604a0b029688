"""Sessions that the gateway keeps for a notebook server."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.gateway import sessions
from elastic_jupyter.gateway.sessions import MAX_SESSIONS, KernelSession
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


@given(JSON.map(json.dumps) | st.text())
def test_an_annotation_that_somebody_else_wrote_counts_for_nothing(text: str) -> None:
    for one in sessions.read(text):
        assert one.id


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
