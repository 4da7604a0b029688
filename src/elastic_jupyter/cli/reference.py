"""The reference page of the command line in Markdown, made from the commands themselves. Pure.

What ``--help`` says of a flag is what the page says.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence

import click

from elastic_jupyter.api.reference import table
from elastic_jupyter.cli import exits, options
from elastic_jupyter.cli.up import is_setting

_HEADER = (
    "<!-- Made by `python -m elastic_jupyter.cli.generate`; edit src/elastic_jupyter/cli instead."
    " -->"
)
_INTRODUCTION = """\
The same commands on [one machine](../how-to/one-machine.md) and on
[Kubernetes](../how-to/command-line.md). `elastic-jupyter COMMAND --help` says of one what this page
says."""
_SETTINGS = """\
A flag wins over its environment variable, that over the file with settings, that over the default.
The file is in TOML; `directory` in it is DIRECTORY:

```toml
# ~/.config/elastic-jupyter/config.toml
gpus = 2
idle = "30m"
```"""
_COMPLETION = """\
Commands, flags and kernels are completed by the Tab key, after this line in `~/.bashrc`:

```bash
eval "$(_ELASTIC_JUPYTER_COMPLETE=bash_source elastic-jupyter)"
```

in `~/.zshrc`, after `compinit`:

```zsh
eval "$(_ELASTIC_JUPYTER_COMPLETE=zsh_source elastic-jupyter)"
```

in `~/.config/fish/config.fish`:

```fish
_ELASTIC_JUPYTER_COMPLETE=fish_source elastic-jupyter | source
```"""


def page(commands: Mapping[str, click.Command]) -> str:
    """Return the page of these commands; what those on kernels have in common is told once."""
    shared = click.command()(options.on_store(lambda: None))
    lines = [
        _HEADER,
        "# elastic-jupyter",
        "",
        _INTRODUCTION,
        "",
        "## Which kernels",
        "",
        f"Of commands on one kernel: {options.NAMING}",
        "",
        "Of all commands on kernels:",
        "",
        *_flags(shared, shared.params),
    ]
    known = [one.name for one in shared.params]
    for name, command in commands.items():
        lines += [f"## elastic-jupyter {name}", "", *_command(name, command, known)]
    rows = [(f"{status}", meaning) for status, meaning in exits.MEANINGS.items()]
    lines += ["## Exit status", "", *table(("status", "meaning"), rows)]
    lines += ["## Completion", "", _COMPLETION, ""]
    return "\n".join(lines)


def _command(name: str, command: click.Command, known: Sequence[str | None]) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    yield f"```\nelastic-jupyter {name} {' '.join(command.collect_usage_pieces(context))}\n```"
    yield ""
    yield inspect.cleandoc(command.help or "").replace(options.NAMING, "").strip()
    yield ""
    own = list(command.params)
    if any(one.name == "store" for one in own):
        own = [one for one in own if one.name not in known]
    if command.name == "up":
        yield _SETTINGS
        yield ""
    yield from _flags(command, own)


def _flags(command: click.Command, params: Sequence[click.Parameter]) -> Iterator[str]:
    """Yield a table of the flags, without columns in which there is nothing."""
    context = click.Context(command)
    flags = [one for one in params if isinstance(one, click.Option)]
    rows = [
        (
            f"`{'`, `'.join(sorted((*one.opts, *one.secondary_opts), key=_is_short))}`",
            "" if one.is_flag else f"`{one.make_metavar(context)}`",
            f"`{one.envvar}`" if one.envvar else "",
            f"`{one.name}`" if one.envvar and command.name == "up" and is_setting(one) else "",
            _default(one, context),
            one.help or "",
        )
        for one in flags
    ]
    head = ("flag", "value", "variable", "in the file", "default", "meaning")
    used = [at for at in range(len(head)) if any(row[at] for row in rows)]
    if rows:
        yield from table([head[at] for at in used], [[row[at] for at in used] for row in rows])


def _is_short(flag: str) -> bool:
    return not flag.startswith("--")


def _default(option: click.Option, context: click.Context) -> str:
    """Return the default in words, or as one would type it."""
    if isinstance(option.show_default, str):
        return option.show_default
    default = option.get_help_extra(context).get("default")
    return f"`{default}`" if default else ""
