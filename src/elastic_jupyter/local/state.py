"""The state directory of one ``up``: who uses it, its keys, and where the rest is.

<state>/              0700
    lock              held while an ``up`` runs; contents: where its JupyterLab is
    objects.db        the objects (store/sqlite)
    master-key        32 random bytes, from which kernels' keys and the notebook's token derive
    login-token       of JupyterLab, so that an open tab survives a restart
    notebook-uid      by which the gateway knows the notebook server
    kernels/          a folder each incarnation of a kernel
    snapshots/        variables of kernels that sleep (store/snapshots)
    runtime/          Jupyter's notes on the gateway while it runs
    gateway.log, notebook.log
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.policy.keys import require_usable
from elastic_jupyter.store.state_directory import database, lock

#: How often the lock is tried, and the pause between two tries, s.
_TRIES, _PAUSE = 10, 0.03
_ADVICE = "put that right, or name another directory with --state"


class State:
    """The directory, locked for this process until ``close``.

    Raises ``ConfigError`` when it cannot be written, is somebody else's, or another ``up`` uses it.
    """

    def __init__(self, directory: Path) -> None:
        # By this name the kernels' processes know it, whatever links lead here.
        self.directory = directory.resolve()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require_ours()
            self.directory.chmod(0o700)
            self._lock = open(lock(self.directory), "a+", opener=_private)  # noqa: SIM115
        except OSError as error:
            raise ConfigError(
                f"the state directory {self.directory} cannot be written ({error.strerror}): "
                f"{_ADVICE}"
            ) from error
        if not self._locked():
            self._lock.seek(0)
            where = self._lock.read().strip()
            self._lock.close()
            raise ConfigError(
                f"elastic-jupyter is running already with the state directory {self.directory}"
                + (f" ({where})" if where else "")
                + ": use that one, or name another directory with --state"
            )
        try:
            self.announce("")  # where the one before was, is nobody now
            self.master_key = self._kept("master-key", lambda: secrets.token_bytes(32))
            self.login_token = self._kept("login-token", _token).decode()
            self.notebook_uid = self._kept(
                "notebook-uid", lambda: str(uuid.uuid4()).encode()
            ).decode()
            require_usable(self.master_key)
        except (OSError, ValueError) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(
                f"the state directory {self.directory} cannot be used ({why}): {_ADVICE}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another ``up`` use the directory."""
        self._lock.close()

    def announce(self, address: str) -> None:
        """Say where JupyterLab is to whoever finds the directory in use."""
        self._lock.truncate(0)
        self._lock.write(address)
        self._lock.flush()

    @property
    def snapshots(self) -> Path:
        """The folder with the variables of kernels that sleep."""
        return self.directory / "snapshots"

    @property
    def database(self) -> Path:
        """The file with the objects."""
        return database(self.directory)

    @property
    def master_key_file(self) -> Path:
        """The file with the master key."""
        return self.directory / "master-key"

    @property
    def runtime(self) -> Path:
        """What Jupyter's processes note of themselves while they run."""
        return self.directory / "runtime"

    def forget_runtime(self) -> None:
        """Remove what processes that are gone have noted."""
        shutil.rmtree(self.runtime, ignore_errors=True)

    def _locked(self) -> bool:
        """Lock the directory. A command that asks whether an ``up`` runs has it for an instant."""
        for tried in range(_TRIES):
            if tried:
                time.sleep(_PAUSE)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def _require_ours(self) -> None:
        """Refuse a directory with files and no lock: it would be closed to all but its owner."""
        names = os.listdir(self.directory)
        if names and "lock" not in names:
            raise ConfigError(
                f"the state directory {self.directory} holds other files: name one that is empty, "
                "or does not exist, with --state"
            )

    def _kept(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return what a file holds; made once, whole or not at all."""
        path = self.directory / name
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        fresh = path.with_name(f".{name}.new")
        with open(fresh, "wb", opener=_private) as file:
            file.write(made := make())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        return made


def _token() -> bytes:
    return secrets.token_hex(24).encode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
