"""Files below one URL, on a disk or in an object store, each there as a whole or not at all.

The only importer of fsspec, whose errors leave it in our words. All calls block.
"""

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeAlias

import fsspec
from fsspec.implementations.local import LocalFileSystem

from elastic_jupyter.errors import ConfigError, ElasticJupyterError, StoreFull, Unavailable

#: What is in a file, some megabytes at a time. To be closed when it is not read to the end.
Pieces: TypeAlias = Generator[bytes, None, None]

#: Bytes that are read or written at once, and the most of a file that is held in memory. An S3
#: object has 10,000 parts at most: with these it is 80 GB large.
PIECE = 8 * 2**20
#: What a disk takes past the system's cache begins and ends at multiples of so many bytes.
BLOCK = 4096
#: Where a disk has what is not yet whole, in the folder of its kernel.
PARTIAL = "partial"
#: A disk, a quota on it, and a limit on the size of a file.
_FULL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Of S3 servers: Ceph, MinIO (both), others.
_FULL_CODES = {
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "InsufficientStorage",
}
#: A server that does not answer is told of before whoever waits gives up, s.
_S3_CONFIG = {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}


class Files:
    """What is below ``url``: ``file:///path``, a plain path, ``s3://bucket/prefix``, ``memory://``.

    Paths are relative to it. Every method raises ``Unavailable``, those that write ``StoreFull``.
    """

    def __init__(self, url: str) -> None:
        """Read the URL; nothing is looked up yet. Raises ``ConfigError`` when it is of no kind."""
        self.url = url
        kind = url.partition("://")[0] if "://" in url else "file"
        if kind not in ("file", "s3", "memory"):
            # Others of fsspec's may show a file before it is whole.
            raise ConfigError(
                f"the snapshot store {url!r} is of no known kind: it is a path, file:///path or "
                "s3://bucket/prefix"
            )
        options: dict[str, Any] = {"config_kwargs": _S3_CONFIG} if kind == "s3" else {}
        try:
            self._fs, self._root = fsspec.url_to_fs(url, use_listings_cache=False, **options)
        except ImportError as error:
            raise ConfigError(
                f"the snapshot store {url} needs s3fs: pip install 'elastic-jupyter[s3]'"
            ) from error
        self._on_disk = isinstance(self._fs, LocalFileSystem)
        # Of an object. fsspec's memory would show the beginning of one.
        self._held_at_most = float("inf") if kind == "memory" else PIECE

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the files in a folder with their sizes in bytes; none where there is no folder."""
        return {name: entry["size"] for name, entry in self._entries(folder, "file").items()}

    def folders(self) -> list[str]:
        """Return the names of the folders at the top."""
        return list(self._entries("", "directory"))

    def read(self, path: str) -> bytes | None:
        """Return what is in a file, or None where there is none."""
        with self._in_our_words("read"), contextlib.suppress(FileNotFoundError):
            content: bytes = self._fs.cat_file(self._at(path))
            return content
        return None

    def path(self, path: str) -> str | None:
        """Return where a file is, or would be, on this machine's disk; None: elsewhere."""
        return self._at(path) if self._on_disk else None

    def pieces(self, path: str) -> tuple[int, Pieces] | None:
        """Return a file's size and what is in it piece by piece, or None where there is none."""
        with self._in_our_words("read"), contextlib.suppress(FileNotFoundError):
            file = self._fs.open(self._at(path), "rb", block_size=PIECE, cache_type="none")
            return file.size, self._read(file)
        return None

    def _read(self, file: Any) -> Pieces:
        with contextlib.closing(file):
            while True:
                with self._in_our_words("read"):
                    piece = file.read(PIECE)
                if not piece:
                    return
                yield piece

    def create(self, path: str) -> "Draft":
        """Begin a file, which is there after ``commit`` and not before."""
        return _DiskDraft(self, path) if self._on_disk else _ObjectDraft(self, path)

    def sync(self, paths: Iterable[str]) -> None:
        """Return when files, and the folders that they are in, survive a loss of power."""
        if not self._on_disk:
            return  # an object is durable when the store has answered
        with self._in_our_words("written"):
            folders: set[str] = set()
            for path in paths:
                _fsync(self._at(path))
                while path := os.path.dirname(path):
                    folders.add(path)
            for folder in [*sorted(folders, reverse=True), ""] if folders else []:
                _fsync(self._at(folder))

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; one that is gone already is success."""
        for path in paths:
            with self._in_our_words("removed"), contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._at(path))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder, which is empty, or there is none. Object stores have none."""
        if self._on_disk:
            with self._in_our_words("removed"), contextlib.suppress(FileNotFoundError):
                os.rmdir(self._at(folder))

    def _entries(self, folder: str, kind: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        with self._in_our_words("read"), contextlib.suppress(FileNotFoundError):
            for entry in self._fs.ls(self._at(folder), detail=True):
                name = entry["name"].rstrip("/").rpartition("/")[2]
                # Some object stores list a folder as an object in itself.
                if entry["type"] == kind and name != folder.rpartition("/")[2]:
                    found[name] = entry
        return found

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}".rstrip("/")

    @contextlib.contextmanager
    def _in_our_words(self, what: str) -> Iterator[None]:
        try:
            yield
        except ElasticJupyterError:
            raise
        except Exception as error:  # of whatever library the URL's kind is served by
            if _is_full(error):
                message = f"the snapshot store {self.url} is full: free some space in it ({error})"
                raise StoreFull(message) from error
            cause = f"{error or type(error).__name__}"
            raise Unavailable(
                f"the snapshot store {self.url} could not be {what}: {cause}"
            ) from error


class Draft:
    """A file that is being written. Call ``commit`` or ``abort`` at the end."""

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises ``StoreFull``, ``Unavailable``; then only ``abort`` may follow."""
        raise NotImplementedError

    def commit(self, *, durable: bool = False) -> None:
        """Let the file be there, in the place of one that was. Raises as ``write`` does.

        ``durable``: not before it survives a loss of power.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Leave nothing behind. May be called twice, and after ``commit``; never raises."""
        raise NotImplementedError


class _DiskDraft(Draft):
    """Written under another name in ``partial`` of the same kernel, and then renamed.

    Whole blocks go past the system's cache, where nobody reads them soon: that takes a quarter of
    the processor's time, and none of the memory that a pod is charged for.
    """

    def __init__(self, files: Files, path: str) -> None:
        super().__init__(files, path)
        self._to = files._at(path)
        folder = f"{files._at(path.partition('/')[0])}/{PARTIAL}"
        self._name = f"{folder}/{uuid.uuid4().hex}"
        with files._in_our_words("written"):
            os.makedirs(files._root, exist_ok=True)
            for needed in (os.path.dirname(folder), folder, os.path.dirname(self._to)):
                # Whatever the process' umask: others on this machine do not read variables.
                with contextlib.suppress(FileExistsError):
                    os.mkdir(needed, 0o700)
            self._file = open(self._name, "xb", buffering=0)  # noqa: SIM115  # closed at its end
        self._past_cache = self._go_past_cache(True)

    def write(self, data: bytes | memoryview) -> None:
        left = memoryview(data)
        with self._files._in_our_words("written"):
            while left:
                blocks = len(left) // BLOCK * BLOCK
                if self._past_cache and not blocks:
                    self._past_cache = self._go_past_cache(False)
                try:
                    left = left[self._append(left[:blocks] if self._past_cache else left) :]
                except OSError as error:
                    if not (self._past_cache and error.errno == errno.EINVAL):
                        raise
                    # The memory, or what was written before, is not at a multiple.
                    self._past_cache = self._go_past_cache(False)

    def _append(self, data: memoryview) -> int:
        """Write what there is room for; return how much that was."""
        return self._file.write(data)

    def _go_past_cache(self, wanted: bool) -> bool:
        """Choose for what is written from now on; return whether it goes past the cache."""
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL) & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_DIRECT * wanted)
        except OSError:  # not in every file system
            return False
        return wanted

    def commit(self, *, durable: bool = False) -> None:
        with self._files._in_our_words("written"):
            if durable:
                os.fsync(self._file.fileno())
            else:  # whoever syncs it later waits for less
                os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self._file.close()
            os.replace(self._name, self._to)
        if durable:
            self._files.sync([self._path])

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.remove(self._name)


class _ObjectDraft(Draft):
    """One object: put at once when it is small, else in parts that a last call makes an object.

    Parts of a process that was killed are seen by no listing; a rule of the bucket removes them.
    """

    def __init__(self, files: Files, path: str) -> None:
        super().__init__(files, path)
        self._file: Any = None
        self._held = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self._held += data
        if len(self._held) >= self._files._held_at_most:
            self._let_go()

    def _let_go(self) -> None:
        with self._files._in_our_words("written"):
            if self._file is None:
                at = self._files._at(self._path)
                self._file = self._files._fs.open(at, "wb", block_size=PIECE, autocommit=False)
            self._file.write(bytes(self._held))
            self._held.clear()

    def commit(self, *, durable: bool = False) -> None:
        with self._files._in_our_words("written"):
            if self._file is None:
                self._files._fs.pipe_file(self._files._at(self._path), bytes(self._held))
                return
            if self._held:
                self._let_go()
            self._file.close()
            self._file.commit()
            self._file = None

    def abort(self) -> None:
        self._held.clear()
        file, self._file = self._file, None
        if file is not None:
            # Not closed: that would send what is left.
            with contextlib.suppress(Exception):
                file.discard()
            file.closed = True


def _fsync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems of user space cannot do it for a folder.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL_ERRORS:
            return True
        answer = getattr(error, "response", None)  # of botocore's ClientError
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status == 507 or answer.get("Error", {}).get("Code") in _FULL_CODES:
                return True
        error = error.__cause__ or error.__context__
    return False
