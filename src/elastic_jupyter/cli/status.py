"""``elastic-jupyter status``: all kernels, once or as they change."""

import asyncio
import contextlib
from datetime import UTC, datetime

import click

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.cli import kernels, terminal
from elastic_jupyter.cli.document import render
from elastic_jupyter.cli.kernels import Found
from elastic_jupyter.cli.options import on_store, output, run
from elastic_jupyter.cli.table import table
from elastic_jupyter.cli.view import to_json
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.protocol import Gone, Put
from elastic_jupyter.store.stores import TeamStores

#: What changes together is drawn together, s.
_TOGETHER = 0.05
#: Times are drawn anew after so many seconds in which nothing changed.
_TICK = 5.0


@click.command()
@on_store
@output("table", "json", "yaml")
@click.option("-w", "--watch", is_flag=True, help="Show them again whenever something changes.")
def status(where: Where, output: str, watch: bool) -> None:
    """Show all kernels: phase, user, notebook, GPU, idle for, reclaim in, GPU hours.

    GPU-H USED is how long the kernel has held GPUs, GPU-H BACK for how long it has slept without
    them, both times their number.

    PHASE is New (nobody has looked at it yet), Queued (for a GPU), Pending (it starts), Running,
    Failed, Succeeded (its process has ended by itself), Reclaimed (it was idle for too long, or
    released) or Stopped (somebody ended it). Of the last four the next cell of the notebook starts
    a new kernel.
    """

    async def once(team: TeamStores) -> None:
        _show(await kernels.all_of(team), output)

    async def for_ever(team: TeamStores) -> None:
        await _watch(team, output)

    run(for_ever if watch else once, where)


async def _watch(team: TeamStores, output: str) -> None:
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
            found = await kernels.all_of(team, list(known.values()))
            if output == "table":
                click.clear()  # where it is a terminal
            elif output == "yaml":
                click.echo("---")  # a document each
            _show(found, output)
        follower.result()
    finally:
        follower.cancel()


def _show(found: Found, output: str) -> None:
    now = datetime.now(UTC)
    if output == "table":
        click.echo(table(found.views, now=now, width=terminal.width()))
    else:
        click.echo(render([to_json(one, now=now) for one in found.views], output))
    if found.hidden:
        click.echo(found.hidden, err=True)
