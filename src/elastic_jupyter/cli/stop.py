"""``elastic-jupyter stop``: end a kernel, whatever it does."""

import click

from elastic_jupyter.cli import kernels
from elastic_jupyter.cli.options import on_kernel, run
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.stores import TeamStores


@click.command()
@on_kernel
def stop(kernel: str, where: Where) -> None:
    """End KERNEL at once, also in the middle of a cell, which then ends with an error.

    Its notebook stays open, and the next cell starts a new kernel. What was saved of one that
    sleeps is gone, too.
    """

    async def wish(team: TeamStores) -> None:
        one = await kernels.find(team, kernel)
        _, key, uid = kernels.awake(one, "stop")
        await team.kernels.delete(key, uid=uid)
        click.echo(f"kernel {one.id} is stopped")

    run(wish, where)
