"""``elastic-jupyter release``: give a kernel's resources back now."""

import click

from elastic_jupyter.cli import kernels
from elastic_jupyter.cli.options import on_kernel, run
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.stores import TeamStores


@click.command()
@on_kernel
def release(kernel: str, where: Where) -> None:
    """Reclaim KERNEL now, as if it had been idle for too long.

    A cell that runs ends first. One that waits for a GPU gives its place up. Its notebook stays
    open, and the next cell wakes it, or starts a new kernel where variables are not saved.
    """

    async def wish(team: TeamStores) -> None:
        one = await kernels.find(team, kernel)
        _, key, uid = kernels.alive(one, "release")
        await team.kernels.wish(key, uid=uid, suspend=True)
        when = "when its cell ends" if one.busy else "now"
        click.echo(f"kernel {one.id} gives its resources back {when}")

    run(wish, where)
