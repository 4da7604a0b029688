"""What changes among the objects of one kind, for whoever follows them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from elastic_jupyter import logs
from elastic_jupyter.errors import StoreError
from elastic_jupyter.kube.kinds import Key, Object, key_of
from elastic_jupyter.runtime.backoff import Backoff
from elastic_jupyter.store.protocol import Gone, Synced
from elastic_jupyter.store.sqlite import objects
from elastic_jupyter.store.sqlite.database import Database

#: Objects that are read at once. What parses them holds the event loop for as long.
PAGE = 100
#: A look without a ring, s: for the case that one got lost.
SLOW_LOOK = 1.0
BACKOFF = Backoff(base=0.2, ceiling=5.0)

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """The object is there and looks like this."""

    obj: Object


Event: TypeAlias = Written | Gone | Synced


async def follow_one(database: Database, kind: str, key: Key) -> AsyncGenerator[Object, None]:
    """Tell one object whenever it is written, as ``follow`` does; not that it is gone."""
    feed = follow(database, kind, key.namespace, matches=lambda obj: key_of(obj) == key)
    async with contextlib.aclosing(feed):
        async for event in feed:
            if isinstance(event, Written):
                yield event.obj


async def follow(
    database: Database,
    kind: str,
    namespace: str | None,
    *,
    matches: Callable[[Object], bool] = lambda obj: True,
) -> AsyncGenerator[Event, None]:
    """Tell all objects of a namespace (None: of all), then ``Synced``, then what changes.

    Only those that match, which no change of an object may alter. Never ends and never raises for
    a fault of the disk: it logs it and tries again.
    """
    known: dict[str, Key] = {}
    cursor = objects.Cursor()
    synced = False
    failures = 0
    with database.bell.listen() as ear:
        while True:
            try:
                page = await database.read(
                    partial(
                        objects.changes,
                        kind=kind,
                        namespace=namespace,
                        since=cursor,
                        known=known,
                        limit=PAGE,
                    )
                )
            except StoreError as error:
                pause = BACKOFF.delay(failures)
                failures += 1
                log.warning("watching failed, will try again", error=error, after=round(pause, 3))
                await asyncio.sleep(pause)
                continue
            failures = 0
            for uid in page.gone:
                yield Gone(known.pop(uid), uid)
            for obj in page.written:
                if matches(obj):
                    known[obj["metadata"]["uid"]] = key_of(obj)
                    yield Written(obj)
            cursor = page.cursor
            if page.more:
                continue
            if not synced:
                synced = True
                yield Synced()
            await ear.wait(seconds=SLOW_LOOK)
