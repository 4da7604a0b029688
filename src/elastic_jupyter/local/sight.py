"""What is seen of a kernel's process, in the words of the life cycle. Pure."""

import signal
from dataclasses import dataclass

from elastic_jupyter.policy.lifecycle import Sight, Sighting

COMPLETED = "Completed"
ERROR = "Error"
OUT_OF_MEMORY = "OOMKilled"
#: The process was there and is not, and nobody saw it end.
GONE = "ProcessGone"
#: Nothing can be executed; the word that container runtimes have for it.
START_ERROR = "StartError"
TOO_FEW_GPUS = "TooFewGPUs"
STOPPED = "Stopped"
QUEUED = "Queued"

_PROBABLY_OUT_OF_MEMORY = (
    "the kernel was killed (SIGKILL), probably because the memory of the machine ran out"
)


@dataclass(frozen=True)
class End:
    """How a process ended.

    ``code``: its exit code, less than 0 the number of the signal that ended it, None: nobody knows.
    ``out_of_memory``: the kernel of the operating system killed it for want of memory, or, where
    that is not ``is_certain``, killed something for want of memory while it ran.
    """

    code: int | None
    last_words: str = ""
    out_of_memory: bool = False
    is_certain: bool = True


def running(ip: str | None, *, hint: str = "") -> Sighting:
    """Return the sight of a process that runs; ``hint`` is what its user should know of it."""
    return Sighting(Sight.RUNNING, message=hint, ip=ip)


def ended(end: End, *, ip: str | None, memory: str | None) -> Sighting:
    """Return the sight of a process that was seen to end; ``memory`` is its limit, if any."""
    if end.code == 0:
        text = "the kernel's process ended with exit code 0"
        return Sighting(Sight.SUCCEEDED, COMPLETED, text, ip=ip)
    if end.out_of_memory:
        text = _out_of_memory(memory) if end.is_certain else _PROBABLY_OUT_OF_MEMORY
        return _failed(OUT_OF_MEMORY, text, end.last_words, ip)
    if end.code is None:
        text = (
            "the kernel's process ended, with which exit code is not known: elastic-jupyter was "
            "started again after the kernel"
        )
        return _failed(GONE, text, end.last_words, ip)
    code = end.code if end.code > 0 else 128 - end.code  # as a shell forms it
    text = f"the kernel's process ended with exit code {code}{_signal(code)}"
    return _failed(ERROR, text, end.last_words, ip)


def lost(last_words: str = "") -> Sighting:
    """Return the sight of a process that was made and that nobody saw end."""
    text = "the kernel's process is gone; elastic-jupyter was not running when it ended"
    return Sighting(Sight.LOST, GONE, _with_last_words(text, last_words))


def refused(reason: str, message: str) -> Sighting:
    """Return the sight of a process that this machine will never start."""
    return Sighting(Sight.REFUSED, reason, message)


def waiting() -> Sighting:
    """Return the sight of a kernel that waits for a GPU."""
    return Sighting(Sight.WAITING, QUEUED)


def stopped() -> Sighting:
    """Return the sight of a kernel that ends with the reconciler."""
    text = "elastic-jupyter was stopped on this machine, and its kernels with it"
    return Sighting(Sight.FAILED, STOPPED, text)


def _failed(reason: str, text: str, last_words: str, ip: str | None) -> Sighting:
    return Sighting(Sight.FAILED, reason, _with_last_words(text, last_words), ip=ip)


def _with_last_words(text: str, last_words: str) -> str:
    return f"{text}: {last_words}" if last_words else text


def _out_of_memory(memory: str | None) -> str:
    if memory:
        return f"the kernel used more memory than its limit of {memory} and was killed"
    return "the kernel has no memory limit of its own and was killed when the memory ran out"


def _signal(code: int) -> str:
    try:
        return f" ({signal.Signals(code - 128).name})"
    except ValueError:
        return ""
