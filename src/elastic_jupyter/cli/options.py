"""What the commands on kernels share: which store is meant, how they run, how they fail."""

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click

from elastic_jupyter.cli import settings, where
from elastic_jupyter.cli.completion import KERNEL
from elastic_jupyter.cli.exits import INTERRUPTED, Failure, Misuse
from elastic_jupyter.cli.where import Where
from elastic_jupyter.errors import ConfigError, ElasticJupyterError
from elastic_jupyter.store.stores import TeamStores

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
        envvar=where.STORE_VARIABLE,
        show_default="that of elastic-jupyter up if it ever ran here, else kubernetes:",
        help="Where the kernels are: sqlite:///PATH or kubernetes:.",
    ),
    click.option(
        "--state",
        type=settings.STATE,
        envvar=settings.STATE_VARIABLE,
        show_default="that of the file with settings, else ~/.local/state/elastic-jupyter",
        help="State directory of the elastic-jupyter up that has the kernels.",
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
    """Add the options by which a person says where the kernels are, as its argument ``where``."""

    @functools.wraps(command)
    def with_where(*args: Any, **kwargs: Any) -> Any:
        others = {name: value for name, value in kwargs.items() if name not in where.OPTIONS}
        return command(*args, where=Where.of(click.get_current_context()), **others)

    decorated: Callable[..., Any] = with_where
    for option in reversed(_STORE):
        decorated = option(decorated)
    return decorated


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


def run(work: Callable[[TeamStores], Awaitable[T]], where: Where) -> T:
    """Return what ``work`` comes to, called with the stores that the options name.

    An error of ours ends the program with its sentence: with status 2 where the options are wrong,
    else with 1.
    """
    from elastic_jupyter import logs

    async def on_stores() -> T:
        async with where.opened() as team:
            if team.unheeded:
                click.echo(team.unheeded, err=True)
            return await work(team)

    logs.configure("ERROR")
    try:
        return asyncio.run(on_stores())
    except ConfigError as error:
        raise Misuse(str(error)) from error
    except ElasticJupyterError as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
