"""The argument KERNEL, and its completion by the shell."""

import asyncio
import contextlib

import click
from click.shell_completion import CompletionItem

from elastic_jupyter.cli.where import Where
from elastic_jupyter.errors import ElasticJupyterError

#: How long a shell waits for names, s.
PATIENCE = 3.0


class KernelName(click.ParamType[str]):
    """A kernel as a person names it (``cli.kernels.choose``)."""

    name = "kernel"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the ids, or the object names, that begin so; none when the store does not answer.

        Which store: by the options that were typed, as for the command itself.
        """
        with contextlib.suppress(ElasticJupyterError, TimeoutError, OSError):
            return asyncio.run(_names(incomplete, Where.of(ctx)))
        return []


async def _names(incomplete: str, where: Where) -> list[CompletionItem]:
    from elastic_jupyter.cli import kernels

    async with asyncio.timeout(PATIENCE), where.opened() as team:
        found = await kernels.all_of(team)
    items = []
    for one in found.views:
        told = " ".join(filter(None, (one.phase, one.notebook)))
        for name in (one.id, one.name):
            if name.startswith(incomplete):
                items.append(CompletionItem(name, help=told))
                break
    return items


KERNEL = KernelName()
