"""``elastic-jupyter logs``: what a kernel printed beside the output of its cells."""

import contextlib
import sys

import click

from elastic_jupyter.cli import kernels
from elastic_jupyter.cli.options import on_kernel, run
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.stores import TeamStores


@click.command()
@on_kernel
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until its end.")
@click.option(
    "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only so many lines at the end."
)
def logs(
    kernel: str,
    where: Where,
    follow: bool,
    tail: int | None,
) -> None:
    """Print the log of KERNEL: what its pod or process wrote to standard output and error."""

    async def tell(team: TeamStores) -> None:
        found, _, _ = kernels.awake(await kernels.find(team, kernel), "read")
        pieces = team.logs.read(found, follow=follow, tail=tail)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()

    run(tell, where)
