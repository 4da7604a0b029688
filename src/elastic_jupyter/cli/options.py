"""What the commands on kernels share: which store is meant, how they run, how they fail."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from elastic_jupyter.cli.completion import KERNEL
from elastic_jupyter.cli.exits import INTERRUPTED, Failure
from elastic_jupyter.errors import ElasticJupyterError

T = TypeVar("T")

#: How a person names a kernel: what each command on one says at its end.
NAMING = (
    "KERNEL is the path or the file name of its notebook, or any unique beginning of its id or of "
    "its object's name."
)

_STORE = (
    click.option(
        "--store",
        metavar="URL",
        envvar="ELASTIC_JUPYTER_STORE",
        show_default="that of elastic-jupyter up if it ever ran here, else kubernetes:",
        help="Where the kernels are: sqlite:///PATH or kubernetes:.",
    ),
    click.option(
        "--context",
        metavar="NAME",
        show_default="the current one",
        help="Context of the kubeconfig.",
    ),
    click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        show_default="the context's",
        help="Namespace of the cluster.",
    ),
)


def on_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which a person says where the kernels are."""
    for option in reversed(_STORE):
        command = option(command)
    return command


def on_kernel(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same, the argument KERNEL, and what it may be."""
    command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{NAMING}"
    return click.argument("kernel", type=KERNEL)(on_store(command))


def output(*formats: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds ``--output``, whose default is the first format."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="What to print.",
    )


def run(
    work: Callable[..., Awaitable[T]],
    *,
    store: str | None,
    context: str | None,
    namespace: str | None,
) -> T:
    """Return what ``work``, called with the ``TeamStores`` that the options name, comes to.

    An error of ours ends the program with its sentence and status 1.
    """
    from elastic_jupyter import logs
    from elastic_jupyter.store import stores

    async def on_stores() -> T:
        async with stores.opened(url) as team:
            if team.unheeded:
                click.echo(team.unheeded, err=True)
            return await work(team)

    logs.configure("ERROR")
    try:
        url = stores.personal_url(store, context=context, namespace=namespace)
        return asyncio.run(on_stores())
    except ElasticJupyterError as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
