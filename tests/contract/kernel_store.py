"""What a ``KernelStore`` does, whatever it is kept in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NamedTuple, TypeAlias

import pytest

from elastic_jupyter.api.kernel import JupyterKernel, Phase, Snapshot
from elastic_jupyter.errors import AlreadyExists, Conflict, Invalid, NotFound
from elastic_jupyter.store.protocol import Gone, KernelStore, Key, Put, Synced
from tests.contract.writer import STEPS, a_kernel, count, elsewhere
from tests.support.objects import until
from tests.support.watches import collected

CONDITION = {"type": "Running", "status": "False", "reason": "Waiting"}


class Told(NamedTuple):
    """A kernel as a watch told it, by what identifies its state."""

    name: str | None
    uid: str | None
    version: str | None

    @classmethod
    def of(cls, kernel: JupyterKernel) -> "Told":
        metadata = kernel.metadata
        return cls(metadata.name, metadata.uid, metadata.resource_version)


Seen: TypeAlias = Told | Gone | Synced


async def told(store: KernelStore, namespace: str | None, gateway: str | None) -> AsyncIterator:
    """Yield what a watch tells."""
    async with contextlib.aclosing(store.watch(namespace, gateway=gateway)) as watch:
        async for change in watch:
            yield Told.of(change.kernel) if isinstance(change, Put) else change


def watching(
    store: KernelStore, namespace: str | None, gateway: str | None = "gw"
) -> AbstractAsyncContextManager[list[Seen]]:
    """Read a watch into a list until the block ends."""
    return collected(told(store, namespace, gateway))


def in_words(changes: list[Seen]) -> list[str]:
    """Return ``+name``, ``-name`` and ``synced``; of states in a row of one object, one."""
    words = []
    for change in changes:
        match change:
            case Told(name):
                word = f"+{name}"
            case Gone(key, _):
                word = f"-{key.name}"
            case Synced():
                word = "synced"
        if words[-1:] != [word]:
            words.append(word)
    return words


class KernelStoreContract:
    """Inherit it in a class whose name begins with Test, and give it these fixtures:

    ``store``; ``namespace``: one that is empty; ``address``: of the store, see ``writer``.
    """

    #: Objects that are there at once, and those that vanish while nobody looks.
    many: ClassVar[int]
    vanishing: ClassVar[int]

    @pytest.fixture
    def key(self, namespace: str) -> Key:
        return Key(namespace, "jovyan-1")

    # -- wishes

    async def test_a_wish_comes_back_with_what_the_store_says_of_it(self, store, key):
        wish = a_kernel(key, user="ann", template={"spec": {"x": [None, 1], "é": "\U0001f600"}})
        wish.metadata.annotations = {"example.com/a": "b"}
        created = await store.create(wish)
        assert created.spec == wish.spec
        assert (created.metadata.name, created.metadata.namespace) == (key.name, key.namespace)
        assert created.metadata.labels == wish.metadata.labels
        assert created.metadata.annotations == wish.metadata.annotations
        assert created.metadata.uid
        assert created.metadata.resource_version
        assert created.metadata.generation == 1
        age = datetime.now(UTC) - created.metadata.creation_timestamp
        assert abs(age) < timedelta(minutes=1)
        assert await store.get(key) == created

    async def test_a_second_wish_of_the_same_name_is_refused(self, store, key):
        first = await store.create(a_kernel(key, user="ann"))
        with pytest.raises(AlreadyExists, match=key.name):
            await store.create(a_kernel(key, user="bob"))
        assert await store.get(key) == first

    async def test_a_wish_states_no_facts(self, store, key):
        wish = a_kernel(key).model_dump(mode="json", by_alias=True, exclude_none=True)
        created = await store.create(
            JupyterKernel.model_validate({**wish, "status": {"phase": "Running"}})
        )
        assert created.status is None

    @pytest.mark.parametrize("name", ["Upper", "under_score", "-a", "a-", "a..b", "x" * 243])
    async def test_a_name_that_no_object_may_have_is_refused(self, store, namespace, name):
        with pytest.raises(Invalid, match=r"metadata\.name"):
            await store.create(a_kernel(Key(namespace, name)))

    async def test_what_is_not_there_is_not_found(self, store, key):
        for call in (
            store.get(key),
            store.annotate(key, {"a": "b"}, uid="1"),
            store.patch_activity(key, {"connected": True}, uid="1"),
            store.wish(key, uid="1", suspend=True),
            store.patch_status(key, {"phase": "Running"}, version="1"),
        ):
            with pytest.raises(NotFound, match=key.name):
                await call

    async def test_deleting_is_by_uid(self, store, key):
        created = await store.create(a_kernel(key))
        await store.delete(key, uid="of a predecessor")
        assert await store.get(key) == created
        await store.delete(key, uid=created.metadata.uid)
        with pytest.raises(NotFound):
            await store.get(key)
        await store.delete(key, uid=created.metadata.uid)
        successor = await store.create(a_kernel(key))
        assert successor.metadata.uid != created.metadata.uid

    async def test_annotations_are_merged_and_removed(self, store, key):
        uid = (await store.create(a_kernel(key))).metadata.uid
        await store.annotate(key, {"a": "1", "b": "2"}, uid=uid)
        await store.annotate(key, {"a": "3", "c": "4", "b": None, "never": None}, uid=uid)
        seen = await store.get(key)
        assert seen.metadata.annotations == {"a": "3", "c": "4"}
        assert seen.metadata.generation == 1

    async def test_a_changed_wish_leaves_the_others_as_they_are(self, store, key):
        created = await store.create(a_kernel(key, gatewayRef={"name": "gw"}, user="ann"))
        until = datetime(2026, 11, 24, 18, tzinfo=UTC)
        await store.wish(key, uid=created.metadata.uid, suspend=True)
        await store.wish(key, uid=created.metadata.uid, keep_until=until)
        wanted = created.spec.model_copy(update={"suspend": True, "keep_until": until})
        seen = await store.get(key)
        assert seen.spec == wanted
        assert seen.metadata.generation == 3

    async def test_a_wish_that_nobody_would_heed_is_refused(self, store, key):
        created = await store.create(a_kernel(key))
        with pytest.raises(Invalid, match=r"spec\.gatewayRef"):
            await store.wish(key, uid=created.metadata.uid, suspend=True)
        with pytest.raises(Invalid, match=r"spec\.gatewayRef"):
            await store.create(a_kernel(Key(key.namespace, "b"), suspend=True))
        assert await store.get(key) == created

    async def test_what_is_wished_of_a_predecessor_is_not_found(self, store, key):
        created = await store.create(a_kernel(key))
        with pytest.raises(NotFound, match="uid old is gone"):
            await store.annotate(key, {"a": "b"}, uid="old")
        with pytest.raises(NotFound, match="uid old is gone"):
            await store.patch_activity(key, {"connected": True}, uid="old")
        with pytest.raises(NotFound, match="uid old is gone"):
            await store.wish(key, suspend=True, uid="old")
        assert await store.get(key) == created

    async def test_a_snapshot_suspends_its_kernel_until_it_is_removed(self, store, key):
        created = await store.create(a_kernel(key, gatewayRef={"name": "gw"}))
        uid = created.metadata.uid
        version = created.metadata.resource_version
        await store.patch_status(key, {"phase": "Running", "epoch": 2}, version=version)
        snapshot = Snapshot(epoch=2, id="2-abc")
        saved = await store.save(key, snapshot, uid=uid, epoch=2)
        assert (saved.spec.suspend, saved.spec.snapshot) == (True, snapshot)
        assert saved == await store.get(key)
        again = await store.save(key, Snapshot(epoch=2), uid=uid, epoch=2)
        assert again.spec.snapshot == Snapshot(epoch=2), "nothing of the one before stays"
        with pytest.raises(Conflict, match="has been put to rest"):
            await store.save(key, None, uid=uid, epoch=2)
        await store.wish(key, suspend=False, uid=uid)
        woken = await store.save(key, None, uid=uid, epoch=2)
        assert (woken.spec.suspend, woken.spec.snapshot) == (False, None)

    async def test_a_snapshot_of_another_incarnation_is_refused(self, store, key):
        created = await store.create(a_kernel(key, gatewayRef={"name": "gw"}))
        uid = created.metadata.uid
        version = created.metadata.resource_version
        before = await store.patch_status(key, {"phase": "Running", "epoch": 2}, version=version)
        with pytest.raises(Conflict, match="has come to epoch 2, not 1"):
            await store.save(key, Snapshot(epoch=1, id="1-abc"), uid=uid, epoch=1)
        with pytest.raises(NotFound, match="uid old is gone"):
            await store.save(key, Snapshot(epoch=2, id="2-abc"), uid="old", epoch=2)
        assert await store.get(key) == before

    async def test_a_snapshot_is_not_written_over_what_was_not_read(self, store, key):
        created = await store.create(a_kernel(key, gatewayRef={"name": "gw"}))
        uid, read = created.metadata.uid, created.metadata.resource_version
        told = await store.patch_status(key, {"phase": "Running", "epoch": 1}, version=read)
        rest, present = Snapshot(epoch=1, id="1-abc"), told.metadata.resource_version
        with pytest.raises(Conflict, match=f"has version {present}, not {read}"):
            await store.save(key, rest, uid=uid, epoch=1, version=read)
        assert await store.get(key) == told
        saved = await store.save(key, rest, uid=uid, epoch=1, version=present)
        assert saved.spec.snapshot == rest

    # -- facts

    async def test_activity_and_facts_do_not_undo_each_other(self, store, key):
        uid = (await store.create(a_kernel(key))).metadata.uid
        await store.patch_activity(key, {"connected": True}, uid=uid)
        seen = await store.get(key)
        facts = {"phase": "Running", "epoch": 2, "conditions": [CONDITION], "podName": "x"}
        patched = await store.patch_status(key, facts, version=seen.metadata.resource_version)
        assert patched.status.phase is Phase.RUNNING
        assert patched == await store.get(key)
        reclaim_at = datetime(2026, 11, 24, 18, tzinfo=UTC)
        await store.patch_activity(
            key, {"connected": None, "reclaimAt": reclaim_at.isoformat()}, uid=uid
        )
        seen = await store.get(key)
        assert (seen.status.activity.connected, seen.status.activity.reclaim_at) == (
            None,
            reclaim_at,
        )
        assert (seen.status.phase, seen.status.epoch) == (Phase.RUNNING, 2)
        other = {**CONDITION, "type": "Reclaimed"}
        facts = {"conditions": [other], "podName": None}
        patched = await store.patch_status(key, facts, version=seen.metadata.resource_version)
        assert [condition.type for condition in patched.status.conditions] == ["Reclaimed"]
        assert patched.status.pod_name is None
        assert patched.status.activity == seen.status.activity

    async def test_facts_that_were_decided_on_an_old_version_are_refused(self, store, key):
        created = await store.create(a_kernel(key))
        old = created.metadata.resource_version
        await store.annotate(key, {"a": "b"}, uid=created.metadata.uid)
        with pytest.raises(Conflict):
            await store.patch_status(key, {"phase": "Running"}, version=old)
        seen = await store.get(key)
        assert seen.status is None
        await store.patch_status(key, {"phase": "Running"}, version=seen.metadata.resource_version)

    async def test_of_facts_that_were_decided_at_once_one_is_taken(self, store, key):
        version = (await store.create(a_kernel(key))).metadata.resource_version
        results = await asyncio.gather(
            *(store.patch_status(key, {"epoch": n}, version=version) for n in (1, 2, 3)),
            return_exceptions=True,
        )
        taken = [result for result in results if not isinstance(result, Conflict)]
        assert len(taken) == 1
        assert await store.get(key) == taken[0]

    @pytest.mark.parametrize("facts", [{"phase": "Dancing"}, {"epoch": 0}, {"podIP": ["x"]}])
    async def test_facts_that_do_not_fit_are_refused_and_change_nothing(self, store, key, facts):
        created = await store.create(a_kernel(key))
        with pytest.raises(Invalid, match=next(iter(facts))):
            await store.patch_status(key, facts, version=created.metadata.resource_version)
        assert await store.get(key) == created

    async def test_what_says_nothing_new_is_no_new_version(self, store, key):
        created = await store.create(a_kernel(key))
        patched = await store.patch_status(
            key, {"phase": "Running"}, version=created.metadata.resource_version
        )
        same = await store.patch_status(
            key, {"phase": "Running"}, version=patched.metadata.resource_version
        )
        assert same == patched

    # -- watch

    async def test_a_watch_lists_then_is_synced_then_follows(self, store, namespace):
        a, b, c = (Key(namespace, name) for name in "abc")
        uid = (await store.create(a_kernel(a))).metadata.uid
        await store.create(a_kernel(b))
        async with watching(store, namespace) as changes:
            assert in_words(changes) == ["+a", "+b", "synced"]
            created = await store.create(a_kernel(c))
            await until(lambda: Told.of(created) in changes)
            await store.delete(a, uid=uid)
            await until(lambda: Gone(a, uid) in changes)
            assert in_words(changes) == ["+a", "+b", "synced", "+c", "-a"]

    async def test_a_list_has_all_of_the_namespace(self, store, namespace):
        assert await store.list(namespace) == []
        made = [await store.create(a_kernel(Key(namespace, name))) for name in ("a", "b")]
        listed = sorted(await store.list(namespace), key=lambda kernel: kernel.metadata.name)
        assert [Told.of(kernel) for kernel in listed] == [Told.of(kernel) for kernel in made]
        assert await store.list(f"{namespace}-other") == []

    async def test_a_watch_of_nothing_is_synced_at_once(self, store, namespace):
        async with watching(store, namespace) as changes:
            assert changes == [Synced()]

    async def test_a_watch_tells_the_last_state(self, store, key):
        async with watching(store, key.namespace) as changes:
            uid = (await store.create(a_kernel(key))).metadata.uid
            await asyncio.gather(
                *(store.annotate(key, {f"a-{n}": "x"}, uid=uid) for n in range(5)),
                store.patch_activity(key, {"connected": True}, uid=uid),
            )
            last = await store.get(key)
            await until(lambda: Told.of(last) in changes)
            assert changes[-1] == Told.of(last)

    async def test_a_watch_keeps_to_its_gateway_and_namespace(self, store, namespace):
        await store.create(a_kernel(Key(namespace, "ours")))
        await store.create(a_kernel(Key(namespace, "theirs"), gateway="other"))
        async with (
            watching(store, namespace) as changes,
            watching(store, "elsewhere") as of_nobody,
            watching(store, None, None) as of_all,
        ):
            assert in_words(changes) == ["+ours", "synced"]
            assert in_words(of_nobody) == ["synced"]
            assert {"+ours", "+theirs"} <= set(in_words(of_all))
            theirs = await store.create(a_kernel(Key(namespace, "theirs-2"), gateway="other"))
            await until(lambda: Told.of(theirs) in of_all)
            await store.delete(Key(namespace, "theirs-2"), uid=theirs.metadata.uid)
            await until(lambda: "-theirs-2" in in_words(of_all))
            assert in_words(changes) == ["+ours", "synced"]

    async def test_a_successor_of_the_same_name_comes_after_the_end(self, store, key):
        first = await store.create(a_kernel(key))
        async with watching(store, key.namespace) as changes:
            await store.delete(key, uid=first.metadata.uid)
            second = await store.create(a_kernel(key))
            await until(lambda: changes[-1] == Told.of(second))
            assert changes == [
                Told.of(first),
                Synced(),
                Gone(key, first.metadata.uid),
                Told.of(second),
            ]

    async def test_a_watch_hears_of_a_writer_in_another_process(self, store, key, address):
        async with watching(store, key.namespace) as changes:
            await elsewhere(address, "create", key)
            await until(lambda: len(changes) == 2)
            created = await store.get(key)
            assert changes[-1] == Told.of(created)
            await elsewhere(address, "delete", key)
            await until(lambda: len(changes) == 3)
            assert changes[-1] == Gone(key, created.metadata.uid)

    async def test_a_watch_that_was_not_read_for_long_misses_nothing(self, store, namespace):
        keys = [Key(namespace, f"k-{n}") for n in range(self.vanishing)]
        uids = [(await store.create(a_kernel(key))).metadata.uid for key in keys]
        async with contextlib.aclosing(told(store, namespace, "gw")) as watch:
            while await anext(watch) != Synced():
                pass
            for key, uid in zip(keys, uids, strict=True):
                await store.delete(key, uid=uid)
            successor = await store.create(a_kernel(keys[0]))
            gone = set()
            while (change := await anext(watch)) != Told.of(successor):
                gone.add(change)
            assert gone == {Gone(key, uid) for key, uid in zip(keys, uids, strict=True)}

    async def test_many_objects_are_all_told(self, store, namespace):
        names = [f"k-{n}" for n in range(self.many)]
        for name in names:
            await store.create(a_kernel(Key(namespace, name)))
        async with watching(store, namespace) as changes:
            assert changes[-1] == Synced()
            assert sorted(change.name for change in changes[:-1]) == sorted(names)
            last = await store.create(a_kernel(Key(namespace, "last")))
            await until(lambda: len(changes) > self.many + 1)
            assert changes[-1] == Told.of(last)

    # -- several processes

    async def test_two_processes_that_write_at_once_lose_nothing(self, store, key, address):
        await store.create(a_kernel(key))
        await asyncio.gather(
            elsewhere(address, "count", key), elsewhere(address, "count", key), count(store, key)
        )
        assert (await store.get(key)).status.epoch == 3 * STEPS
