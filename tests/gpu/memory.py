"""What is allocated on GPUs, as their driver tells it."""

import pynvml

from elastic_jupyter.local.gpus import Gpu
from tests.support.eventually import eventually

MIB = 1 << 20


def used(gpus: tuple[Gpu, ...]) -> int:
    """Return what is allocated on all GPUs, MiB."""
    handles = [pynvml.nvmlDeviceGetHandleByUUID(gpu.id) for gpu in gpus]
    total: int = sum(pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles)
    return total // MIB


def given_back(before: int, gpus: tuple[Gpu, ...], *, within: float) -> None:
    """Wait until no more is allocated than before. 64 MiB: the driver keeps some of its own."""
    eventually(
        lambda: used(gpus),
        lambda mib: mib <= before + 64,
        within=within,
        what="the memory that the driver has back",
    )
