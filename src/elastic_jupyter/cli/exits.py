"""How the commands end: the exit statuses, and an error as one sentence."""

import importlib.util

import click

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
#: What each exit status says.
MEANINGS = {
    0: "It is done.",
    FAILED: "It could not be done: no such kernel, no answer, a part that does not start. One "
    "sentence on standard error says what and why.",
    MISUSED: "A flag, a variable, the file with settings or the installation is wrong, and nothing "
    "was begun: the sentence names it.",
    INTERRUPTED: "Ctrl-C ended it. `up` ends with 0 after the first one.",
}


class Failure(click.ClickException):
    """What ends a command: printed as ``Error: `` and the sentence."""

    exit_code = FAILED


class Misuse(Failure):
    """What a person must change first."""

    exit_code = MISUSED


def require_jupyter() -> None:
    """Raise ``Misuse`` where what the commands of one machine start is not installed."""
    for module, project in (("jupyter_server", "Jupyter Server"), ("jupyterlab", "JupyterLab")):
        if importlib.util.find_spec(module) is None:
            raise Misuse(f"{project} is not installed: pip install 'elastic-jupyter[local]'")
