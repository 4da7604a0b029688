"""The file with settings of ``elastic-jupyter up``, which the commands on kernels read, too."""

import os
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import click

from elastic_jupyter.errors import ConfigError

#: Names another file than the usual one.
VARIABLE = "ELASTIC_JUPYTER_CONFIG"
#: As all settings of ``up``, here for the commands that look for its kernels.
STATE_VARIABLE = "ELASTIC_JUPYTER_UP_STATE"


def config_file() -> Path:
    """Return the file that is read unless another one is named (XDG base directories)."""
    root = os.environ.get("XDG_CONFIG_HOME")
    # Without a home directory the ~ stays, and no file is found.
    return Path(root or os.path.expanduser("~/.config")) / "elastic-jupyter" / "config.toml"


def read(named: Path | None) -> dict[str, str]:
    """Return the settings of ``named``, None: of the usual file, each as a flag would have it.

    There may be no usual file. Raises ``ConfigError``, which names the file.
    """
    path = named or config_file()
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if named is None:
            return {}
        raise ConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    for name, setting in settings.items():
        if isinstance(setting, list | dict):
            raise ConfigError(f"{path}: {name} is neither text nor a number")
    return {name: str(setting) for name, setting in settings.items()}


class NamedState(NamedTuple):
    """A state directory, and what names it: for people."""

    directory: Path
    by: str


def state() -> NamedState | None:
    """Return the state directory that the file names which ``up`` reads without ``--config``.

    Raises ``ConfigError``, which names the variable or the file.
    """
    variable = os.environ.get(VARIABLE)
    try:
        named = _at_home(variable) if variable else None
        said = read(named).get("state")
    except ConfigError as error:
        raise ConfigError(f"{VARIABLE}: {error}" if variable else str(error)) from error
    if not said:
        return None
    by = f"state in {named or config_file()}"
    try:
        return NamedState(_at_home(said), by)
    except ConfigError as error:
        raise ConfigError(f"{by}: {error}") from error


def _at_home(path: str) -> Path:
    """Return a path whose ``~`` is the home directory. Raises ``ConfigError``: it is nobody's."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"nobody knows the home directory in {path!r}") from error


class UserPath(click.Path):
    """A path, whose ``~`` is the home directory also where no shell has read it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a usage error names the option."""
        try:
            value = _at_home(str(value))
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


#: Of the state directory of ``up``.
STATE = UserPath(file_okay=False, path_type=Path)
