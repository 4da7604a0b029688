"""The folder of one incarnation: connection file, log, and what is known of its process."""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from elastic_jupyter.local.proc import Incarnation

#: Bytes of a kernel's last words that are kept, as a kubelet does.
LAST_WORDS = 2048


@dataclass(frozen=True)
class Note:
    """Whose folder it is, and what was made for it.

    It says what /proc cannot: which of the processes of an incarnation is the kernel's. ``started``
    is when, as /proc has it: it tells a later process with the same pid apart. ``leases`` are the
    files of its GPUs.
    """

    incarnation: Incarnation
    pid: int | None = None
    started: int | None = None
    cgroup: str | None = None
    leases: Sequence[str] = ()


class Folder:
    """A folder that nobody but its user can look into."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def connection_file(self) -> Path:
        """What Jupyter's kernels read to know their address, ports and key."""
        return self.path / "connection.json"

    @property
    def log_file(self) -> Path:
        """What the kernel's process wrote to its standard output and error."""
        return self.path / "kernel.log"

    @property
    def _note_file(self) -> Path:
        return self.path / "process.json"

    def make(self, note: Note, connection: Mapping[str, Any]) -> None:
        """Make the folder anew, with these files."""
        self.remove()
        self.path.mkdir(mode=0o700, parents=True)
        self.write_note(note)
        self._write(self.connection_file, connection)

    def write_note(self, note: Note) -> None:
        """Replace the note, all at once."""
        new = self._note_file.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._write(new, {**asdict(note), "incarnation": str(note.incarnation)})
        new.replace(self._note_file)

    def note(self) -> Note | None:
        """Return the note, None where there is none that can be read."""
        content = self._read(self._note_file)
        incarnation = Incarnation.parse(str(content.get("incarnation", "")))
        if incarnation is None:
            return None
        known = {name: content.get(name) for name in ("pid", "started", "cgroup")}
        return Note(incarnation, **known, leases=content.get("leases") or ())

    def ip(self) -> str | None:
        """Return the address of the kernel; ipykernel removes its connection file at its end."""
        ip = self._read(self.connection_file).get("ip")
        return ip if isinstance(ip, str) else None

    def open_log(self) -> IO[bytes]:
        """Open the log to add to it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(os.open(self.log_file, flags, 0o600), "wb")

    def last_words(self) -> str:
        """Return the end of the log, at most ``LAST_WORDS`` bytes."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(log.seek(0, os.SEEK_END) - LAST_WORDS, 0))
                return log.read(LAST_WORDS).decode(errors="replace").strip()
        except OSError:
            return ""

    def remove(self) -> None:
        """Remove the folder and all in it. That it is gone is success."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(self.path)

    def _write(self, file: Path, content: Mapping[str, Any]) -> None:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            json.dump(content, opened)

    def _read(self, file: Path) -> dict[str, Any]:
        try:
            content = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
