import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import NAMESPACE, POD, Key, Object
from elastic_jupyter.kube.reflector import Reflector
from tests.support.fake_apiserver import FakeApiServer
from tests.support.objects import an_object, until


@dataclass
class Told:
    """What the handlers were told, in words: ``+a``, ``~a``, ``-a``."""

    reflector: Reflector
    words: list[str] = field(default_factory=list)

    def __call__(self, key: Key, old: Object | None, new: Object | None) -> None:
        # The cache is already what it is told to be.
        assert self.reflector.cache.get(key) is new
        sign = "+" if old is None else "-" if new is None else "~"
        self.words.append(sign + key.name)

    def take(self) -> list[str]:
        """Return what was told since the last call."""
        words, self.words = self.words, []
        return words


@contextlib.asynccontextmanager
async def following(client: Client, *args: object, **options: object) -> AsyncIterator[Told]:
    reflector = Reflector(client, POD, *args, **options)  # type: ignore[arg-type]
    told = Told(reflector)
    reflector.on_change(told)
    task = asyncio.create_task(reflector.run())
    try:
        yield told
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def caught_up(told: Told, server: FakeApiServer) -> None:
    """Wait until the cache is what the server has."""

    def same() -> bool:
        want = {key: obj["metadata"]["resourceVersion"] for key, obj in server.all(POD).items()}
        have = {
            key: obj["metadata"]["resourceVersion"] for key, obj in told.reflector.cache.items()
        }
        return told.reflector.synced.is_set() and want == have and server.watching > 0

    await until(same, seconds=600)


async def test_the_first_list_is_told_before_it_is_synced(client, server):
    server.put(POD, an_object("a"))
    server.put(POD, an_object("b"))
    reflector = Reflector(client, POD)
    told = Told(reflector)
    reflector.on_change(told)
    reflector.on_synced(lambda: told.words.append("synced"))
    task = asyncio.create_task(reflector.run())
    await reflector.synced.wait()
    assert told.words == ["+a", "+b", "synced"]
    task.cancel()


async def test_changes_are_told_after_the_cache_has_them(client, server):
    async with following(client) as told:
        await caught_up(told, server)
        server.put(POD, an_object("a"))
        server.put(POD, an_object("a", spec={"x": 1}))
        server.remove(POD, Key("team", "a"))
        server.put(POD, an_object("b"))
        await caught_up(told, server)
        assert told.take() == ["+a", "~a", "-a", "+b"]
        assert server.count("list") == 1


async def test_managed_fields_are_not_kept(client, server):
    server.put(POD, an_object("a"))
    async with following(client) as told:
        await caught_up(told, server)
        server.put(POD, an_object("b"))
        await caught_up(told, server)
        assert all("managedFields" not in obj["metadata"] for obj in told.reflector.cache.values())


async def test_only_the_selected_objects_are_followed(client, server):
    server.put(POD, an_object("a", labels={"x": "y"}))
    server.put(POD, an_object("b", namespace="other", labels={"x": "y"}))
    server.put(POD, an_object("c"))
    async with following(client, "team", "x=y") as told:
        await told.reflector.synced.wait()
        assert list(told.reflector.cache) == [Key("team", "a")]


async def test_cluster_wide_objects_have_no_namespace(client, server):
    server.put(NAMESPACE, {"metadata": {"name": "n"}})
    reflector = Reflector(client, NAMESPACE)
    task = asyncio.create_task(reflector.run())
    await reflector.synced.wait()
    assert list(reflector.cache) == [Key("", "n")]
    task.cancel()


@pytest.mark.parametrize("how", ["end_watches", "drop_watches"])
async def test_a_watch_that_ends_is_resumed_without_a_list(client, server, how):
    async with following(client) as told:
        await caught_up(told, server)
        server.put(POD, an_object("a"))
        await caught_up(told, server)
        getattr(server, how)()
        server.put(POD, an_object("b"))
        server.remove(POD, Key("team", "a"))
        await caught_up(told, server)
        assert told.take() == ["+a", "+b", "-a"]
        assert server.count("list") == 1


async def test_a_watch_is_resumed_from_the_last_bookmark(client, server):
    async with following(client) as told:
        await caught_up(told, server)
        for _ in range(5):
            server.put(NAMESPACE, {"metadata": {"name": "n"}})
        server.bookmark()
        server.forget_history()
        await asyncio.sleep(1)
        server.end_watches()
        server.put(POD, an_object("a"))
        await caught_up(told, server)
        assert server.count("list") == 1


@pytest.mark.parametrize("how", ["refused at the start", "error event"])
async def test_what_was_deleted_unseen_is_told_after_410(client, server, how):
    for name in ("gone", "changed", "same", "replaced"):
        server.put(POD, an_object(name))
    async with following(client) as told:
        await caught_up(told, server)
        told.take()
        if how == "error event":
            server.expire_watches()
        else:
            server.drop_watches()
        server.remove(POD, Key("team", "gone"))
        server.put(POD, an_object("changed", spec={"x": 1}))
        server.remove(POD, Key("team", "replaced"))
        server.put(POD, an_object("replaced"))
        server.put(POD, an_object("new"))
        server.forget_history()
        await caught_up(told, server)
        assert sorted(told.words) == sorted(["-gone", "~changed", "-replaced", "+replaced", "+new"])
        assert told.words.index("-replaced") < told.words.index("+replaced")
        assert server.count("list") == 2


async def test_a_half_open_watch_is_noticed_and_resumed(client, server):
    async with following(client, inactivity=90) as told:
        await caught_up(told, server)
        server.freeze_watches()
        started = asyncio.get_running_loop().time()
        server.put(POD, an_object("a"))
        await caught_up(told, server)
        assert asyncio.get_running_loop().time() - started == pytest.approx(90, abs=2)
        assert told.take() == ["+a"]
        assert server.count("list") == 1


@pytest.mark.parametrize(
    ("verb", "status"),
    [("list", 500), ("list", 429), ("list", 403), ("list", 404), ("watch", 500), ("watch", 410)],
)
async def test_a_storm_of_errors_is_answered_with_growing_pauses(client, server, verb, status):
    server.put(POD, an_object("a"))
    server.fail(status, verb=verb, times=-1)
    async with following(client) as told:
        await asyncio.sleep(600)
        times = [seen.at for seen in server.seen if seen.verb == verb]
        pauses = [b - a for a, b in itertools.pairwise(times)]
        assert pauses[0] < 1
        assert all(14 <= pause <= 35 for pause in pauses[9:])
        assert 25 <= len(times) <= 60
        server.recover()
        await caught_up(told, server)


async def test_watches_that_end_at_once_are_not_repeated_in_a_hurry(client, server):
    async with following(client) as told:
        for _ in range(600):
            await asyncio.sleep(0.5)
            server.end_watches()
        assert server.count("watch") < 60
        await caught_up(told, server)


async def test_a_watch_that_reached_its_timeout_is_followed_by_the_next_at_once(client, server):
    async with following(client) as told:
        await caught_up(told, server)
        for _ in range(10):
            await asyncio.sleep(80)
            server.end_watches()
            await asyncio.sleep(0.1)
            assert server.watching == 1


async def test_the_pause_that_the_server_asks_for_is_kept(client, server):
    server.fail(429, verb="list", headers={"Retry-After": "7"})
    async with following(client) as told:
        await caught_up(told, server)
        first, second = (seen.at for seen in server.seen if seen.verb == "list")
        assert 7 <= second - first <= 7.5


async def test_a_server_that_is_away_for_an_hour_is_found_again():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    async with Client.from_server(f"http://127.0.0.1:{port}") as client, following(client) as told:
        await asyncio.sleep(3600)
        async with FakeApiServer(port=port) as server:
            server.put(POD, an_object("a"))
            await caught_up(told, server)
        assert told.take() == ["+a"]


async def test_a_handler_that_fails_ends_the_run(client, server):
    server.put(POD, an_object("a"))
    reflector = Reflector(client, POD)

    def broken(key: Key, old: Object | None, new: Object | None) -> None:
        raise ZeroDivisionError

    reflector.on_change(broken)
    with pytest.raises(ZeroDivisionError):
        await reflector.run()


async def test_a_refusal_is_logged_as_an_error_and_an_outage_as_a_warning(client, server, caplog):
    caplog.set_level(logging.INFO)
    server.fail(403, verb="list")
    server.fail(503, verb="list")
    async with following(client) as told:
        await caught_up(told, server)
    assert [record.levelname for record in caplog.records if "elastic" in record.name] == [
        "ERROR",
        "WARNING",
    ]
