"""A directory that all users of this machine share, with files that processes lock.

A lock belongs to an open file (F_OFD_SETLK): a process that inherits the open file has the lock,
too, and it ends with the last that has it, whatever that dies of. Unlike flock(2), one may ask who
is locked without locking, so whoever only looks is in nobody's way.

Other users put files here, so nothing is followed or believed: no symbolic link is opened, only
plain files are, and a file appears under its name complete, with its mode and its lock.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from elastic_jupyter.errors import ConfigError, Unavailable

VARIABLE = "ELASTIC_JUPYTER_LEASES"

#: Anybody makes files here, and removes none but their own.
_DIRECTORY_MODE = 0o1777
#: The sticky bit of a file keeps systemd-tmpfiles from removing it for its age.
ANYBODYS = 0o1666
MINE = 0o1644

_LOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux
_LONGEST = 4096


def path(environ: Mapping[str, str], *, run_lock: Path = Path("/run/lock")) -> Path:
    """Return where the directory is, the same for all users.

    So the answer must not depend on what this user may write: root may always.
    """
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE]).absolute()
    ours = run_lock / "elastic-jupyter"
    with contextlib.suppress(OSError):
        if ours.is_dir() or run_lock.stat().st_mode & stat.S_IWOTH:
            return ours
    return Path("/tmp/elastic-jupyter")


@dataclass(frozen=True)
class Look:
    """What is seen of a file. ``touched``: as ``SharedDirectory.touch`` was given."""

    locked: bool
    touched: int
    content: bytes


class SharedDirectory:
    """The directory; it is made where it is missing.

    Raises ``ConfigError`` at the start where it cannot be used, and ``Unavailable`` later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with self._open() as directory:
                wanted = os.R_OK | os.W_OK | os.X_OK
                usable = os.access(".", wanted, dir_fd=directory, effective_ids=True)
        except Unavailable as error:
            raise ConfigError(f"{error}; {_ADVICE}") from error
        if not usable:
            raise ConfigError(f"{path}: this user cannot read and write there; {_ADVICE}")

    def changed(self) -> int:
        """Return when a file was made or removed last: ns, as exact as the machine's tick."""
        with self._open() as directory:
            return os.fstat(directory).st_mtime_ns

    def names(self) -> list[str]:
        """Return the names of the files."""
        with self._open() as directory:
            return os.listdir(directory)

    def look(self, name: str) -> Look | None:
        """Return what is seen of a file; None: none that can be read."""
        with self._open(name) as directory:
            try:
                file = _open_plain(name, os.O_RDONLY, directory)
            except OSError as error:
                if error.errno == errno.ENOENT or error.errno in _UNUSABLE:
                    return None
                raise
            try:
                touched = os.fstat(file).st_mtime_ns
                return Look(_is_locked(file), touched, os.pread(file, _LONGEST, 0))
            finally:
                os.close(file)

    def obstacle(self, name: str) -> str:
        """Return why this user can never lock a file, whoever has it; "": nothing is in the way."""
        with self._open(name) as directory:
            try:
                os.close(_open_plain(name, os.O_RDWR, directory))
            except OSError as error:
                if error.errno in _UNUSABLE:
                    return f"{self.path / name}: {_said(error)}"
                if error.errno != errno.ENOENT:
                    raise
        return ""

    def create(self, name: str, *, mode: int, touched: int) -> int | None:
        """Return a new file, open and locked; None: it exists."""
        with self._open(name) as directory:
            return _create(name, mode, directory, touched)

    def lock(self, name: str, *, mode: int) -> int | None:
        """Return a file, open and locked, made where it is missing; None: another has locked it."""
        with self._open(name) as directory:
            while True:
                try:
                    file = _open_plain(name, os.O_RDWR, directory)
                except FileNotFoundError:
                    made = _create(name, mode, directory)
                    if made is not None:
                        return made
                    continue  # somebody else made it at the same moment
                if not _lock(file):
                    os.close(file)
                    return None
                if is_there(file):
                    return file
                os.close(file)  # it was removed between the two; the lock of that says nothing

    def join(self, name: str) -> int | None:
        """Return a file that is shared, open and locked beside those who have it.

        None: it is not there, or one has locked it for himself. One that nobody has is joined, too.
        """
        with self._open(name) as directory:
            try:
                file = _open_plain(name, os.O_RDONLY, directory)
            except FileNotFoundError:
                return None
            if share(file) and is_there(file):
                return file
            os.close(file)
            return None

    def remove(self, name: str) -> None:
        """Remove a file, if it can be: it may be gone, or another's to remove."""
        with self._open(name) as directory, contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)

    @contextlib.contextmanager
    def _open(self, name: str = "") -> Iterator[int]:
        """Open the directory for one step: it may be removed and made anew in between."""
        directory = None
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            try:
                directory = os.open(self.path, flags)
            except FileNotFoundError:
                _make_directory(self.path)
                directory = os.open(self.path, flags)
            yield directory
        except OSError as error:
            where = self.path / name if directory is not None else self.path
            raise Unavailable(f"{where}: {_said(error)}") from error
        finally:
            if directory is not None:
                os.close(directory)


_ADVICE = (
    f"the leases of GPUs are there, so all users of this machine need it (mode "
    f"{_DIRECTORY_MODE:o}), or {VARIABLE} names another one for all of them"
)
_NOT_PLAIN = {
    errno.ELOOP: "it is a symbolic link, which is not followed",
    errno.ENOTDIR: "it is no directory (a symbolic link is not followed)",
    errno.EMEDIUMTYPE: "it is no plain file",
    errno.ENXIO: "it is no plain file",
    errno.EISDIR: "it is no plain file",
}
#: What is wrong with one file, and not with the directory or the machine.
_UNUSABLE = {errno.EACCES, errno.EPERM, *_NOT_PLAIN}


def touch(file: int, moment: int) -> None:
    """Note a moment in an open file, in ns; needs no space on a full file system."""
    os.utime(file, ns=(moment, moment))


def share(file: int) -> bool:
    """Lock a file for all who join it, also where it was locked for its opener alone.

    Who wants it to himself is kept out as before. False: another has it to himself.
    """
    return _lock(file, fcntl.F_RDLCK)


def is_there(file: int) -> bool:
    """Say whether an open file still has a name."""
    return os.fstat(file).st_nlink > 0


def _said(error: OSError) -> str | None:
    return _NOT_PLAIN.get(error.errno or 0) or error.strerror


def _make_directory(path: Path) -> None:
    # Whoever comes in the same moment must find it with its mode.
    old = os.umask(0)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, _DIRECTORY_MODE)
    finally:
        os.umask(old)


def _open_plain(name: str, flags: int, directory: int) -> int:
    # O_CREAT of another's file is refused in such directories (fs.protected_regular).
    # O_NONBLOCK: a pipe that somebody put here must not stop us.
    file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EMEDIUMTYPE, "no plain file")
    return file


def _create(name: str, mode: int, directory: int, touched: int = 0) -> int | None:
    """Return a new, locked file; it gets its name last, so that nobody sees it half made."""
    temporary = f".{secrets.token_hex(8)}"
    file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
    try:
        try:
            os.fchmod(file, mode)  # the umask does not count
            _lock(file)
            touch(file, touched)
            os.link(
                temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False
            )
        finally:
            os.unlink(temporary, dir_fd=directory)
    except FileExistsError:
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    return file


def _lock(file: int, kind: int = fcntl.F_WRLCK) -> bool:
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES
        return False
    return True


def _is_locked(file: int) -> bool:
    asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, *_ = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
    return bool(kind != fcntl.F_UNLCK)
