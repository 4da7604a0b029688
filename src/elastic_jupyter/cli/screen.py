"""All kernels, shown again and again as they change."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import click

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.cli import kernels, terminal
from elastic_jupyter.cli.document import render_next
from elastic_jupyter.cli.kernels import Found
from elastic_jupyter.cli.table import table
from elastic_jupyter.cli.view import to_json, without_clock
from elastic_jupyter.errors import StoreError
from elastic_jupyter.store.protocol import Gone, Put
from elastic_jupyter.store.stores import TeamStores

#: What changes together is drawn together, s.
_TOGETHER = 0.05
#: Times are drawn anew after so many seconds in which nothing changed.
_TICK = 5.0


def as_table(found: Found, now: datetime) -> str:
    """Return the kernels for people."""
    return table(found.views, now=now, width=terminal.width())


def facts(found: Found, now: datetime) -> list[dict[str, Any]]:
    """Return the kernels for programs."""
    return [to_json(one, now=now) for one in found.views]


class Screen:
    """What a watch has printed: for programs a document for each change, for people a table."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._documents: list[dict[str, Any]] | None = None
        self._complaint = ""

    def show(self, found: Found) -> None:
        """Show the kernels; to programs not when nothing but time has passed."""
        now = datetime.now(UTC)
        if self._output == "table":
            click.clear()  # where it is a terminal, which takes complaints away
            self._complaint = ""
            click.echo(as_table(found, now))
        else:
            document = facts(found, now)
            if (news := [without_clock(one) for one in document]) != self._documents:
                self._documents = news
                click.echo(render_next(document, self._output))
        self.complain(found.hidden)

    def complain(self, complaint: str) -> None:
        """Say what is wrong, unless that was the last thing said."""
        if complaint != self._complaint:
            self._complaint = complaint
            if complaint:
                click.echo(complaint, err=True)


async def keep_showing(team: TeamStores, screen: Screen) -> None:
    """Show the kernels whenever they change, for ever.

    Raises ``StoreError`` where they cannot even be listed; what fails later is said and goes on.
    """
    await team.kernels.list(team.namespace)  # a watch would wait for ever for what a list refuses
    known: dict[str, JupyterKernel] = {}
    synced = False
    changed = asyncio.Event()

    async def follow() -> None:
        nonlocal synced
        async with contextlib.aclosing(team.kernels.watch(team.namespace, gateway=None)) as watch:
            async for change in watch:
                match change:
                    case Put(kernel):
                        known[kernel.metadata.uid or ""] = kernel
                    case Gone(_, uid):
                        known.pop(uid, None)
                    case _:
                        synced = True
                if synced:
                    changed.set()

    follower = asyncio.create_task(follow())
    follower.add_done_callback(lambda _: changed.set())
    try:
        while not follower.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK if synced else None):
                    await changed.wait()
            await asyncio.sleep(_TOGETHER)
            changed.clear()
            try:
                screen.show(await kernels.all_of(team, list(known.values())))
            except StoreError as error:  # what was shown stays, and the next look is soon
                screen.complain(f"not up to date: {error}")
        follower.result()
    finally:
        follower.cancel()
