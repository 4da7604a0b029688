"""Where things are in the state directory of one machine. Pure but for the home directory."""

import os
from pathlib import Path

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.policy.kernel_status import epoch_of


def default_directory() -> Path:
    """Return where one machine keeps its state unless told otherwise (XDG base directories).

    Raises ``ConfigError`` for a user without a home directory.
    """
    root = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".local" / "state") / "elastic-jupyter"
    except RuntimeError:  # a user id without a name, and no HOME
        raise ConfigError(
            "this user has no home directory for a state directory: set HOME, or name one with "
            "--state"
        ) from None


def database(state: Path) -> Path:
    """Return the database in a state directory."""
    return state / "objects.db"


def kernel_folders(state: Path) -> Path:
    """Return the folder with the folders of all kernels' processes in a state directory."""
    return state / "kernels"


def kernel_folder(state: Path, kernel: JupyterKernel) -> Path:
    """Return the folder of the present incarnation of a kernel in a state directory."""
    return kernel_folders(state) / f"{kernel.metadata.name}-{epoch_of(kernel)}"


def lock(state: Path) -> Path:
    """Return the file that an ``up`` has locked (flock) while it runs with a state directory."""
    return state / "lock"
