"""``elastic-jupyter why``: what a kernel waits for, or why it is gone."""

from datetime import UTC, datetime

import click

from elastic_jupyter.cli import kernels, terminal
from elastic_jupyter.cli.document import render
from elastic_jupyter.cli.explain import explain
from elastic_jupyter.cli.options import on_kernel, output, run
from elastic_jupyter.cli.view import to_json
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.stores import TeamStores


@click.command()
@on_kernel
@output("text", "json", "yaml")
def why(kernel: str, where: Where, output: str) -> None:
    """Say what KERNEL waits for, when it will be reclaimed, or why it was or has ended."""

    async def tell(team: TeamStores) -> None:
        one = await kernels.find(team, kernel)
        now = datetime.now(UTC)
        text = explain(one, now=now)
        if output == "text":
            told = f"kernel {one.id} is {one.phase}. {text}"
            width = terminal.width()
            click.echo(click.wrap_text(told, width) if width else told)
        else:
            click.echo(render({**to_json(one, now=now), "why": text}, output))

    run(tell, where)
