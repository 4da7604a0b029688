"""The states of a kernel, as the gateway sees them."""

from enum import Enum


class KernelState(Enum):
    """Where a kernel is in its life.

    Attributes:
        STARTING: a JupyterKernel is wished for and does not answer yet.
        RUNNING: it answers; websockets are attached.
        ASLEEP: its JupyterKernel rests, with its variables in a snapshot; an execution wakes it.
        RECLAIMED: there is no JupyterKernel, a tombstone remembers it; an execution asks for a new
            one.
        FAILED: the reconciler gave up on this incarnation; an execution asks for a new one. One
            that did not wake goes to sleep again.
    """

    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"
    RECLAIMED = "reclaimed"
    FAILED = "failed"
