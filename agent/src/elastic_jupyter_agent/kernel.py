"""ipykernel in this process, started faster and otherwise as ``ipykernel_launcher`` does it."""

import gc
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from elastic_jupyter_agent import debugger


def run(connection: str, arguments: list[str], *, on_bound: Callable[[], None]) -> None:
    """Be the kernel of a connection file with this content. Returns when the kernel ends.

    ``on_bound`` is called when the ports are open, before the kernel is ready: whoever connects
    then waits for his answer and for nothing else.
    """
    # Garbage is not looked for among what is imported now: it stays, and that takes a sixth of the
    # start's processor time.
    gc.disable()
    launcher = importlib.util.find_spec("ipykernel_launcher")
    # Libraries tell by it that they run in a notebook.
    sys.argv = [str(launcher and launcher.origin), "-f", _file(connection), *arguments]

    debugger.stand_in()
    from ipykernel.kernelapp import IPKernelApp

    app: Any = IPKernelApp.instance()
    bind = app.init_sockets

    def bind_and_tell() -> None:
        bind()
        on_bound()

    app.init_sockets = bind_and_tell  # upstream has no hook between this and the rest
    app.initialize()
    gc.enable()
    app.start()


def _file(content: str) -> str:
    """Write the connection file, for this user's eyes only, and return its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="kernel-", suffix=".json", delete=False
    ) as connection:
        connection.write(content)
    return connection.name
