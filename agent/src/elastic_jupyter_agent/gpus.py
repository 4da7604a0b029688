"""Which of the kernel's GPUs compute for it, as NVIDIA's driver tells it. Standard library only.

A cell may end while the GPU still works off what it queued, or while a process of its that is
nobody's child any more computes. Memory that is only held counts for nothing: a model that nobody
uses is what a kernel sleeps for. What the driver does not tell, as of MIG slices, is not known.
"""

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

#: Seconds that the driver may take. It needs milliseconds, and for ever with a GPU that broke.
PATIENCE = 3.0
#: Seconds back to which it is asked who computed. It samples at least once a second.
_RECENT = 3.0
#: How many samples it is asked for; it keeps a hundred. The same of processes on one GPU.
_MOST = 1024
_VISIBLE = "CUDA_VISIBLE_DEVICES"
#: All processes of a kernel on one machine have it, whoever their parent is.
_MARK = "ELASTIC_JUPYTER_INCARNATION"
#: The inode of the pid namespace in which Linux starts, and with it the driver (PROC_PID_INIT_INO).
_FIRST_PIDS = 0xEFFFFFFC

#: The thread that asked last; it runs on where the driver does not answer.
_asking: threading.Thread | None = None


class Use(NamedTuple):
    """What the driver tells of one GPU.

    ``percent`` of the time in which anything computed, the most of its last seconds; ``shares``:
    the same by pid, empty: not told; ``holders``: pids that can use it, None: not told.
    """

    percent: int
    shares: Mapping[int, int]
    holders: frozenset[int] | None


def at_work(
    environ: Mapping[str, str] | None = None, load: Callable[[], Any] | None = None
) -> list[str]:
    """Return ``GPU 0 at 87 %`` of each GPU that computes for this kernel.

    ``environ`` is the one that the kernel was started with, ``load`` loads the driver's library.
    Never raises, and takes ``PATIENCE`` at most. May be called from any thread, not from two at
    once.
    """
    global _asking
    started_with = _environment("self") if environ is None else environ
    if started_with.get(_VISIBLE, "all").strip() == "":
        return []
    if _asking is not None and _asking.is_alive():
        return []
    found: list[str] = []

    def ask() -> None:
        # Whatever goes wrong there, nothing is known then.
        with contextlib.suppress(Exception), Driver((load or _load)()) as driver:
            for index, use in driver.uses(started_with.get(_VISIBLE)):
                if is_own(use, own=_is_own(started_with), same_pids=_driver_knows_our_pids()):
                    found.append(f"GPU {index} at {use.percent} %")

    thread = threading.Thread(target=ask, name="elastic-jupyter GPUs", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the user's code has used up the threads that there may be
        return []
    _asking = thread
    thread.join(PATIENCE)
    return list(found)


def chosen(visible: str | None, uuids: Sequence[str]) -> list[int]:
    """Return the indices of the GPUs that ``CUDA_VISIBLE_DEVICES`` names; None: of all.

    It names them by index, by UUID or by the beginning of one, and as for CUDA the list ends with
    the first name that fits none or several. Slices are passed over: nothing is known of them. In
    a container the driver shows no others than its own, so that it needs no such list.
    """
    if visible is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for name in map(str.strip, visible.split(",")):
        if name.startswith("MIG-"):
            continue
        fit = [
            index
            for index, uuid in enumerate(uuids)
            if name == str(index) or (name.startswith("GPU-") and uuid.startswith(name))
        ]
        if len(fit) != 1:
            break
        found += fit
    return found


def is_own(use: Use, *, own: Callable[[int], bool], same_pids: bool) -> bool:
    """Say whether a GPU computes for this kernel; ``own`` says whether a process is one of its.

    Without ``same_pids``, in a container, the driver may count who computes by pids of the host
    (560 does). It shows holders of this container alone, so then one that has any and computes is
    taken to compute for them: a pod has its GPU to itself, unless an administrator shares it.
    """
    if not use.percent:
        return False
    if same_pids and use.shares:
        return any(percent and own(pid) for pid, percent in use.shares.items())
    if use.holders is None:
        return True
    return any(map(own, use.holders)) if same_pids else bool(use.holders)


def _environment(pid: int | str) -> dict[str, str]:
    """Return what a process was started with, empty where it may not be read."""
    try:
        text = os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes())
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def _is_own(environ: Mapping[str, str]) -> Callable[[int], bool]:
    mark = environ.get(_MARK)
    return lambda pid: pid == os.getpid() or bool(mark and _environment(pid).get(_MARK) == mark)


def _driver_knows_our_pids() -> bool:
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PIDS
    except OSError:
        return False


# -- NVML


class Utilization(ctypes.Structure):
    """``nvmlUtilization_t``."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Sample(ctypes.Structure):
    """``nvmlProcessUtilizationSample_t``."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("timeStamp", ctypes.c_ulonglong),
        ("smUtil", ctypes.c_uint),
        ("memUtil", ctypes.c_uint),
        ("encUtil", ctypes.c_uint),
        ("decUtil", ctypes.c_uint),
    )


class Process(ctypes.Structure):
    """``nvmlProcessInfo_t`` of ``nvmlDeviceGetComputeRunningProcesses_v3``."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("usedGpuMemory", ctypes.c_ulonglong),
        ("gpuInstanceId", ctypes.c_uint),
        ("computeInstanceId", ctypes.c_uint),
    )


class NotTold(Exception):
    """The driver answers with an error, or is older than the question."""


def _load() -> Any:
    """Load what the driver brings; raises ``OSError`` where there is none."""
    return ctypes.CDLL("libnvidia-ml.so.1")


class Driver:
    """NVML's library, open for the length of a block. Raises ``NotTold``."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __enter__(self) -> "Driver":
        self._ask("nvmlInit_v2")
        return self

    def __exit__(self, *_: object) -> None:
        self._ask("nvmlShutdown")

    def uses(self, visible: str | None) -> Iterator[tuple[int, Use]]:
        """Yield index and use of the GPUs of ``CUDA_VISIBLE_DEVICES`` on which anything computes.

        One of which the driver tells nothing is left out.
        """
        count = ctypes.c_uint()
        self._ask("nvmlDeviceGetCount_v2", ctypes.byref(count))
        devices = [self._device(index) for index in range(count.value)]
        for index in chosen(visible, [uuid for _handle, uuid in devices]):
            handle, uuid = devices[index]
            if not uuid:
                continue
            with contextlib.suppress(NotTold):
                now = Utilization()
                self._ask("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(now))
                # One that reads data between two steps computes nothing for a moment.
                shares = self._shares(handle)
                if percent := max(now.gpu, *shares.values(), 0):
                    yield index, Use(percent, shares, self._holders(handle))

    def _device(self, index: int) -> tuple[ctypes.c_void_p, str]:
        """Return handle and UUID, which is empty of one that broke: it takes no other with it."""
        handle, uuid = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        with contextlib.suppress(NotTold):
            self._ask("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
            self._ask("nvmlDeviceGetUUID", handle, uuid, ctypes.c_uint(len(uuid)))
        return handle, uuid.value.decode(errors="replace")

    def _shares(self, handle: ctypes.c_void_p) -> dict[int, int]:
        samples, count = (Sample * _MOST)(), ctypes.c_uint(_MOST)
        since = ctypes.c_ulonglong(int((time.time() - _RECENT) * 1e6))
        try:
            self._ask(
                "nvmlDeviceGetProcessUtilization", handle, samples, ctypes.byref(count), since
            )
        except NotTold:
            return {}
        shares: dict[int, int] = {}
        for sample in samples[: count.value]:
            # The driver sometimes tells of older ones, and of shares that cannot be.
            if sample.timeStamp < since.value or sample.smUtil > 100:
                continue
            shares[sample.pid] = max(sample.smUtil, shares.get(sample.pid, 0))
        return shares

    def _holders(self, handle: ctypes.c_void_p) -> frozenset[int] | None:
        processes, count = (Process * _MOST)(), ctypes.c_uint(_MOST)
        ask = "nvmlDeviceGetComputeRunningProcesses_v3"
        try:
            self._ask(ask, handle, ctypes.byref(count), processes)
        except NotTold:
            return None
        return frozenset(process.pid for process in processes[: count.value])

    def _ask(self, name: str, *arguments: Any) -> None:
        try:
            code = getattr(self._library, name)(*arguments)
        except AttributeError as error:
            raise NotTold(f"{name} is not there") from error
        if code:
            raise NotTold(f"{name}: error {code}")
