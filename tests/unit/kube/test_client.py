import asyncio
import contextlib
import socket

import pytest

from elastic_jupyter.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)
from elastic_jupyter.kube.client import Client, WatchEvent
from elastic_jupyter.kube.kinds import POD, Key
from tests.support.objects import an_object, until

RICH = an_object(
    "rich",
    labels={"a": "b"},
    spec={"unknown": [1, 2.5, None, {"x": {}}], "text": "ä\u0085\u2028\n"},
)
RICH["metadata"] |= {
    "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "o", "uid": "1", "extra": True}],
    "finalizers": ["a/b"],
    "annotations": {"k": "v"},
    "somethingNew": 1,
}


async def collect(watch, count):
    async with contextlib.aclosing(watch), asyncio.timeout(60):
        return [await anext(watch) for _ in range(count)]


async def test_nothing_of_an_object_is_lost(client, server):
    created = await client.create(POD, RICH)
    assert created == await client.get(POD, "team", "rich") == server.get(POD, Key("team", "rich"))
    assert created["spec"] == RICH["spec"]
    assert RICH["metadata"].items() <= created["metadata"].items()
    assert created["metadata"]["managedFields"]


async def test_items_of_a_list_carry_their_kind_but_no_managed_fields(client, server):
    server.put(POD, RICH)
    (item,) = (await client.list(POD, "team")).items
    want = server.get(POD, Key("team", "rich"))
    del want["metadata"]["managedFields"]
    assert item == want


async def test_a_long_list_is_read_in_pages(client, server):
    for number in range(1201):
        server.put(POD, an_object(f"pod-{number}"))
    listing = await client.list(POD)
    assert [item["metadata"]["name"] for item in listing.items] == [
        f"pod-{number}" for number in range(1201)
    ]
    assert server.count("list") == 3


async def test_a_list_that_expires_between_pages_is_read_at_once(client, server):
    for number in range(501):
        server.put(POD, an_object(f"pod-{number}"))
    server.expire_pages = True
    listing = await client.list(POD)
    assert len(listing.items) == 501
    assert "limit" not in server.seen[-1].params


async def test_selectors_are_sent(client, server):
    server.put(POD, an_object("a", labels={"team": "x"}))
    server.put(POD, an_object("b"))
    by_label = await client.list(POD, label_selector="team=x")
    by_field = await client.list(POD, "team", field_selector="metadata.name=b")
    assert [item["metadata"]["name"] for item in by_label.items] == ["a"]
    assert [item["metadata"]["name"] for item in by_field.items] == ["b"]


async def test_delete_spares_another_object_of_the_same_name(client, server):
    server.put(POD, an_object("a"))
    with pytest.raises(Conflict):
        await client.delete(POD, "team", "a", uid="another")
    uid = server.get(POD, Key("team", "a"))["metadata"]["uid"]
    await client.delete(POD, "team", "a", uid=uid)
    with pytest.raises(NotFound):
        await client.delete(POD, "team", "a", uid=uid)


async def test_create_tells_that_a_name_is_taken(client, server):
    server.put(POD, an_object("a"))
    with pytest.raises(AlreadyExists, match="create Pod team/a"):
        await client.create(POD, an_object("a"))


async def test_patch_merges_and_none_removes(client, server):
    server.put(POD, an_object("a", spec={"x": 1, "y": 2, "z": [1, 2]}))
    patched = await client.patch(POD, "team", "a", {"spec": {"x": None, "z": [3]}})
    assert patched["spec"] == {"y": 2, "z": [3]}
    assert server.seen[-1].headers["content-type"] == "application/merge-patch+json"


async def test_an_invalid_object_carries_the_servers_words(client, server):
    server.fail(422, reason="Invalid", message="spec.x: too long")
    with pytest.raises(Invalid, match=r"create Pod team/a: spec\.x: too long"):
        await client.create(POD, an_object("a"))


async def test_nobody_listening_is_an_outage_that_names_the_request(client):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with Client.from_server(url) as client:
            with pytest.raises(Unavailable, match="get Pod a/b: "):
                await client.get(POD, "a", "b")


async def test_a_server_that_does_not_answer_is_an_outage_after_30_seconds(client, server):
    server.mute = True
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable, match="get Pod a/b: ReadTimeout"):
        await client.get(POD, "a", "b")
    assert asyncio.get_running_loop().time() - started == pytest.approx(30, abs=1)


async def test_requests_and_many_watches_do_not_wait_for_each_other(client, server):
    server.put(POD, an_object("a"))
    watches = [client.watch(POD) for _ in range(50)]
    await asyncio.gather(*(anext(watch) for watch in watches))
    async with asyncio.timeout(5):
        await asyncio.gather(*(client.get(POD, "team", "a") for _ in range(50)))
    for watch in watches:
        await watch.aclose()


async def test_a_watch_without_a_version_begins_with_what_exists(client, server):
    server.put(POD, RICH)
    (event,) = await collect(client.watch(POD, "team"), 1)
    want = server.get(POD, Key("team", "rich"))
    del want["metadata"]["managedFields"]
    assert event == WatchEvent("ADDED", want)


async def test_a_watch_goes_on_from_a_version(client, server):
    version = server.put(POD, an_object("a"))["metadata"]["resourceVersion"]
    server.put(POD, an_object("a", spec={"x": 1}))
    server.remove(POD, Key("team", "a"))
    events = await collect(client.watch(POD, resource_version=version), 2)
    assert [event.type for event in events] == ["MODIFIED", "DELETED"]


async def test_a_watch_from_a_forgotten_version_is_expired(client, server):
    server.put(POD, an_object("a"))
    server.forget_history()
    with pytest.raises(Expired):
        await collect(client.watch(POD, resource_version="1"), 1)


async def test_an_error_event_ends_the_watch(client, server):
    server.put(POD, an_object("a"))
    watch = client.watch(POD)
    await anext(watch)
    server.expire_watches()
    with pytest.raises(Expired):
        await anext(watch)


async def test_a_watch_that_is_cut_is_an_outage(client, server):
    server.put(POD, an_object("a"))
    watch = client.watch(POD)
    await anext(watch)
    server.drop_watches()
    with pytest.raises(Unavailable, match="watch Pod"):
        await anext(watch)


async def test_a_silent_watch_is_an_outage_after_its_inactivity_timeout(client, server):
    server.put(POD, an_object("a"))
    watch = client.watch(POD, inactivity=90)
    await anext(watch)
    started = asyncio.get_running_loop().time()
    server.freeze_watches()
    with pytest.raises(Unavailable, match="ReadTimeout"):
        await anext(watch)
    assert asyncio.get_running_loop().time() - started == pytest.approx(90, abs=1)


async def test_bookmarks_keep_a_quiet_watch_alive(client, server):
    server.put(POD, an_object("a"))
    watch = client.watch(POD, inactivity=90)
    await anext(watch)
    for _ in range(5):
        asyncio.get_running_loop().call_later(60, server.bookmark)
        assert (await anext(watch)).type == "BOOKMARK"
    await watch.aclose()


async def test_a_cancelled_watch_closes_its_connection(client, server):
    task = asyncio.create_task(collect(client.watch(POD), 1))
    await until(lambda: server.watching == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.put(POD, an_object("a"))
    async with asyncio.timeout(5):
        await collect(client.watch(POD), 1)


@pytest.fixture
def in_a_pod(tmp_path, server, monkeypatch):
    """Return a folder that looks like a service account, for a server without TLS."""
    (tmp_path / "token").write_text("old\n")
    (tmp_path / "namespace").write_text("team")
    return tmp_path


async def test_a_rotated_service_account_token_is_read_again(in_a_pod, server):
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.config.models import Cluster, User

    config = KubeConfig.from_one(
        cluster=Cluster(server=server.url), user=User(token_file=str(in_a_pod / "token"))
    )
    server.put(POD, an_object("a"))
    server.tokens = {"old"}
    async with Client(config.get()) as client:
        await client.get(POD, "team", "a")
        server.tokens = {"new"}
        (in_a_pod / "token").write_text("new\n")
        await client.get(POD, "team", "a")
        (event,) = await collect(client.watch(POD), 1)
        assert event.type == "ADDED"
        server.tokens = {"never"}
        with pytest.raises(Forbidden):
            await client.get(POD, "team", "a")


async def test_the_log_of_a_pod_that_is_not_there_is_not_found(client, server):
    with pytest.raises(NotFound, match="logs of get Pod team/p"):
        async for _ in client.log("team", "p", container="kernel"):
            pass
