"""Where the GPUs of this machine come from."""

from collections.abc import Iterator

import pynvml
import pytest

from elastic_jupyter.local.gpus import Gpu, inventory


@pytest.fixture(scope="module")
def gpus() -> Iterator[tuple[Gpu, ...]]:
    """The GPUs of this machine."""
    found = inventory("auto").gpus
    assert found, "this machine has no GPU that NVML tells of"
    pynvml.nvmlInit()
    yield found
    pynvml.nvmlShutdown()
