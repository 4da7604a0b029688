"""A real notebook, run from end to end by nbclient through the notebook server."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from nbclient import NotebookClient
from tests.support.team import Team

NOTEBOOK = Path(__file__).parents[1] / "data" / "harmonics.ipynb"


class RemoteKernelManager(GatewayKernelManager):
    """The stock one, mended: with a kernel that needs more than 1 s for its first answer it fails.

    jupyter_client 8.10 asks ``_async_is_alive`` then, which asks for a provisioner that is not
    there; jupyter_server 2.21 overrides only ``is_alive``.
    """

    async def _async_is_alive(self) -> bool:
        return bool(await self.is_alive())


@pytest.fixture
def stock_client(team: Team) -> Iterator[type[GatewayKernelManager]]:
    """Jupyter's own remote kernel manager, with the notebook server as its remote."""
    GatewayClient.clear_instance()
    GatewayClient.instance(url=team.server.url, headers=json.dumps(team.server.headers))
    yield RemoteKernelManager
    GatewayClient.clear_instance()


def test_nbclient_runs_a_notebook_with_numpy_pandas_and_a_picture(
    stock_client: type[GatewayKernelManager],
) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=120, startup_timeout=60, kernel_manager_class=stock_client
    ).execute()

    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    [table] = [
        output
        for cell in cells
        for output in cell.outputs
        if output.output_type == "execute_result" and "text/html" in output.data
    ]
    assert "harmonic" in table.data["text/html"]
    [picture] = [
        output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert base64.b64decode(picture.data["image/png"]).startswith(b"\x89PNG")
    assert cells[-1].outputs[0].text == "error 1.98e-02\n"
