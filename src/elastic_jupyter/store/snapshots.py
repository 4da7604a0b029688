"""Saved variables of kernels: blobs, named by their contents, and signed manifests that list them.

What is small is in a manifest itself, of which the agent alone reads it.

``<url>/<uid>/blobs/<digest>`` and ``<url>/<uid>/<epoch>-<id>.json``, where ``uid`` is the
JupyterKernel's and ``id`` the SHA-256 of the manifest. A manifest is written last, so one that is
there can be restored; it is removed first. All calls block: call them in threads.
"""

import contextlib
import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from blake3 import blake3

from elastic_jupyter import untrusted_json
from elastic_jupyter.errors import Invalid, SnapshotBroken, SnapshotMissing, SnapshotTooLarge
from elastic_jupyter.store.files import PARTIAL, Draft, Files, Pieces

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = 1


class SnapshotStore:
    """The snapshots of all kernels of a gateway.

    ``url``: see ``store.files``. ``key`` signs manifests: a kernel's user must not know it, since
    what a manifest lists is run. ``max_bytes``: the most that one snapshot may have, None for no
    limit. Every method raises ``Unavailable``; those that write, ``StoreFull``.
    """

    def __init__(self, url: str, *, key: bytes, max_bytes: int | None = None) -> None:
        """Raise ``ConfigError`` when the URL is of no known kind."""
        self.max_bytes = max_bytes
        self._key = key
        self._files = Files(url)
        # Paths of blobs that this process wrote, for a save that ended or not, and did not sync.
        self._unsynced: set[str] = set()

    def save(self, uid: str, epoch: int) -> "Save":
        """Begin to save a kernel. Nothing of it may be swept until that ends."""
        return Save(self, _checked(uid), epoch)

    def manifest(self, uid: str, epoch: int, snapshot: str) -> bytes:
        """Return the manifest with the id ``snapshot``, which was saved of this incarnation.

        Raises ``SnapshotMissing``; ``SnapshotBroken`` for one that was changed, or is of another
        kernel, epoch or gateway.
        """
        what = f"the snapshot of epoch {epoch} of kernel {uid}"
        content = self._files.read(f"{_checked(uid)}/{_document(epoch, snapshot)}")
        if content is None:
            raise SnapshotMissing(f"{what} is not in the store {self._files.url}")
        try:
            with untrusted_json.reading():
                said = json.loads(content)
            if said["version"] != _VERSION:
                raise SnapshotBroken(
                    f"{what} was written by another version of elastic-jupyter (its format is "
                    f"{said['version']!r}, this one reads {_VERSION})"
                )
            manifest: bytes = said["manifest"].encode()
            signed = hmac.compare_digest(
                said["signature"].encode(), self._signature(uid, epoch, manifest).encode()
            )
            ours = (said["uid"], said["epoch"]) == (uid, epoch)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotBroken(f"{what} cannot be read: its manifest is damaged") from error
        if not (signed and ours and hashlib.sha256(manifest).hexdigest() == snapshot):
            raise SnapshotBroken(f"{what} was not saved by this gateway, or was changed since")
        return manifest

    def open_blob(self, uid: str, digest: str) -> tuple[int, Pieces]:
        """Return a blob's size in bytes, and its contents in pieces of some megabytes.

        The last piece comes only when all is as it was written; else ``SnapshotBroken`` is raised
        in its place. Raises ``SnapshotMissing``.
        """
        found = self._files.pieces(_blob(_checked(uid), digest))
        if found is None:
            raise self._missing(uid)
        size, pieces = found
        return size, _verified(pieces, digest, f"a part of kernel {uid} in {self._files.url}")

    def path(self, uid: str, digest: str) -> str | None:
        """Return where a blob is on this machine's disk, as it was written or not; None: nowhere.

        Raises ``SnapshotMissing`` for one that should be there.
        """
        path = self._files.path(_blob(_checked(uid), digest))
        if path is not None and not os.path.exists(path):
            raise self._missing(uid)
        return path

    def _missing(self, uid: str) -> SnapshotMissing:
        return SnapshotMissing(f"the store {self._files.url} lacks a part of kernel {uid}")

    def sweep(self, uid: str, keep: tuple[int, str] | None) -> None:
        """Remove what the snapshot ``keep`` (epoch and id) does not need; None: all.

        Raises ``SnapshotMissing`` or ``SnapshotBroken`` for one that cannot be kept, and removes
        nothing then. To be called again after an error, or when the process was killed in between.
        """
        needed: set[str] = set()
        document = None
        if keep is not None:
            needed = set(_listed(self.manifest(uid, *keep)))
            document = _document(*keep)
        # First what lists blobs: no manifest is ever left that lacks one.
        manifests = [name for name in self._files.sizes(_checked(uid)) if name != document]
        self._files.remove(f"{uid}/{name}" for name in manifests)
        for folder, kept in ((f"{uid}/blobs", needed), (f"{uid}/{PARTIAL}", set[str]())):
            names = [name for name in self._files.sizes(folder) if name not in kept]
            paths = [f"{folder}/{name}" for name in names]
            self._files.remove(paths)
            self._unsynced.difference_update(paths)

    def remove(self, uid: str) -> None:
        """Remove all of a kernel; that there is nothing is success."""
        self.sweep(uid, None)
        for folder in (f"{uid}/blobs", f"{uid}/{PARTIAL}", uid):
            self._files.remove_folder(folder)

    def uids(self) -> list[str]:
        """Return of which kernels something is in the store, whole or not."""
        return [name for name in self._files.folders() if _UID.fullmatch(name)]

    def _signature(self, uid: str, epoch: int, manifest: bytes) -> str:
        signed = b"\0".join((b"snapshot", uid.encode(), str(epoch).encode(), manifest))
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()


class Save:
    """One snapshot that is being written. Its blobs may come from several threads at once."""

    def __init__(self, store: SnapshotStore, uid: str, epoch: int) -> None:
        self._store, self._files = store, store._files
        self._uid, self._epoch = uid, epoch
        self._lock = threading.Lock()
        self._counted: dict[str, int] = {}
        self._total = 0

    def there(self) -> list[str]:
        """Return the digests of the blobs that need no writing."""
        return list(self._files.sizes(f"{self._uid}/blobs"))

    def put(self, digest: str) -> "BlobDraft":
        """Begin to write a blob whose BLAKE3 (64 hex digits) is ``digest``."""
        return BlobDraft(self, digest, self._files.create(_blob(self._uid, digest)))

    def seal(self, manifest: bytes) -> str:
        """Write the manifest of what was put; return its id. Only now there is a snapshot.

        A manifest is a JSON object whose ``blobs`` are objects with ``digest`` and ``size``. Raises
        ``Invalid`` for anything else, ``SnapshotBroken`` when a blob is not there with its size,
        ``SnapshotTooLarge``.
        """
        listed = _listed(manifest)
        self._require_room(sum(listed.values()))
        there = self._files.sizes(f"{self._uid}/blobs")
        wrong = [digest for digest, size in listed.items() if there.get(digest) != size]
        if wrong:
            self._drop_damaged(wrong)
            raise SnapshotBroken(
                f"{len(wrong)} of {len(listed)} parts of kernel {self._uid} are not whole in the "
                f"store {self._files.url}: save again"
            )
        # The system has been writing them since they were put.
        self._files.sync(self._unsure(listed))
        self._store._unsynced.difference_update(_blob(self._uid, digest) for digest in listed)
        document = {
            "version": _VERSION,
            "uid": self._uid,
            "epoch": self._epoch,
            "manifest": manifest.decode(),
            "signature": self._store._signature(self._uid, self._epoch, manifest),
        }
        snapshot = hashlib.sha256(manifest).hexdigest()
        draft = self._files.create(f"{self._uid}/{_document(self._epoch, snapshot)}")
        try:
            draft.write(json.dumps(document).encode())
            draft.commit(durable=True)
        finally:
            draft.abort()
        return snapshot

    def _unsure(self, listed: Iterable[str]) -> Iterator[str]:
        """Yield the paths of the blobs that may not survive a loss of power, when first asked.

        Those of a snapshot that is there do: it was written after them. A disk that is asked for
        each of a gigabyte takes as long to say so as the agent to find what has changed.
        """
        durable: set[str] = set()
        for name in self._files.sizes(self._uid):
            epoch, _, snapshot = name.removesuffix(".json").partition("-")
            with contextlib.suppress(SnapshotMissing, SnapshotBroken, Invalid, ValueError):
                durable.update(_listed(self._store.manifest(self._uid, int(epoch), snapshot)))
        for digest in listed:
            path = _blob(self._uid, digest)
            if path in self._store._unsynced or digest not in durable:
                yield path

    def _drop_damaged(self, digests: list[str]) -> None:
        """Have the next save write again what a loss of power left short.

        What is whole stays, whatever size a manifest gave it: an earlier snapshot may need it.
        """
        for digest in digests:
            try:
                for _ in self._store.open_blob(self._uid, digest)[1]:
                    pass
            except SnapshotBroken:
                self._files.remove([_blob(self._uid, digest)])
            except SnapshotMissing:
                pass

    def _count(self, digest: str, size: int) -> None:
        """Count so many bytes of a blob. Raises ``SnapshotTooLarge``."""
        with self._lock:
            before = self._counted.get(digest, 0)
            self._counted[digest] = max(size, before)
            self._total += self._counted[digest] - before
            total = self._total
        self._require_room(total)

    def _forget(self, digest: str) -> None:
        with self._lock:
            self._total -= self._counted.pop(digest, 0)

    def _require_room(self, size: int) -> None:
        limit = self._store.max_bytes
        if limit is not None and size > limit:
            raise SnapshotTooLarge(
                f"the variables have more than the {limit} bytes that a snapshot may have"
            )


class BlobDraft:
    """A blob that is being written. Call ``commit`` or ``abort`` at the end; one thread at a time.

    After an error only ``abort`` may follow.
    """

    def __init__(self, save: Save, digest: str, draft: Draft) -> None:
        self._save, self._digest, self._draft = save, digest, draft
        self._hash = blake3()
        self._size = 0
        self._there = False

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises ``StoreFull``, ``SnapshotTooLarge``."""
        self._size += len(data)
        self._save._count(self._digest, self._size)
        self._hash.update(data)
        self._draft.write(data)

    def commit(self) -> None:
        """Let the blob be there. Raises ``SnapshotBroken`` when it has another digest."""
        if self._hash.hexdigest() != self._digest:
            raise SnapshotBroken(
                f"{self._size} bytes came whose BLAKE3 is not the {self._digest} that was named"
            )
        self._save._store._unsynced.add(_blob(self._save._uid, self._digest))
        self._draft.commit()
        self._there = True

    def abort(self) -> None:
        """Leave nothing behind. May be called twice, and after ``commit``; never raises."""
        if not self._there:
            self._save._forget(self._digest)
        self._draft.abort()


def _checked(uid: str) -> str:
    if not _UID.fullmatch(uid):
        raise Invalid(f"{uid!r} is no uid of a kernel")
    return uid


def _blob(uid: str, digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise Invalid(f"{digest!r} is no digest of 64 hex digits")
    return f"{uid}/blobs/{digest}"


def _document(epoch: int, snapshot: str) -> str:
    if not _DIGEST.fullmatch(snapshot):
        raise Invalid(f"{snapshot!r} is no id of a snapshot")
    return f"{epoch:d}-{snapshot}.json"


def _listed(manifest: bytes) -> dict[str, int]:
    """Return digest and size of the blobs in a manifest. Raises ``Invalid``."""
    try:
        with untrusted_json.reading():
            said: Any = json.loads(manifest.decode())
        listed = {blob["digest"]: blob["size"] for blob in said["blobs"]}
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("the manifest is no JSON object that lists blobs") from error
    for digest, size in listed.items():
        right = isinstance(digest, str) and _DIGEST.fullmatch(digest)
        if not right or type(size) is not int or size < 0:
            raise Invalid("a blob in the manifest has no digest or no size")
    return listed


def _verified(pieces: Pieces, digest: str, what: str) -> Pieces:
    seen = blake3()
    held = None
    with contextlib.closing(pieces):
        for piece in pieces:
            seen.update(piece)
            if held is not None:
                yield held
            held = piece
    if seen.hexdigest() != digest:
        raise SnapshotBroken(f"{what} is damaged")
    if held is not None:
        yield held
