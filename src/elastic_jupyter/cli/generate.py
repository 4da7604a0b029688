"""Write the reference of the command line: ``python -m elastic_jupyter.cli.generate [--check]``."""

import sys
from pathlib import Path

import click

from elastic_jupyter.api import generate
from elastic_jupyter.cli import reference
from elastic_jupyter.cli.main import COMMANDS, command


def files(root: Path) -> dict[Path, str]:
    """Return the page by its path below ``root``, the repository."""
    context = click.Context(command)
    commands = {name: command.get_command(context, name) for name in COMMANDS}
    known = {name: found for name, found in commands.items() if found is not None}
    return {Path("docs", "reference", "command-line.md"): reference.page(known)}


if __name__ == "__main__":
    sys.exit(generate.main(files=files))
