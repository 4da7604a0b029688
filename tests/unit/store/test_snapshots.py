"""Snapshots in a directory, in fsspec's memory, and on a real S3 server."""

import fcntl
import functools
import hashlib
import json
import mmap
import os
import resource
import stat
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from blake3 import blake3

from elastic_jupyter.errors import (
    ConfigError,
    Invalid,
    SnapshotBroken,
    SnapshotMissing,
    SnapshotTooLarge,
    StoreError,
    StoreFull,
    Unavailable,
)
from elastic_jupyter.store import files
from elastic_jupyter.store.snapshots import Save, SnapshotStore
from tests.support import s3_server

KEY = b"the key of a gateway"
UID = "0c7b7d3e-8d0c-4d3b-9f4e-0a1b2c3d4e5f"
OLD = [b"numbers" * 1000, b"", b"text"]
NEW = [b"numbers" * 1000, b"another text"]


def digest(content: bytes) -> str:
    return blake3(content).hexdigest()


def manifest(*blobs: bytes, **more: Any) -> bytes:
    listed = [{"digest": digest(blob), "size": len(blob)} for blob in blobs]
    return json.dumps({"blobs": listed, "lost": [], "names": {}, **more}).encode()


def put(save: Save, content: bytes, *, named: str | None = None) -> None:
    draft = save.put(named or digest(content))
    try:
        for start in range(0, len(content), 4096):
            draft.write(content[start : start + 4096])
        draft.commit()
    finally:
        draft.abort()


def save_all(store: SnapshotStore, blobs: list[bytes], *, epoch: int = 1, uid: str = UID) -> str:
    """Save as an agent does: only what is not there yet."""
    save = store.save(uid, epoch)
    for blob in blobs:
        if digest(blob) not in save.there():
            put(save, blob)
    return save.seal(manifest(*blobs))


def read(store: SnapshotStore, content: bytes, uid: str = UID) -> bytes:
    size, pieces = store.open_blob(uid, digest(content))
    whole = b"".join(pieces)
    assert size == len(whole)
    return whole


def restorable(store: SnapshotStore, snapshot: str, blobs: list[bytes], epoch: int = 1) -> bool:
    try:
        assert store.manifest(UID, epoch, snapshot) == manifest(*blobs)
        return [read(store, blob) for blob in blobs] == blobs
    except (SnapshotMissing, SnapshotBroken):
        return False


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server.s3_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture
def use_s3(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what has stores use a server from now on."""
    return functools.partial(s3_server.use, monkeypatch=monkeypatch)


Make = Callable[..., SnapshotStore]


@pytest.fixture(params=["directory", "memory", "s3"])
def make(request: pytest.FixtureRequest, tmp_path: Path, use_s3: Callable[[str], None]) -> Make:
    """Return what makes a store of one place, as often as it is called."""
    if request.param == "s3":
        address = request.getfixturevalue("s3")
        use_s3(address)
        url = f"s3://{s3_server.new_bucket(address)}/team/gateway"
    else:
        url = str(tmp_path / "s") if request.param == "directory" else f"memory://{uuid.uuid4()}"

    def made(*, key: bytes = KEY, max_bytes: int | None = None) -> SnapshotStore:
        return SnapshotStore(url, key=key, max_bytes=max_bytes)

    return made


@pytest.fixture
def store(make: Make) -> SnapshotStore:
    return make()


# -- what was saved comes back


@pytest.mark.parametrize(
    "blobs",
    [
        pytest.param([], id="nothing"),
        pytest.param([b""], id="an empty blob"),
        pytest.param(OLD, id="small blobs"),
        pytest.param([os.urandom(files.PIECE * 2 + 5)], id="a blob of several pieces"),
        pytest.param([b"x" * files.PIECE], id="a blob of one piece exactly"),
    ],
)
def test_what_was_saved_comes_back(blobs: list[bytes], store: SnapshotStore) -> None:
    snapshot = save_all(store, blobs)
    assert restorable(store, snapshot, blobs)
    assert store.uids() == [UID]


def test_a_second_snapshot_writes_what_is_new(store: SnapshotStore) -> None:
    save_all(store, OLD)
    save = store.save(UID, 2)
    assert [digest(blob) in save.there() for blob in NEW] == [True, False]
    put(save, NEW[1])
    assert restorable(store, save.seal(manifest(*NEW)), NEW, epoch=2)


def test_a_kernel_does_not_have_the_blobs_of_another(store: SnapshotStore) -> None:
    save_all(store, OLD)
    assert store.save("another", 1).there() == []
    with pytest.raises(SnapshotMissing):
        store.open_blob("another", digest(OLD[0]))


def test_text_beyond_ascii_comes_back_byte_by_byte(store: SnapshotStore) -> None:
    said = json.dumps({"blobs": [], "names": {"größe": "\u2028 \\n 🦆"}}, ensure_ascii=False)
    snapshot = store.save(UID, 1).seal(said.encode())
    assert store.manifest(UID, 1, snapshot) == said.encode()


# -- what is refused


def test_a_blob_that_is_not_what_it_is_named_leaves_nothing(store: SnapshotStore) -> None:
    save = store.save(UID, 1)
    for content in (b"short", os.urandom(files.PIECE + 1)):
        with pytest.raises(SnapshotBroken, match="BLAKE3"):
            put(save, content, named=digest(b"something else"))
    assert digest(b"something else") not in store.save(UID, 1).there()
    assert store._files.sizes(f"{UID}/blobs") == {}
    assert store._files.sizes(f"{UID}/{files.PARTIAL}") == {}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param(manifest(b"never put"), SnapshotBroken, id="a blob that is not there"),
        pytest.param(
            json.dumps({"blobs": [{"digest": digest(b"text"), "size": 3}]}).encode(),
            SnapshotBroken,
            id="a blob of another size",
        ),
        pytest.param(b"\xff", Invalid, id="no text"),
        pytest.param(b"[]", Invalid, id="no object"),
        pytest.param(b"[" * 100_000, Invalid, id="nested without end"),
        pytest.param(b"{}", Invalid, id="no blobs"),
        pytest.param(b'{"blobs": [{"digest": "../x", "size": 1}]}', Invalid, id="no digest"),
        pytest.param(
            json.dumps({"blobs": [{"digest": digest(b""), "size": -1}]}).encode(),
            Invalid,
            id="a negative size",
        ),
        pytest.param(
            json.dumps({"blobs": [{"digest": [1], "size": 1}]}).encode(), Invalid, id="a list"
        ),
    ],
)
def test_a_manifest_of_what_is_not_there_is_not_sealed(
    said: bytes, error: type[StoreError], store: SnapshotStore
) -> None:
    save = store.save(UID, 1)
    put(save, b"text")
    with pytest.raises(error):
        save.seal(said)
    assert store._files.sizes(UID) == {}


def test_a_blob_that_was_found_short_is_written_again(store: SnapshotStore) -> None:
    save = store.save(UID, 1)
    put(save, OLD[0])
    _overwrite(store, f"{UID}/blobs/{digest(OLD[0])}", OLD[0][:10])
    with pytest.raises(SnapshotBroken, match="save again"):
        save.seal(manifest(OLD[0]))
    assert restorable(store, save_all(store, [OLD[0]]), [OLD[0]])


def test_a_wrong_size_takes_nothing_from_an_earlier_snapshot(store: SnapshotStore) -> None:
    snapshot = save_all(store, OLD)
    wrong = json.dumps({"blobs": [{"digest": digest(OLD[0]), "size": 1}]}).encode()
    with pytest.raises(SnapshotBroken):
        store.save(UID, 2).seal(wrong)
    assert restorable(store, snapshot, OLD)


def _overwrite(store: SnapshotStore, path: str, content: bytes) -> None:
    store._files._fs.pipe_file(store._files._at(path), content)


def test_what_is_damaged_is_not_given_out_whole(store: SnapshotStore) -> None:
    big = os.urandom(files.PIECE + 1000)
    save_all(store, [big, b"text"])
    _overwrite(store, f"{UID}/blobs/{digest(b'text')}", b"tex")
    _overwrite(store, f"{UID}/blobs/{digest(big)}", big[:-1] + bytes([big[-1] ^ 1]))
    for blob, first in ((b"text", b""), (big, big[: files.PIECE])):
        _, pieces = store.open_blob(UID, digest(blob))
        if first:
            assert next(pieces) == first
        with pytest.raises(SnapshotBroken, match="damaged"):
            next(pieces)


def _forged(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "manifest": manifest(b"evil").decode()}


@pytest.mark.parametrize(
    ("change", "want"),
    [
        pytest.param(_forged, "changed since", id="another manifest"),
        pytest.param(lambda said: {**said, "signature": "0" * 64}, "changed", id="a signature"),
        pytest.param(lambda said: {**said, "signature": "ä"}, "changed", id="beyond ASCII"),
        pytest.param(lambda said: {**said, "signature": None}, "damaged", id="no signature"),
        pytest.param(lambda said: {**said, "uid": "another"}, "changed", id="another uid"),
        pytest.param(lambda said: {**said, "epoch": 2}, "changed", id="another epoch"),
        pytest.param(lambda said: {**said, "version": 2}, "another version", id="a new format"),
        pytest.param(lambda said: [said], "damaged", id="no object"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(
    change: Callable[[dict[str, Any]], Any], want: str, store: SnapshotStore
) -> None:
    snapshot = save_all(store, OLD)
    path = f"{UID}/1-{snapshot}.json"
    content = store._files.read(path)
    assert content
    _overwrite(store, path, json.dumps(change(json.loads(content))).encode())
    with pytest.raises(SnapshotBroken, match=want):
        store.manifest(UID, 1, snapshot)


@pytest.mark.parametrize(
    ("uid", "epoch", "key"),
    [
        pytest.param("another", 1, KEY, id="another kernel's"),
        pytest.param(UID, 2, KEY, id="another epoch's"),
        pytest.param(UID, 1, b"another key", id="another gateway's"),
    ],
)
def test_a_manifest_under_a_wrong_name_is_refused(
    uid: str, epoch: int, key: bytes, make: Make
) -> None:
    snapshot = save_all(make(), OLD)
    content = make()._files.read(f"{UID}/1-{snapshot}.json")
    assert content
    draft = make()._files.create(f"{uid}/{epoch}-{snapshot}.json")
    draft.write(content)
    draft.commit()
    with pytest.raises(SnapshotBroken, match="not saved by this gateway"):
        make(key=key).manifest(uid, epoch, snapshot)


@pytest.mark.parametrize("uid", ["..", "", "a/b", ".hidden", "a\0b"])
def test_a_uid_that_is_a_path_is_refused(uid: str, store: SnapshotStore) -> None:
    with pytest.raises(Invalid):
        store.save(uid, 1)
    with pytest.raises(Invalid):
        store.remove(uid)


def test_a_url_of_no_known_kind_is_told() -> None:
    with pytest.raises(ConfigError, match="no known kind"):
        SnapshotStore("nonsense://x", key=KEY)


# -- the limit


def test_a_snapshot_may_have_so_many_bytes_and_no_more(make: Make) -> None:
    store = make(max_bytes=10_000)
    save = store.save(UID, 1)
    put(save, b"a" * 6_000)
    with pytest.raises(SnapshotTooLarge, match="10000 bytes"):
        put(save, b"b" * 6_000)
    put(save, b"c" * 4_000)  # what was refused does not count
    save.seal(manifest(b"a" * 6_000, b"c" * 4_000))


def test_what_an_earlier_snapshot_has_counts_where_it_is_used(make: Make) -> None:
    store = make(max_bytes=10_000)
    save_all(store, [b"a" * 9_000])
    save = store.save(UID, 2)
    put(save, b"b" * 9_000)  # in the place of the other
    with pytest.raises(SnapshotTooLarge):
        save.seal(manifest(b"a" * 9_000, b"b" * 9_000))


# -- sweeping


def test_a_sweep_keeps_one_snapshot_and_may_run_twice(store: SnapshotStore) -> None:
    old = save_all(store, OLD, epoch=1)
    new = save_all(store, NEW, epoch=2)
    for _ in range(2):
        store.sweep(UID, (2, new))
        assert restorable(store, new, NEW, epoch=2)
        assert not restorable(store, old, OLD, epoch=1)
        assert set(store._files.sizes(f"{UID}/blobs")) == {digest(blob) for blob in NEW}


def test_a_sweep_that_cannot_keep_removes_nothing(store: SnapshotStore) -> None:
    old = save_all(store, OLD)
    with pytest.raises(SnapshotMissing):
        store.sweep(UID, (2, digest(b"never")))
    assert restorable(store, old, OLD)


def test_what_is_removed_is_gone_with_all_of_it(store: SnapshotStore) -> None:
    save_all(store, OLD)
    save_all(store, OLD, uid="another")
    for _ in range(2):
        store.remove(UID)
        assert store.uids() == ["another"]
    store.remove("never-there")


# -- faults


class Fault(Exception):
    """The process dies here, as far as a store can tell: no answer, no clean-up."""


class Faulty:
    """Files of which the nth call that changes something fails, before or after it is done."""

    def __init__(self, real: Any, fails: int, *, done: bool) -> None:
        self._real, self._left, self._done = real, fails, done

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name in ("create", "write", "commit", "sync", "remove"):
            return lambda *args, **kwargs: self._called(name, real, args, kwargs)
        return (lambda: None) if name == "abort" else real

    def _called(self, name: str, real: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        if name == "remove":  # one at a time
            for path in list(args[0]):
                self._called("remove one", real, ([path],), kwargs)
            return None
        self._left -= 1
        if self._left == 0 and not self._done:
            raise Fault
        result = real(*args, **kwargs)
        if self._left == 0:
            raise Fault
        if name == "create":
            draft = Faulty(result, 0, done=self._done)
            draft._called = self._called  # type: ignore[method-assign]  # one count for all
            return draft
        return result


def _save_and_sweep(store: SnapshotStore) -> None:
    store.sweep(UID, (2, save_all(store, NEW, epoch=2)))


# Who dies closes no file.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("done", [False, True], ids=["before a step", "after a step"])
def test_a_death_at_any_step_leaves_a_whole_snapshot(done: bool, make: Make) -> None:
    new = hashlib.sha256(manifest(*NEW)).hexdigest()
    step, died = 0, True
    while died:
        step += 1
        store = make()
        store.remove(UID)
        old = save_all(store, OLD, epoch=1)
        store._files = Faulty(store._files, step, done=done)  # type: ignore[assignment]
        try:
            _save_and_sweep(store)
            died = False
        except Fault:
            pass
        store = make()
        whole = restorable(store, old, OLD, 1), restorable(store, new, NEW, 2)
        assert any(whole), f"step {step}"
        _save_and_sweep(store)
        assert restorable(store, new, NEW, 2)
        assert not store._files.sizes(f"{UID}/{files.PARTIAL}")
    assert step > 8, "each was seen to fail"


def test_a_process_that_is_killed_at_any_system_call_leaves_a_whole_snapshot(
    tmp_path: Path,
) -> None:
    store = SnapshotStore(f"file://{tmp_path}/s", key=KEY)
    new = hashlib.sha256(manifest(*NEW)).hexdigest()
    step = 0
    while True:
        step += 1
        store.remove(UID)
        old = save_all(store, OLD, epoch=1)
        status = _killed_at(step, store, str(tmp_path))
        assert any((restorable(store, old, OLD, 1), restorable(store, new, NEW, 2))), step
        _save_and_sweep(store)
        assert restorable(store, new, NEW, 2)
        assert not store._files.sizes(f"{UID}/{files.PARTIAL}")
        if status == 0:
            break
    assert step > 15, "each was seen"


def _killed_at(step: int, store: SnapshotStore, below: str) -> int:
    """Save and sweep in a process that ends at the nth change of the disk; return its status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it has no thread that it would need
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        changes = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
        if event in changes and str(arguments[0]).startswith(below):
            left -= 1
            if left == 0:
                os._exit(9)

    try:
        sys.addaudithook(count)
        _save_and_sweep(store)
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize(
    "sizes",
    [[files.BLOCK], [3 * files.BLOCK, 100], [100, files.BLOCK], [files.BLOCK + 100, files.BLOCK]],
    ids=["a block", "blocks and a rest", "a block after a rest", "a rest within"],
)
@pytest.mark.parametrize("aligned", [True, False], ids=["where a disk can take it", "elsewhere"])
def test_what_goes_past_the_cache_of_a_disk_is_whole(
    tmp_path: Path, sizes: list[int], aligned: bool
) -> None:
    memory = memoryview(mmap.mmap(-1, sum(sizes) + 1))[0 if aligned else 1 :]
    memory[: sum(sizes)] = content = os.urandom(sum(sizes))
    store, digest = SnapshotStore(str(tmp_path), key=KEY), blake3(content).hexdigest()
    draft = store.save(UID, 1).put(digest)
    at = 0
    for size in sizes:
        draft.write(memory[at : at + size])
        if not at and not size % files.BLOCK:
            assert _goes_past_cache(draft._draft) == (aligned and _can_go_past_cache(tmp_path))
        at += size
    draft.commit()
    assert Path(str(store.path(UID, digest))).read_bytes() == content


def _goes_past_cache(draft: Any) -> bool:
    return bool(fcntl.fcntl(draft._file, fcntl.F_GETFL) & os.O_DIRECT)


def _can_go_past_cache(folder: Path) -> bool:
    try:
        os.close(os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


def test_a_full_disk_is_told_and_leaves_the_old_snapshot(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        store = SnapshotStore(f"file://{disk}", key=KEY)
        old = save_all(store, OLD)
        with pytest.raises(StoreFull, match=f"file://{disk} is full: free some space"):
            save_all(store, [os.urandom(2**21)], epoch=2)
        assert restorable(store, old, OLD)
        again = [os.urandom(2**19)]
        assert restorable(store, save_all(store, again, epoch=2), again, 2), "nothing was left"
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_limit_on_the_size_of_files_is_a_full_store(tmp_path: Path) -> None:
    store = SnapshotStore(str(tmp_path), key=KEY)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        with pytest.raises(StoreFull):
            save_all(store, [os.urandom(2**20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    save_all(store, [os.urandom(2**20)])


def test_others_on_the_machine_cannot_read_variables(tmp_path: Path) -> None:
    save_all(SnapshotStore(str(tmp_path / "s"), key=KEY), OLD)
    assert stat.S_IMODE((tmp_path / "s" / UID).stat().st_mode) == 0o700


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SnapshotStore(str(tmp_path / "file"), key=KEY)
    with pytest.raises(Unavailable, match="could not be"):
        save_all(store, OLD)


# -- an S3 server that fails as moto cannot


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        pytest.param(403, "QuotaExceeded", StoreFull, id="Ceph's quota"),
        pytest.param(507, "XMinioStorageFull", StoreFull, id="MinIO's disks"),
        pytest.param(507, "Whatever", StoreFull, id="any that says 507"),
        pytest.param(403, "AccessDenied", Unavailable, id="no right"),
        pytest.param(404, "NoSuchBucket", Unavailable, id="no bucket"),
    ],
)
@pytest.mark.parametrize("size", [10, files.PIECE + 1], ids=["at once", "in parts"])
def test_the_refusal_of_an_s3_server_is_told(
    size: int, status: int, code: str, error: type[StoreError], use_s3: Callable[[str], None]
) -> None:
    said = f"<Error><Code>{code}</Code><Message>it says no</Message></Error>".encode()

    class Refusing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_PUT

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        use_s3(f"http://127.0.0.1:{server.server_port}")
        save = SnapshotStore("s3://bucket", key=KEY).save(UID, 1)
        with pytest.raises(error, match=r"s3://bucket.*it says no"):
            put(save, b"x" * size)
    finally:
        server.shutdown()
        server.server_close()


def test_an_s3_server_that_is_away_is_unavailable(use_s3: Callable[[str], None]) -> None:
    use_s3("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="s3://bucket"):
        SnapshotStore("s3://bucket", key=KEY).uids()


def test_an_upload_that_is_given_up_leaves_no_parts(s3: str, use_s3: Callable[[str], None]) -> None:
    use_s3(s3)
    bucket = s3_server.new_bucket(s3)
    draft = SnapshotStore(f"s3://{bucket}", key=KEY).save(UID, 1).put(digest(b""))
    draft.write(b"x" * (files.PIECE + 1))
    client = s3_server.client(s3)
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    draft.abort()
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_only_what_no_snapshot_has_is_made_durable_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the power gone, each snapshot that is there is whole."""
    asked: list[str] = []
    really = files._fsync
    monkeypatch.setattr(files, "_fsync", lambda path: (asked.append(path), really(path)))

    def synced() -> set[str]:
        seen = {Path(path).name for path in asked if Path(path).parent.name == "blobs"}
        asked.clear()
        return seen

    store = SnapshotStore(tmp_path.as_uri(), key=KEY)
    first = save_all(store, OLD)
    assert synced() == {digest(blob) for blob in OLD}
    unfinished = store.save(UID, 2)
    put(unfinished, NEW[1])
    save_all(store, [*OLD, *NEW], epoch=3)
    assert synced() == {digest(NEW[1])}, "no snapshot had it"
    again = store.save(UID, 4)
    put(again, OLD[0])
    again.seal(manifest(*OLD))
    assert synced() == {digest(OLD[0])}, "it was written anew"
    put(store.save(UID, 4), OLD[0])
    store.save(UID, 5).seal(manifest(*OLD))
    assert synced() == {digest(OLD[0])}, "it was written anew for a save that ended early"
    store.save(UID, 6).seal(manifest(*OLD))
    assert synced() == set()
    another = SnapshotStore(tmp_path.as_uri(), key=b"another")
    save_all(another, OLD, epoch=5)
    assert synced() == {digest(blob) for blob in OLD}, "somebody else says that they are"
    assert restorable(store, first, OLD)
