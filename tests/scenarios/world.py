"""What a scenario may ask of the engine that it runs on."""

from collections.abc import Sequence
from typing import Any, Protocol

from tests.support.jupyter_tab import NotebookServer

Object = dict[str, Any]


class Tab(Protocol):
    """Whatever has a kernel of ours open."""

    kernel_id: str


class World(Protocol):
    """A notebook server, its gateway, and what there is of their kernels."""

    @property
    def server(self) -> NotebookServer:
        """The notebook server."""

    #: Namespace of the kernels, and the user's name.
    namespace: str
    user: str

    @property
    def home(self) -> str:
        """Where the notebook server's files are, as it tells its kernels."""

    #: Seconds after which an idle kernel is reclaimed, and those that it may take on top.
    idle: float
    slack: float
    #: The kernel spec with one GPU, and how many of these can run at the same time.
    gpu: str
    gpus: int
    #: A word by which the queue tells why a kernel waits.
    what_is_missing: str

    def kernel(self, tab: Tab) -> Object | None:
        """Return the JupyterKernel behind a tab, or None."""

    def runs(self, tab: Tab) -> Object:
        """Wait until the JupyterKernel of a kernel says that it runs, and return it."""

    def left_of(self, tab: Tab) -> list[str]:
        """Return what there is of a kernel."""

    def reclaimed(self, tab: Tab, *, within: float) -> None:
        """Wait until nothing is left of a kernel."""

    def placed(self, tabs: Sequence[Tab]) -> int:
        """Return how many of these kernels have a place to run at, and so their GPUs."""

    def touch(self, tab: Tab, file: str) -> None:
        """Make a file where the kernel sees it."""

    @property
    def gateway_address(self) -> tuple[str, int]:
        """Host and port of the gateway, as the kernels see it."""

    def kill_gateway(self) -> None:
        """SIGKILL the gateway; another one comes by itself."""

    def replace_gateway(self) -> None:
        """SIGKILL the gateway, and wait until another one is ready."""

    def restart_gateway(self) -> None:
        """Have another gateway in good order, and wait until it is ready."""

    def replace_notebook_server(self) -> None:
        """End the notebook server, and wait until another one answers."""
