"""``elastic-jupyter``: a group of commands, each imported when it is called."""

import importlib
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem


class Listed(NamedTuple):
    """What is known of a command before it is imported: where it is, and what it is for."""

    place: str
    purpose: str


#: Importing all of them to list them would take five times as long.
COMMANDS = {
    "demo": Listed("demo:demo", "Watch two users share one GPU; each step is checked."),
    "extend": Listed("extend:extend", "Keep an idle kernel for longer."),
    "logs": Listed("printed:logs", "Print a kernel's log."),
    "release": Listed("release:release", "Give a kernel's GPU back now."),
    "status": Listed("status:status", "Show all kernels."),
    "stop": Listed("stop:stop", "End a kernel at once."),
    "up": Listed("up:up", "Start JupyterLab with elastic kernels on this machine."),
    "why": Listed("why:why", "Say what a kernel waits for, or why it is gone."),
}


class LazyGroup(click.Group):
    """Imports a command when somebody asks for it, and not for its name (click 8.4)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None: there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].place.partition(":")
        command = getattr(importlib.import_module(f"elastic_jupyter.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].purpose) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=COMMANDS[name].purpose) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup)
@click.version_option(package_name="elastic-jupyter")
def command() -> None:
    """Jupyter kernels that hold a GPU only while they compute."""
