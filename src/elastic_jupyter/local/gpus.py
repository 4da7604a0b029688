"""The GPUs of this machine, as NVML tells them, or stand-ins for a machine that has none."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from elastic_jupyter import logs
from elastic_jupyter.errors import ConfigError

#: What is said where nothing is in the way of GPUs but that there is none.
NONE_FOUND = "no GPU was found"

log = logs.get(__name__)

_VISIBLE = "CUDA_VISIBLE_DEVICES"
#: Hides all GPUs from CUDA, and from what is built on it.
NONE_VISIBLE = {_VISIBLE: ""}


@dataclass(frozen=True)
class Gpu:
    """What one kernel has to itself: a GPU, or a slice of one that is in MIG mode.

    ``id`` is the same for all users of the machine and after a reboot: NVML's UUID, which
    ``CUDA_VISIBLE_DEVICES`` takes. ``label`` is for people, ``model`` is what its maker calls it.
    """

    id: str
    label: str
    model: str = ""


@dataclass(frozen=True)
class Inventory:
    """The GPUs that kernels can have. ``note`` is a line for the user, empty: nothing to say."""

    gpus: tuple[Gpu, ...] = ()
    stand_in: bool = False
    note: str = ""

    def env(self, gpus: Sequence[Gpu]) -> dict[str, str]:
        """Return the variables that show a process these GPUs, and no other."""
        if self.stand_in or not gpus:
            return dict(NONE_VISIBLE)
        return {_VISIBLE: ",".join(gpu.id for gpu in gpus)}


def inventory(wanted: int | Literal["auto"], environ: Mapping[str, str] = os.environ) -> Inventory:
    """Return what NVML finds ("auto"), or so many stand-ins for hardware.

    Of what it finds only the GPUs that ``CUDA_VISIBLE_DEVICES`` of ``environ`` names, if it is
    there: whoever started us (Slurm, an administrator) gave us no others. A machine without a GPU
    or without its driver has none, and that is no error. Raises ``ConfigError`` for a negative
    number.
    """
    if wanted == "auto":
        return _found(environ.get(_VISIBLE))
    if wanted < 0:
        raise ConfigError(f"gpus: {wanted} is less than 0; it is a number of stand-ins, or auto")
    names = [f"stand-in {number}" for number in range(wanted)]
    note = {
        0: "",
        1: "1 stand-in for a GPU: one kernel at a time gets it, and computes without hardware",
    }.get(wanted, f"{wanted} stand-ins for GPUs: kernels get them, and compute without hardware")
    return Inventory(tuple(Gpu(name, name) for name in names), stand_in=True, note=note)


def _found(visible: str | None) -> Inventory:
    try:
        import pynvml  # type: ignore[import-untyped]  # it loads the driver's library
    except ImportError:
        log.debug("no GPU is looked for: nvidia-ml-py is not installed")
        return Inventory(note=NONE_FOUND)
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as error:
        log.debug("no NVIDIA driver", error=error)
        return Inventory(note=NONE_FOUND)
    except pynvml.NVMLError as error:
        return Inventory(note=f"no GPU is offered: the NVIDIA driver answers: {error}")
    try:
        return _counted(pynvml, visible)
    except pynvml.NVMLError as error:
        return Inventory(note=f"no GPU is offered: the NVIDIA driver cannot count them: {error}")
    finally:
        pynvml.nvmlShutdown()


@dataclass(frozen=True)
class _Device:
    """A GPU and what of it kernels can have: itself, or its slices."""

    index: int
    uuid: str
    parts: tuple[Gpu, ...]


def _counted(nvml: Any, visible: str | None) -> Inventory:
    devices: list[_Device] = []
    left_out: list[str] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        label = f"GPU {index}"
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            parts = tuple(_parts(nvml, handle, label))
            devices.append(_Device(index, nvml.nvmlDeviceGetUUID(handle), parts))
        except nvml.NVMLError as error:  # one that broke must not take the others with it
            left_out.append(f"{label} is left out: the NVIDIA driver answers: {error}")
            continue
        if not parts:
            left_out.append(f"{label} is left out: it is in MIG mode and has no slices")
    gpus = found = [gpu for device in devices for gpu in device.parts]
    if visible is not None:
        named = _named(visible, devices)
        gpus = [gpu for gpu in found if gpu in named]
        if len(gpus) < len(found):
            hidden = "the others" if gpus else "all"
            left_out.append(f"{_VISIBLE} is {visible!r}, and hides {hidden}")
    if gpus:
        names = ", ".join(f"{gpu.label} ({gpu.model})" for gpu in gpus)
        notes = [f"GPUs: {names}", *left_out]
    else:
        notes = ["no GPU is offered" if found else NONE_FOUND, *left_out]
    return Inventory(tuple(gpus), note="; ".join(notes))


def _named(visible: str, devices: Sequence[_Device]) -> set[Gpu]:
    """Return the GPUs that a list names by NVML's index, by UUID or by the beginning of one.

    As for CUDA, the list ends with the first name that fits none or several.
    """
    named: set[Gpu] = set()
    for name in map(str.strip, visible.split(",")):
        if name.startswith("MIG-"):
            fit = [{gpu} for device in devices for gpu in device.parts if gpu.id.startswith(name)]
        else:
            fit = [set(device.parts) for device in devices if _fits(name, device)]
        if len(fit) != 1:
            break
        named |= fit[0]
    return named


def _fits(name: str, device: _Device) -> bool:
    return name == str(device.index) or (name.startswith("GPU-") and device.uuid.startswith(name))


def _parts(nvml: Any, device: Any, label: str) -> Iterator[Gpu]:
    """Yield the GPU itself, or its slices: in MIG mode CUDA takes only these."""
    if not _is_sliced(nvml, device):
        yield _gpu(nvml, device, label)
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index)
        except nvml.NVMLError_NotFound:
            continue  # there may be fewer than the most there could be, with gaps
        yield _gpu(nvml, part, f"{label} slice {index}")


def _gpu(nvml: Any, device: Any, label: str) -> Gpu:
    return Gpu(nvml.nvmlDeviceGetUUID(device), label, nvml.nvmlDeviceGetName(device))


def _is_sliced(nvml: Any, device: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(device)
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound):
        return False  # most models, and drivers that are older than MIG
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)
