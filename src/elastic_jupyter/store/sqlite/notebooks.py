"""The notebooks that a gateway serves, followed in the file, where the supervisor names them."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import NoReturn

from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.store.sqlite import objects
from elastic_jupyter.store.sqlite.database import Database
from elastic_jupyter.store.sqlite.feed import follow_one

KIND = "ServedNotebooks"


class SqliteNotebooks:
    """``ServedNotebooks`` in a SQLite file: of the gateway with this name."""

    def __init__(self, database: Database, namespace: str, name: str) -> None:
        self.uids: frozenset[str] = frozenset()
        self.synced = asyncio.Event()
        self.on_change: Callable[[], None] | None = None
        self._database = database
        self._key = Key(namespace, name)

    async def run(self) -> NoReturn:
        async with contextlib.aclosing(follow_one(self._database, KIND, self._key)) as written:
            async for obj in written:
                self.uids = frozenset(obj["uids"])
                self.synced.set()
                if self.on_change:
                    self.on_change()
        raise RuntimeError("the feed of the notebooks ended")

    async def serve(self, uids: Collection[str]) -> None:
        """Have the gateway serve these notebooks from now on, and no others. The supervisor's."""
        obj = {"metadata": self._key._asdict(), "uids": sorted(uids)}
        now = self._database.clock.now()
        await self._database.write(lambda connection: objects.put(connection, KIND, obj, now=now))
