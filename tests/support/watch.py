"""What the API server tells of objects, with the second in which it was told."""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.support.cluster import Cluster
from tests.support.eventually import eventually

Object = dict[str, Any]


class Version(NamedTuple):
    """One version of an object: when it was told (monotonic seconds), and by which event."""

    at: float
    type: str
    object: Object

    @property
    def gone(self) -> bool:
        """Whether this tells that the object is gone."""
        return self.type == "DELETED"

    @property
    def uid(self) -> str:
        """The uid of the object."""
        return str(self.object["metadata"]["uid"])

    @property
    def owner(self) -> str | None:
        """The uid of the object's first owner."""
        owners = self.object["metadata"].get("ownerReferences") or [{}]
        uid: str | None = owners[0].get("uid")
        return uid


class Watch:
    """Every version of the objects of one kind in a namespace."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self._seen: list[Version] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, event = time.monotonic(), json.loads(line)
            self._seen.append(Version(at, event["type"], event["object"]))

    def close(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def of(self, name: str) -> list[Version]:
        """Return the versions of one object, oldest first."""
        return [one for one in self._seen if one.object["metadata"]["name"] == name]

    def newest(self, name: str, *, before: float) -> Version:
        """Return the first version of the last object of this name that was made before then."""
        made: dict[str, Version] = {}
        for one in self.of(name):
            if one.at <= before:
                made.setdefault(one.uid, one)
        return list(made.values())[-1]

    def first(
        self, name: str, want: Callable[[Version], object], *, what: str, within: float = 10
    ) -> Version:
        """Wait for the first version of an object for which ``want`` holds, and return it."""
        found = eventually(
            lambda: [one for one in self.of(name) if want(one)],
            lambda found: found,
            within=within,
            what=f"{what} of {name}",
        )
        return found[0]


@contextlib.contextmanager
def watching(cluster: Cluster, namespace: str, plural: str) -> Iterator[Watch]:
    """Watch a kind in a namespace for as long as the block runs."""
    watch = Watch([cluster.kubectl_path, "get", "--raw", cluster.watch_path(namespace, plural)])
    try:
        yield watch
    finally:
        watch.close()
