"""The sessions on a kernel: which document of a notebook server it belongs to.

Sessions are the notebook server's. The gateway keeps them with the kernel because it outlives that
server, whose own list is gone with its process.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from elastic_jupyter import untrusted_json
from elastic_jupyter.errors import Invalid

#: Sessions that one kernel remembers: a document and a few consoles.
MAX_SESSIONS = 16
#: Bytes of the annotation. All annotations of an object together may have 256 KiB, and the names of
#: the client's variables are there, too (``wish.MAX_ENV``).
MAX_BYTES = 128 * 1024
#: Characters of each of its words: the longest path of a file system.
_LONGEST = 4096


@dataclass(frozen=True)
class KernelSession:
    """One session, in the words of Jupyter's sessions API."""

    id: str
    path: str
    name: str
    type: str

    @classmethod
    def of(cls, session: Mapping[str, Any]) -> "KernelSession":
        """Read a session. Raises ``ValueError``, which names the field."""
        if not isinstance(session, Mapping):  # it comes from an annotation or a tombstone
            raise ValueError("a session must be an object")
        words = {}
        for field in fields(cls):
            word = session.get(field.name) or ""
            if not isinstance(word, str) or len(word) > _LONGEST:
                raise ValueError(f"{field.name} must be a text of at most {_LONGEST} characters")
            words[field.name] = word
        if not words["id"]:
            raise ValueError("id must not be empty")
        return cls(**words)


Sessions = tuple[KernelSession, ...]


def with_session(sessions: Sessions, session: KernelSession) -> Sessions:
    """Return the sessions with one more, or one changed; the oldest go beyond ``MAX_SESSIONS``.

    Raises ``Invalid`` when they are more than ``MAX_BYTES`` as an annotation.
    """
    more = (*without_session(sessions, session.id), session)[-MAX_SESSIONS:]
    size = len((write(more) or "").encode())
    if size > MAX_BYTES:
        raise Invalid(
            f"with session {session.id} the sessions on this kernel have {size} bytes (id, path, "
            f"name and type of {len(more)}); at most {MAX_BYTES} are kept: use shorter paths"
        )
    return more


def without_session(sessions: Sessions, session_id: str) -> Sessions:
    """Return the sessions without that of this id."""
    return tuple(one for one in sessions if one.id != session_id)


def to_json(sessions: Iterable[KernelSession]) -> list[dict[str, str]]:
    """Return the sessions as JSON values."""
    return [asdict(session) for session in sessions]


def read(text: str | None) -> Sessions:
    """Read the annotation of a JupyterKernel; what anybody else wrote there counts for nothing."""
    try:
        with untrusted_json.reading():
            found = json.loads(text or "[]")
        return tuple(KernelSession.of(one) for one in found)[-MAX_SESSIONS:]
    except (ValueError, TypeError):
        return ()


def write(sessions: Sessions) -> str | None:
    """Return the annotation, None where there is nothing to say."""
    return json.dumps(to_json(sessions), ensure_ascii=False) if sessions else None
