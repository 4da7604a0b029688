"""Jupyter Server extension for a notebook server whose kernels live behind a gateway.

It does nothing without a gateway. With one it replaces the stock gateway client's websocket and
REST behaviour, so that a gateway that goes away and comes back costs nobody a cell, and a notebook
server that starts anew finds its kernels and sessions (``adoption.py``).

Start reading at ``extension.py`` (where it is hooked in), then ``connection.py`` (one websocket)
and ``ledger.py`` (what every request is owed; no I/O). Imports nothing else of this project.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Name the extension to Jupyter Server."""
    return [{"module": "elastic_jupyter.notebook"}]


def _link_jupyter_server_extension(serverapp: "ServerApp") -> None:
    """Put our classes in the place of the stock ones; called before the managers are made."""
    # Imported here: importing a module touches nothing, and half of Jupyter hangs on this one.
    from elastic_jupyter.notebook.extension import link

    link()


def _load_jupyter_server_extension(serverapp: "ServerApp") -> None:
    """Hook into ``serverapp``; called once by Jupyter Server before it listens."""
    from elastic_jupyter.notebook.extension import load

    load(serverapp)
