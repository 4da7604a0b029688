from datetime import UTC, datetime

import pytest

from elastic_jupyter.api.kernel import JupyterKernel, Phase
from elastic_jupyter.api.names import LABEL_GATEWAY
from elastic_jupyter.errors import AlreadyExists, Conflict, Invalid, NotFound, Unavailable
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL, Key, Object
from elastic_jupyter.store.kubernetes import KubernetesKernelStore
from elastic_jupyter.store.protocol import Change, Gone, KernelStore, Put, Synced
from tests.support.objects import an_object, until
from tests.support.watches import collected

KEY = Key("team", "jovyan-1")
UNTIL = datetime(2026, 11, 24, 18, tzinfo=UTC)


def a_kernel(name: str = KEY.name, *, gateway: str = "gw", **spec: object) -> Object:
    wanted = {"kernelID": "1", "template": {}, **spec}
    return an_object(name, labels={LABEL_GATEWAY: gateway}, spec=wanted)


BROKEN = {"user": ["not", "a", "string"]}


@pytest.fixture
def store(client) -> KernelStore:
    return KubernetesKernelStore(client)


def watching(store, namespace="team", gateway="gw"):
    """Read a watch into a list until the block ends."""
    return collected(store.watch(namespace, gateway=gateway))


def in_words(changes: list[Change]) -> list[str]:
    words = []
    for change in changes:
        match change:
            case Put(kernel):
                words.append(f"+{kernel.metadata.name}")
            case Gone(key, _):
                words.append(f"-{key.name}")
            case Synced():
                words.append("synced")
    return words


async def test_a_wish_comes_back_with_its_uid(store, server):
    wish = JupyterKernel.model_validate(a_kernel(template={"spec": {"x": [None, 1]}}))
    created = await store.create(wish)
    assert created.metadata.uid == server.get(JUPYTER_KERNEL, KEY)["metadata"]["uid"]
    assert created.spec == wish.spec
    assert await store.get(KEY) == created


async def test_a_second_wish_of_the_same_name_is_refused(store):
    wish = JupyterKernel.model_validate(a_kernel())
    await store.create(wish)
    with pytest.raises(AlreadyExists):
        await store.create(wish)


async def test_what_is_not_there_is_not_found(store):
    with pytest.raises(NotFound, match="team/jovyan-1"):
        await store.get(KEY)


async def test_an_object_that_does_not_fit_is_invalid_and_says_where(store, server):
    server.put(JUPYTER_KERNEL, a_kernel(**BROKEN))
    with pytest.raises(Invalid, match=r"JupyterKernel team/jovyan-1: spec\.user"):
        await store.get(KEY)


async def test_deleting_what_is_gone_is_success(store):
    await store.delete(KEY, uid="1")


async def test_deleting_spares_the_successor_of_the_same_name(store, server):
    server.put(JUPYTER_KERNEL, a_kernel())
    await store.delete(KEY, uid="predecessor")
    uid = server.get(JUPYTER_KERNEL, KEY)["metadata"]["uid"]
    await store.delete(KEY, uid=uid)
    assert not server.all(JUPYTER_KERNEL)


async def test_an_outage_while_deleting_is_not_success(store, server):
    server.put(JUPYTER_KERNEL, a_kernel())
    server.fail(503)
    with pytest.raises(Unavailable):
        await store.delete(KEY, uid="1")


async def test_activity_and_facts_do_not_undo_each_other(store, server):
    obj = server.put(JUPYTER_KERNEL, a_kernel())
    await store.patch_activity(KEY, {"connected": True}, uid=obj["metadata"]["uid"])
    seen = await store.get(KEY)
    patched = await store.patch_status(
        KEY, {"phase": "Running", "epoch": 2}, version=seen.metadata.resource_version
    )
    assert patched.status.phase is Phase.RUNNING
    await store.patch_activity(
        KEY, {"connected": None, "reclaimAt": "2026-11-24T18:00:00Z"}, uid=obj["metadata"]["uid"]
    )
    assert server.get(JUPYTER_KERNEL, KEY)["status"] == {
        "activity": {"reclaimAt": "2026-11-24T18:00:00Z"},
        "phase": "Running",
        "epoch": 2,
    }
    assert all(seen.path.endswith("/status") for seen in server.seen if seen.verb == "patch")
    assert {seen.params["fieldManager"] for seen in server.seen if seen.verb == "patch"} == {
        "elastic-jupyter-gateway",
        "elastic-jupyter-operator",
    }


async def test_a_wish_changes_what_it_names_and_nothing_else(store, server):
    uid = server.put(JUPYTER_KERNEL, a_kernel())["metadata"]["uid"]
    await store.wish(KEY, uid=uid, suspend=True)
    await store.wish(KEY, uid=uid, keep_until=UNTIL)
    wanted = {"kernelID": "1", "template": {}, "suspend": True, "keepUntil": "2026-11-24T18:00:00Z"}
    assert server.get(JUPYTER_KERNEL, KEY)["spec"] == wanted
    assert (await store.get(KEY)).spec.keep_until == UNTIL


async def test_a_wish_for_a_kernel_that_was_replaced_is_not_found(store, server):
    server.put(JUPYTER_KERNEL, a_kernel())
    server.fail(409, verb="patch")
    with pytest.raises(NotFound, match="uid old is gone"):
        await store.wish(KEY, uid="old", suspend=True)


async def test_facts_that_were_decided_on_an_old_version_are_refused(store, server):
    old = server.put(JUPYTER_KERNEL, a_kernel())["metadata"]["resourceVersion"]
    server.put(JUPYTER_KERNEL, a_kernel(user="someone"))
    with pytest.raises(Conflict):
        await store.patch_status(KEY, {"phase": "Running"}, version=old)


@pytest.mark.parametrize("status", [409, 422])
async def test_annotations_of_a_kernel_that_was_replaced_are_not_found(store, server, status):
    server.put(JUPYTER_KERNEL, a_kernel())
    server.fail(status, verb="patch")
    with pytest.raises(NotFound, match="uid old is gone"):
        await store.annotate(KEY, {"a": "b"}, uid="old")


async def test_activity_of_a_kernel_that_was_replaced_is_not_found(store, server):
    before = server.put(JUPYTER_KERNEL, a_kernel())
    with pytest.raises(NotFound, match="uid old is gone"):
        await store.patch_activity(KEY, {"connected": True}, uid="old")
    assert server.get(JUPYTER_KERNEL, KEY) == before


async def test_activity_gives_way_to_others_that_write_the_status_but_not_for_ever(store, server):
    uid = server.put(JUPYTER_KERNEL, a_kernel())["metadata"]["uid"]
    server.fail(409, verb="patch", times=2)
    await store.patch_activity(KEY, {"connected": True}, uid=uid)
    assert server.get(JUPYTER_KERNEL, KEY)["status"] == {"activity": {"connected": True}}
    server.fail(409, verb="patch", times=-1)
    with pytest.raises(Conflict):
        await store.patch_activity(KEY, {"connected": False}, uid=uid)


async def test_a_watch_lists_then_is_synced_then_follows(store, server):
    server.put(JUPYTER_KERNEL, a_kernel("a"))
    server.put(JUPYTER_KERNEL, a_kernel("b"))
    async with watching(store) as changes:
        server.put(JUPYTER_KERNEL, a_kernel("c"))
        uid = server.get(JUPYTER_KERNEL, Key("team", "a"))["metadata"]["uid"]
        server.remove(JUPYTER_KERNEL, Key("team", "a"))
        await until(lambda: len(changes) == 5)
        assert in_words(changes) == ["+a", "+b", "synced", "+c", "-a"]
        assert changes[-1] == Gone(Key("team", "a"), uid)


async def test_a_watch_keeps_to_its_gateway_and_namespace(store, server):
    server.put(JUPYTER_KERNEL, a_kernel("ours"))
    server.put(JUPYTER_KERNEL, a_kernel("theirs", gateway="other"))
    elsewhere = a_kernel("elsewhere")
    elsewhere["metadata"]["namespace"] = "other"
    server.put(JUPYTER_KERNEL, elsewhere)
    async with watching(store) as changes:
        assert in_words(changes) == ["+ours", "synced"]
    async with watching(store, namespace=None, gateway=None) as changes:
        assert in_words(changes) == ["+ours", "+theirs", "+elsewhere", "synced"]


async def test_what_was_deleted_unseen_is_told_as_gone(store, server):
    uid = server.put(JUPYTER_KERNEL, a_kernel("a"))["metadata"]["uid"]
    async with watching(store) as changes:
        server.drop_watches()
        server.remove(JUPYTER_KERNEL, Key("team", "a"))
        server.put(JUPYTER_KERNEL, a_kernel("a"))
        server.forget_history()
        await until(lambda: len(changes) == 4)
        assert in_words(changes) == ["+a", "synced", "-a", "+a"]
        assert changes[2] == Gone(Key("team", "a"), uid)


async def test_an_object_that_does_not_fit_stops_nothing_and_is_logged_once(store, server, caplog):
    server.put(JUPYTER_KERNEL, a_kernel("broken", **BROKEN))
    async with watching(store) as changes:
        server.put(JUPYTER_KERNEL, a_kernel("broken", **BROKEN, kernelSpecName="x"))
        server.put(JUPYTER_KERNEL, a_kernel("good"))
        await until(lambda: len(changes) == 2)
        assert in_words(changes) == ["synced", "+good"]
        assert caplog.text.count("object does not fit") == 1
        server.put(JUPYTER_KERNEL, a_kernel("broken"))
        await until(lambda: len(changes) == 3)
        assert in_words(changes)[-1] == "+broken"


async def test_closing_a_watch_closes_its_connection(store, server):
    async with watching(store):
        await until(lambda: server.watching == 1)
    server.put(JUPYTER_KERNEL, a_kernel())
    await until(lambda: server.watching == 0)
