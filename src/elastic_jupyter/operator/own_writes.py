"""Reading one's own writes through a cache that follows a watch.

After a status write the cache still holds the object from before for some milliseconds. A pass on
that object would decide on what is known to be old, and its write would be a conflict.
"""

from dataclasses import dataclass

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.kube.kinds import Key


@dataclass(frozen=True)
class _Written:
    superseded: frozenset[str]
    kernel: JupyterKernel


class OwnWrites:
    """What was written and may not be in the cache yet."""

    def __init__(self) -> None:
        self._written: dict[Key, _Written] = {}

    def wrote(self, key: Key, *, before: JupyterKernel, after: JupyterKernel) -> None:
        """Remember that a write turned ``before`` into ``after``."""
        older = self._written.get(key)
        superseded = older.superseded if older and older.kernel is before else frozenset()
        version = before.metadata.resource_version or ""
        self._written[key] = _Written(superseded | {version}, after)

    def newest(self, key: Key, cached: JupyterKernel) -> JupyterKernel:
        """Return the written object while the cache holds one of those before it."""
        written = self._written.get(key)
        if written is None:
            return cached
        same = cached.metadata.uid == written.kernel.metadata.uid
        if same and (cached.metadata.resource_version or "") in written.superseded:
            return written.kernel
        # The cache has moved on: to what was written, or past it.
        del self._written[key]
        return cached

    def forget(self, key: Key) -> None:
        """Drop what is remembered of an object that is gone."""
        self._written.pop(key, None)
