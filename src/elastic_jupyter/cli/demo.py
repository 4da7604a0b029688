"""``elastic-jupyter demo``: two users share one GPU, seen from start to end in half a minute."""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import click

from elastic_jupyter.cli.exits import INTERRUPTED, Failure, require_jupyter
from elastic_jupyter.errors import ElasticJupyterError


@click.command()
@click.option("--verbose", is_flag=True, help="Show each message and what the processes say, too.")
def demo(verbose: bool) -> None:
    """Run two users' notebooks against one stand-in for a GPU, and check each step.

    It takes half a minute, needs no GPU, and leaves nothing behind. Exit status 1: a step went
    otherwise, and a sentence says which and how.
    """
    require_jupyter()
    try:
        with tempfile.TemporaryDirectory(prefix="elastic-jupyter-demo-") as folder:
            asyncio.run(_tell(Path(folder), verbose=verbose))
    except ElasticJupyterError as error:
        raise Failure(f"{error}" if verbose else f"{error}\n--verbose shows more") from error
    except OSError as error:  # of the folder, the processes or their files
        raise Failure(f"the demonstration could not go on: {error}") from error
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)


async def _tell(folder: Path, *, verbose: bool) -> None:
    """Tell the story until a signal; a second one ends what runs at once."""
    from elastic_jupyter.demo.story import Story

    story = Story(folder, tell=click.echo, whisper=click.echo if verbose else lambda line: None)
    telling = asyncio.ensure_future(story.run())
    asked = False

    def stop() -> None:
        nonlocal asked
        if asked:
            story.hurry()
        else:
            asked = True
            telling.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await telling
