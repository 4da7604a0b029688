"""Tombstones in the file: an object for each kernel id."""

from sqlite3 import Connection
from typing import Any

from elastic_jupyter import logs
from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.store.sqlite import objects
from elastic_jupyter.store.sqlite.database import Database

KIND = "Tombstone"

#: Of all tombstones of a namespace, as JSON. A gateway reads them all when it begins.
MAX_BYTES = 8 * 2**20

log = logs.get(__name__)


class SqliteTombstones:
    """``TombstoneStore`` in a SQLite file."""

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._namespace = namespace

    async def load(self) -> dict[str, dict[str, Any]]:
        found = await self._database.read(
            lambda connection: objects.all_of(connection, KIND, self._namespace)
        )
        return {obj["metadata"]["name"]: obj["tombstone"] for obj in found}

    async def put(self, kernel_id: str, tombstone: dict[str, Any]) -> None:
        metadata = {"namespace": self._namespace, "name": kernel_id}
        now = self._database.clock.now()

        def put(connection: Connection) -> int:
            objects.put(connection, KIND, {"metadata": metadata, "tombstone": tombstone}, now=now)
            oldest = objects.oldest_beyond(connection, KIND, self._namespace, size=MAX_BYTES)
            for obj in oldest:
                objects.remove(connection, KIND, obj)
            return len(oldest)

        dropped = await self._database.write(put)
        if dropped:
            log.warning("tombstones are full, the oldest are dropped", dropped=dropped)

    async def remove(self, kernel_id: str) -> None:
        def remove(connection: Connection) -> None:
            found = objects.find(connection, KIND, Key(self._namespace, kernel_id))
            if found is not None:
                objects.remove(connection, KIND, found)

        await self._database.write(remove)
