"""The page of the command line, made of the commands."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from elastic_jupyter.cli import exits, generate
from elastic_jupyter.cli.main import COMMANDS, command
from tests.support import pages

PAGE = Path("docs", "reference", "command-line.md")
SECTIONS = pages.sections(PAGE)
#: What the file with settings does not have.
LINE_ONLY = ("config", "help_all")


def command_of(name: str) -> click.Command:
    found = command.get_command(click.Context(command), name)
    assert found is not None
    return found


def test_the_committed_page_is_the_one_that_the_commands_make() -> None:
    assert generate.files(pages.ROOT) == {PAGE: pages.text_of(PAGE)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_is_named_with_its_variable_and_setting(name: str) -> None:
    said = SECTIONS[f"elastic-jupyter {name}"] + SECTIONS["Which kernels"]
    flags = [one for one in command_of(name).params if isinstance(one, click.Option)]
    named = {word for one in flags for word in (*one.opts, *one.secondary_opts)}
    named |= {f"{one.envvar}" for one in flags if one.envvar}
    named |= {f"{one.name}" for one in flags if name == "up" and one.name not in LINE_ONLY}
    assert [word for word in named if f"`{word}`" not in said] == []


def test_every_command_and_exit_status_is_named_and_no_other() -> None:
    assert {one for one in SECTIONS if one.startswith("elastic-jupyter ")} == {
        f"elastic-jupyter {name}" for name in COMMANDS
    }
    rows = SECTIONS["Exit status"].splitlines()
    assert [row.split(" ")[1] for row in rows[3:] if row] == [f"{one}" for one in exits.MEANINGS]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_of_eighty_columns(name: str) -> None:
    flags = ["--help", *(["--help-all"] if name == "up" else [])]
    for flag in flags:
        shown = CliRunner().invoke(command, [name, flag], env={"HOME": "/h"}, terminal_width=80)
        assert shown.exit_code == 0
        assert [line for line in shown.output.splitlines() if len(line) > 80] == []
