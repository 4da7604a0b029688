"""``elastic-jupyter``: a group of commands, each imported when it is called."""

import importlib

import click

#: Where each command is; importing all of them for one would take longer than most run.
COMMANDS = {
    "demo": "elastic_jupyter.cli.demo:demo",
    "extend": "elastic_jupyter.cli.extend:extend",
    "logs": "elastic_jupyter.cli.printed:logs",
    "release": "elastic_jupyter.cli.release:release",
    "status": "elastic_jupyter.cli.status:status",
    "stop": "elastic_jupyter.cli.stop:stop",
    "up": "elastic_jupyter.cli.up:up",
    "why": "elastic_jupyter.cli.why:why",
}


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
