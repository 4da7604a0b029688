"""The handover from one gateway process to the next, as an object in the file."""

import contextlib

from elastic_jupyter.kube.kinds import LEASE, Key
from elastic_jupyter.store.sqlite import objects
from elastic_jupyter.store.sqlite.database import Database
from elastic_jupyter.store.sqlite.feed import follow_one

KIND = str(LEASE)


class SqliteLease:
    """``HandoverLease`` in a SQLite file."""

    def __init__(self, database: Database, namespace: str, name: str) -> None:
        self._database = database
        self._key = Key(namespace, name)

    async def take(self, identity: str) -> None:
        obj = {"metadata": self._key._asdict(), "spec": {"holderIdentity": identity}}
        now = self._database.clock.now()
        await self._database.write(lambda connection: objects.put(connection, KIND, obj, now=now))

    async def wait_taken_by_other(self, identity: str) -> None:
        async with contextlib.aclosing(follow_one(self._database, KIND, self._key)) as written:
            async for obj in written:
                if obj["spec"]["holderIdentity"] != identity:
                    return
