"""``elastic-jupyter status``: all kernels, once or as they change."""

from datetime import UTC, datetime

import click

from elastic_jupyter.cli import kernels
from elastic_jupyter.cli.document import render
from elastic_jupyter.cli.options import on_store, output, run
from elastic_jupyter.cli.screen import Screen, as_table, facts, keep_showing
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.stores import TeamStores


@click.command()
@on_store
@output("table", "json", "yaml")
@click.option(
    "-w",
    "--watch",
    is_flag=True,
    help="Show them again whenever something changes: JSON in a line each time, YAML below ---.",
)
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
        found = await kernels.all_of(team)
        now = datetime.now(UTC)
        click.echo(as_table(found, now) if output == "table" else render(facts(found, now), output))
        if found.hidden:
            click.echo(found.hidden, err=True)

    async def for_ever(team: TeamStores) -> None:
        await keep_showing(team, Screen(output))

    run(for_ever if watch else once, where)
