import logging
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.local import gpus
from elastic_jupyter.local.gpus import Gpu, Inventory


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


class FunctionNotFound(NVMLError):
    pass


class NotFound(NVMLError):
    pass


class LibraryNotFound(NVMLError):
    pass


class DriverNotLoaded(NVMLError):
    pass


@dataclass
class Device:
    """A GPU as NVML shows it. ``slices`` None: it knows no MIG; a slice None: a gap.

    ``old``: its driver is older than MIG.
    """

    uuid: str
    slices: list[str | None] | None = None
    mig: bool = False
    broken: str = ""
    old: bool = False
    model: str = "A100"


@dataclass
class FakeNvml:
    """As much of pynvml as we call, with its names."""

    devices: list[Device] = field(default_factory=list)
    init: Exception | None = None
    count: Exception | None = None
    open: bool = False

    NVML_DEVICE_MIG_ENABLE = 1
    NVMLError = NVMLError
    NVMLError_NotSupported = NotSupported
    NVMLError_FunctionNotFound = FunctionNotFound
    NVMLError_NotFound = NotFound
    NVMLError_LibraryNotFound = LibraryNotFound
    NVMLError_DriverNotLoaded = DriverNotLoaded

    def nvmlInit(self) -> None:
        if self.init:
            raise self.init
        self.open = True

    def nvmlShutdown(self) -> None:
        self.open = False

    def nvmlDeviceGetCount(self) -> int:
        if self.count:
            raise self.count
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        return self.devices[index]

    def nvmlDeviceGetUUID(self, device: Device) -> str:
        if device.broken:
            raise NVMLError(device.broken)
        return device.uuid

    def nvmlDeviceGetName(self, device: Device) -> str:
        return device.model

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:
        if device.old:
            raise FunctionNotFound("Function Not Found")
        if device.slices is None:
            raise NotSupported("Not Supported")
        return [int(device.mig), int(device.mig)]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return len(device.slices or ())

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        assert device.slices is not None
        uuid = device.slices[index]
        if uuid is None:
            raise NotFound("Not Found")
        return Device(uuid, model="A100 1g.5gb")


PLAIN = Device("GPU-a")
NONE = Inventory(note="no GPU was found")
SLICED = Device("GPU-b", mig=True, slices=["MIG-1", None, "MIG-2"])


@pytest.mark.parametrize(
    ("nvml", "want"),
    [
        pytest.param(FakeNvml(), NONE, id="none there"),
        pytest.param(
            FakeNvml([PLAIN, Device("GPU-c", slices=["MIG-9"])]),
            Inventory(
                (Gpu("GPU-a", "GPU 0", "A100"), Gpu("GPU-c", "GPU 1", "A100")),
                note="GPUs: GPU 0 (A100), GPU 1 (A100)",
            ),
            id="whole where MIG is unknown or off",
        ),
        pytest.param(
            FakeNvml([Device("GPU-a", old=True)]),
            Inventory((Gpu("GPU-a", "GPU 0", "A100"),), note="GPUs: GPU 0 (A100)"),
            id="whole where the driver is older than MIG",
        ),
        pytest.param(
            FakeNvml([PLAIN, SLICED]),
            Inventory(
                (
                    Gpu("GPU-a", "GPU 0", "A100"),
                    Gpu("MIG-1", "GPU 1 slice 0", "A100 1g.5gb"),
                    Gpu("MIG-2", "GPU 1 slice 2", "A100 1g.5gb"),
                ),
                note="GPUs: GPU 0 (A100), GPU 1 slice 0 (A100 1g.5gb), GPU 1 slice 2 (A100 1g.5gb)",
            ),
            id="as its slices where MIG is on",
        ),
        pytest.param(
            FakeNvml([Device("GPU-d", mig=True, slices=[None])]),
            Inventory(
                note="no GPU was found; GPU 0 is left out: it is in MIG mode and has no slices"
            ),
            id="MIG on and nothing cut yet",
        ),
        pytest.param(
            FakeNvml([Device("GPU-e", broken="it is lost"), PLAIN]),
            Inventory(
                (Gpu("GPU-a", "GPU 1", "A100"),),
                note="GPUs: GPU 1 (A100); GPU 0 is left out: the NVIDIA driver answers: it is lost",
            ),
            id="a broken one takes no other with it",
        ),
        pytest.param(
            FakeNvml(init=NVMLError("Driver/library version mismatch")),
            Inventory(
                note="no GPU is offered: the NVIDIA driver answers: Driver/library version mismatch"
            ),
            id="a driver that was updated without a reboot is told",
        ),
        pytest.param(
            FakeNvml([PLAIN], count=NVMLError("Unknown Error")),
            Inventory(note="no GPU is offered: the NVIDIA driver cannot count them: Unknown Error"),
            id="an error while counting",
        ),
        pytest.param(
            FakeNvml(init=LibraryNotFound()),
            Inventory(note="no GPU was found"),
            id="no driver installed",
        ),
        pytest.param(
            FakeNvml(init=DriverNotLoaded()),
            Inventory(note="no GPU was found"),
            id="driver not loaded",
        ),
    ],
)
def test_what_nvml_finds_is_offered(
    nvml: FakeNvml, want: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    assert gpus.inventory("auto", {}) == want
    assert not nvml.open


@pytest.mark.parametrize(
    ("visible", "want"),
    [
        pytest.param("0", ["GPU 0"], id="a number"),
        pytest.param("2, 0", ["GPU 0", "GPU 2"], id="several, in any order"),
        pytest.param("0,0", ["GPU 0"], id="one twice"),
        pytest.param("GPU-aa11", ["GPU 0"], id="a UUID"),
        pytest.param("GPU-aa", ["GPU 0"], id="the beginning of a UUID"),
        pytest.param("GPU-,0", [], id="a beginning of several names none and ends the list"),
        pytest.param("1", ["GPU 1 slice 0", "GPU 1 slice 1"], id="all slices of a GPU"),
        pytest.param("GPU-bb", ["GPU 1 slice 0", "GPU 1 slice 1"], id="all slices by its UUID"),
        pytest.param("MIG-2,2", ["GPU 1 slice 1", "GPU 2"], id="one slice"),
        pytest.param("", [], id="empty"),
        pytest.param("-1", [], id="none"),
        pytest.param("NoDevFiles", [], id="none, as Slurm writes it"),
        pytest.param("0,9,2", ["GPU 0"], id="what is not there ends the list, as for CUDA"),
    ],
)
def test_what_is_hidden_from_us_is_not_offered(
    visible: str, want: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sliced = Device("GPU-bb22", mig=True, slices=["MIG-1", "MIG-2"])
    nvml = FakeNvml([Device("GPU-aa11"), sliced, Device("GPU-ac33")])
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = gpus.inventory("auto")
    assert [gpu.label for gpu in found.gpus] == want
    hidden = "the others" if want else "all"
    assert found.note.endswith(f"; CUDA_VISIBLE_DEVICES is '{visible}', and hides {hidden}")
    assert found.note.startswith("GPUs: " if want else "no GPU is offered; ")


def test_a_machine_whose_gpus_are_all_visible_says_nothing_of_hidden_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml([PLAIN]))  # type: ignore[arg-type]
    assert gpus.inventory("auto", {"CUDA_VISIBLE_DEVICES": "0"}).note == "GPUs: GPU 0 (A100)"
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())  # type: ignore[arg-type]
    assert gpus.inventory("auto", {"CUDA_VISIBLE_DEVICES": ""}) == NONE


def test_stand_ins_are_no_hardware_that_could_be_hidden() -> None:
    assert len(gpus.inventory(2, {"CUDA_VISIBLE_DEVICES": ""}).gpus) == 2


def test_without_the_library_there_is_no_gpu_and_no_noise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with caplog.at_level(logging.INFO):
        assert gpus.inventory("auto") == NONE
    assert not caplog.records


def test_the_real_library_is_asked_by_the_right_names() -> None:
    pynvml: Any = pytest.importorskip("pynvml")
    ours = [name for name in vars(FakeNvml) if name.lower().startswith("nvml")]
    assert len(ours) > 8
    assert [name for name in ours if not hasattr(pynvml, name)] == []


@pytest.mark.parametrize(("number", "want"), [(0, ""), (1, "1 stand-in for"), (2, "2 stand-ins")])
def test_stand_ins_say_that_they_are_no_hardware(number: int, want: str) -> None:
    found = gpus.inventory(number)
    assert [gpu.label for gpu in found.gpus] == [f"stand-in {n}" for n in range(number)]
    assert found.note.startswith(want)
    assert bool(found.note) == bool(number)


def test_a_negative_number_of_stand_ins_is_refused() -> None:
    with pytest.raises(ConfigError, match="gpus: -1"):
        gpus.inventory(-1)


def test_a_process_sees_its_gpus_and_no_other() -> None:
    one, other = Gpu("GPU-a", "GPU 0"), Gpu("MIG-1", "GPU 1 slice 0")
    hardware = Inventory((one, other))
    assert hardware.env([one, other]) == {"CUDA_VISIBLE_DEVICES": "GPU-a,MIG-1"}
    assert hardware.env([]) == {"CUDA_VISIBLE_DEVICES": ""}
    stand_ins = gpus.inventory(1)
    assert stand_ins.env(stand_ins.gpus) == {"CUDA_VISIBLE_DEVICES": ""}
