"""What the commands on kernels share: which store is meant, how they run, how they fail."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from elastic_jupyter.cli.completion import KERNEL
from elastic_jupyter.errors import ElasticJupyterError

T = TypeVar("T")

#: The exit status of a program that was ended with Ctrl-C.
INTERRUPTED = 130

_STORE = (
    click.option(
        "--store",
        metavar="URL",
        envvar="ELASTIC_JUPYTER_STORE",
        help="Where the kernels are: sqlite:///PATH or kubernetes:.  [default: the database of "
        "this machine's elastic-jupyter up if there is one, else kubernetes:]",
    ),
    click.option("--context", metavar="NAME", help="Context of the kubeconfig."),
    click.option("-n", "--namespace", metavar="NAME", help="Namespace of the cluster."),
)


def on_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options by which a person says where the kernels are."""
    for option in reversed(_STORE):
        command = option(command)
    return command


def on_kernel(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same, and the argument KERNEL."""
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
            return await work(team)

    logs.configure("ERROR")
    try:
        url = stores.personal_url(store, context=context, namespace=namespace)
        return asyncio.run(on_stores())
    except ElasticJupyterError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
