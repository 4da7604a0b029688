"""What kernel and gateway tell each other about a snapshot. Standard library only.

The gateway reads ``blobs``, ``lost`` and ``names`` of a manifest, the rest is the agent's. A field
is added with a default, so that the manifests in ``tests/data`` load for ever; what changes the
meaning of one raises ``VERSION``. Since 2 there are chunks that are ``inline``.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

VERSION = 2
T = TypeVar("T")


class WireError(ValueError):
    """A manifest that this version cannot read; the message is a sentence for the user."""


class DamagedBlob(OSError):
    """A blob whose bytes are not those that were stored."""


@dataclass(frozen=True)
class Lost:
    """A name that was not kept: its qualified type, and the reason as a sentence."""

    name: str
    type: str
    reason: str


@dataclass(frozen=True)
class Blob:
    """Stored bytes: the BLAKE3 of them in hex, and how many they are."""

    digest: str
    size: int


@dataclass(frozen=True)
class Chunk:
    """A stretch of data as it is stored: blob, length before compression.

    ``quick`` is a hash before compression, which only tells what did not change. What is
    ``inline``, in Base64, is in the manifest itself, and no blob: it has no digest.
    """

    digest: str
    size: int
    length: int
    quick: str = ""
    inline: str = ""

    @property
    def compressed(self) -> bool:
        """Whether the blob is smaller; as large as it was, it is stored as it was."""
        return self.size < self.length


@dataclass(frozen=True)
class Payload:
    """A pickle's stream or one of its buffers: the chunks that make it, in order."""

    chunks: tuple[Chunk, ...]
    readonly: bool = True

    @property
    def length(self) -> int:
        return sum(chunk.length for chunk in self.chunks)


@dataclass(frozen=True)
class Entry:
    """A value of a group: where it belongs (``name:x``, ``out:3``), and its qualified type.

    One that is ``superseded`` is in the pickle, but has no place any more: the group is of an
    earlier snapshot, whose other values could not be made anew and are tried again.
    """

    key: str
    type: str
    superseded: bool = False


@dataclass(frozen=True)
class Group:
    """Values that share objects, in one pickle of protocol 5 with its buffers."""

    entries: tuple[Entry, ...]
    stream: Payload
    buffers: tuple[Payload, ...] = ()

    @property
    def length(self) -> int:
        """The bytes of the stream and of the buffers, before compression."""
        return sum(payload.length for payload in (self.stream, *self.buffers))

    @property
    def blobs(self) -> list[Blob]:
        """Each blob once, in the order of use."""
        chunks = (chunk for p in (self.stream, *self.buffers) for chunk in p.chunks)
        return list({c.digest: Blob(c.digest, c.size) for c in chunks if c.digest}.values())


@dataclass(frozen=True)
class Manifest:
    """A snapshot. ``created`` is UTC in ISO 8601, ``state`` what is no object (see ``process``)."""

    created: str
    python: str
    packages: dict[str, str]
    groups: tuple[Group, ...]
    lost: tuple[Lost, ...]
    state: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    @property
    def names(self) -> list[str]:
        """The user's names that were saved."""
        entries = (entry for group in self.groups for entry in group.entries)
        keys = [entry.key for entry in entries if not entry.superseded]
        return sorted(key.removeprefix("name:") for key in keys if key.startswith("name:"))

    @property
    def blobs(self) -> list[Blob]:
        """Each blob once, in the order of use."""
        blobs = (blob for group in self.groups for blob in group.blobs)
        return list({blob.digest: blob for blob in blobs}.values())

    def to_json(self) -> str:
        """Return the document that is stored and signed; the same manifest, the same text."""
        document = vars(self) | {"names": self.names, "blobs": self.blobs}
        # The fields of each dataclass; ``asdict`` would copy them all first.
        return json.dumps(document, sort_keys=True, separators=(",", ":"), default=vars)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """Read a document. Raises ``WireError``. Fields that it does not know it leaves out."""
        try:
            document = json.loads(text)
            version = document["version"]
            if version > VERSION:
                raise WireError(
                    f"the snapshot is of version {version}, this agent reads up to {VERSION}: "
                    "install a newer elastic-jupyter-agent in the kernel's image"
                )
            return cls(
                created=document["created"],
                python=document["python"],
                packages=document["packages"],
                groups=tuple(_group(group) for group in document["groups"]),
                lost=tuple(_known(Lost, lost) for lost in document["lost"]),
                state=document.get("state", {}),
                version=version,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, WireError):
                raise
            raise WireError(f"the snapshot's manifest cannot be read: {error!r}") from error


def _group(document: dict[str, Any]) -> Group:
    return Group(
        entries=tuple(_known(Entry, entry) for entry in document["entries"]),
        stream=_payload(document["stream"]),
        buffers=tuple(_payload(buffer) for buffer in document.get("buffers", ())),
    )


def _payload(document: dict[str, Any]) -> Payload:
    chunks = tuple(_known(Chunk, chunk) for chunk in document["chunks"])
    return Payload(chunks, readonly=document.get("readonly", True))


def _known(kind: type[T], document: dict[str, Any]) -> T:
    fields = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in document.items() if name in fields})
