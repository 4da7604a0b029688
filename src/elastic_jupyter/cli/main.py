"""``elastic-jupyter``: a group of commands, each imported when it is called."""

import importlib

import click

#: Where each command is; importing all of them for one would take longer than most run.
COMMANDS = {"demo": "elastic_jupyter.cli.demo:demo", "up": "elastic_jupyter.cli.up:up"}


class LazyGroup(click.Group):
    """Imports a command when somebody asks for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None: there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup)
@click.version_option(package_name="elastic-jupyter")
def command() -> None:
    """Jupyter kernels that hold a GPU only while they compute."""
