"""Which GPUs work for a kernel. NVML itself is asked in tests/gpu; here is a stand-in for it."""

import ctypes
import os
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from elastic_jupyter_agent import gpus
from elastic_jupyter_agent.gpus import Use
from tests.support.eventually import eventually

MINE, OTHER, ME = 11, 12, os.getpid()
NOT_SUPPORTED, NOT_FOUND = 3, 6


@pytest.mark.parametrize(
    ("visible", "want"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("NoDevFiles", []),
        ("-1", []),
        ("1", [1]),
        ("2, 0", [2, 0]),
        ("0,7,1", [0]),
        ("GPU-bb", [1]),
        ("GPU-aa2,GPU-bb1", [2, 1]),
        ("GPU-aa", []),
        ("GPU-cc,0", []),
        ("MIG-GPU-bb1/1/0", []),
        ("MIG-1,GPU-bb1", [1]),
    ],
)
def test_a_kernel_has_the_gpus_that_cuda_shows_it(visible: str | None, want: list[int]) -> None:
    assert gpus.chosen(visible, ["GPU-aa1", "GPU-bb1", "GPU-aa2"]) == want


def held(*pids: int) -> frozenset[int]:
    return frozenset(pids)


@pytest.mark.parametrize(
    ("use", "want"),
    [
        pytest.param(Use(0, {}, held(MINE)), False, id="memory that is only held"),
        pytest.param(Use(9, {MINE: 9}, held(MINE)), True, id="the kernel computes"),
        pytest.param(Use(9, {OTHER: 9}, held(MINE, OTHER)), False, id="another computes"),
        pytest.param(Use(9, {OTHER: 9, MINE: 0}, held(MINE)), False, id="and the kernel does not"),
        pytest.param(Use(9, {OTHER: 4, MINE: 5}, held(MINE)), True, id="both compute"),
        pytest.param(Use(9, {}, held(MINE)), True, id="not told who, the kernel can"),
        pytest.param(Use(9, {}, held(OTHER)), False, id="not told who, the kernel cannot"),
        pytest.param(Use(9, {}, held()), False, id="nobody can"),
        pytest.param(Use(9, {}, None), True, id="nothing is told of processes"),
    ],
)
def test_a_gpu_works_for_the_kernel_if_its_processes_compute(use: Use, *, want: bool) -> None:
    assert gpus.is_own(use, own={MINE}.__contains__, same_pids=True) is want


@pytest.mark.parametrize(
    ("use", "want"),
    [
        pytest.param(Use(0, {}, held(MINE)), False, id="memory that is only held"),
        pytest.param(Use(9, {4711: 9}, held(MINE)), True, id="the host's pids compute"),
        pytest.param(Use(9, {4711: 9}, held()), False, id="nobody in the container can"),
        pytest.param(Use(9, {}, held(OTHER)), True, id="another process of the container can"),
        pytest.param(Use(9, {4711: 9}, None), True, id="not told who can"),
    ],
)
def test_in_a_container_a_gpu_works_for_who_holds_it_there(use: Use, *, want: bool) -> None:
    assert gpus.is_own(use, own={MINE}.__contains__, same_pids=False) is want


@dataclass
class Device:
    """A GPU as NVML shows it; a number in place of an answer is the error that is one."""

    uuid: str = "GPU-a"
    percent: int = 0
    shares: dict[int, int] = field(default_factory=dict)
    holders: frozenset[int] = held()
    broken: int = 0
    utilization: int = 0
    samples: int = 0


class FakeNvml:
    """As much of the C library as is called, with its names and where it writes its answers."""

    def __init__(self, *devices: Device, init: int = 0) -> None:
        self.devices, self.init, self.open = devices, init, 0
        self.silent = threading.Event()
        self.silent.set()

    def nvmlInit_v2(self) -> int:
        self.silent.wait()
        self.open += not self.init
        return self.init

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.devices)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        if not self.devices[index.value].broken:
            handle._obj.value = index.value + 1
        return self.devices[index.value].broken

    def nvmlDeviceGetUUID(self, handle: Any, text: Any, length: Any) -> int:
        text.value = self._of(handle).uuid.encode()
        assert length.value == len(text)
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:
        rates._obj.gpu = self._of(handle).percent
        return self._of(handle).utilization

    def nvmlDeviceGetProcessUtilization(
        self, handle: Any, samples: Any, count: Any, since: Any
    ) -> int:
        assert since.value > 1e15, "microseconds"
        shares = self._of(handle).shares
        for sample, (pid, percent) in zip(samples, shares.items(), strict=False):
            sample.pid, sample.smUtil, sample.timeStamp = pid, percent, since.value
        count._obj.value = len(shares)
        return self._of(handle).samples or (0 if shares else NOT_FOUND)

    def nvmlDeviceGetComputeRunningProcesses_v3(
        self, handle: Any, count: Any, processes: Any
    ) -> int:
        holders = self._of(handle).holders
        for process, pid in zip(processes, holders, strict=False):
            process.pid = pid
        count._obj.value = len(holders)
        return 0

    def _of(self, handle: Any) -> Device:
        return self.devices[handle.value - 1]


def at_work(nvml: Any, **environ: str) -> list[str]:
    return gpus.at_work(environ, lambda: nvml)


@pytest.fixture(autouse=True)
def on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a container, and tell of the other case by themselves."""
    monkeypatch.setattr(gpus, "_driver_knows_our_pids", lambda: True)


def test_a_gpu_that_computes_is_named_and_nothing_stays_open() -> None:
    busy = Device("GPU-b", 87, {ME: 80}, held(ME))
    nvml = FakeNvml(Device("GPU-a", 50, {OTHER: 50}), busy, Device("GPU-c", holders=held(ME)))
    assert at_work(nvml) == ["GPU 1 at 87 %"]
    assert at_work(nvml, CUDA_VISIBLE_DEVICES="GPU-c,GPU-b") == ["GPU 1 at 87 %"]
    assert at_work(nvml, CUDA_VISIBLE_DEVICES="GPU-a,GPU-c") == []
    assert nvml.open == 0


def test_a_gpu_that_pauses_between_two_steps_is_at_work() -> None:
    assert at_work(FakeNvml(Device("GPU-a", 0, {ME: 80}, held(ME)))) == ["GPU 0 at 80 %"]


def test_a_share_that_cannot_be_counts_for_nothing() -> None:
    assert at_work(FakeNvml(Device("GPU-a", 0, {ME: 4_000_000_000}, held(ME)))) == []


def test_a_kernel_without_a_gpu_does_not_ask() -> None:
    def load() -> Any:
        raise AssertionError("the driver's library was loaded")

    assert gpus.at_work({"CUDA_VISIBLE_DEVICES": ""}, load) == []


def test_in_a_container_pids_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_driver_knows_our_pids", lambda: False)
    assert at_work(FakeNvml(Device("GPU-a", 7, {4711: 7}, held(3)))) == ["GPU 0 at 7 %"]
    assert at_work(FakeNvml(Device("GPU-a", 7, {4711: 7}, held()))) == []


@pytest.mark.parametrize(
    ("nvml", "want"),
    [
        (FakeNvml(init=9), []),
        (FakeNvml(Device(percent=9, utilization=NOT_SUPPORTED)), []),
        (FakeNvml(Device(percent=9, broken=15), Device("GPU-b", 8, {ME: 8})), ["GPU 1 at 8 %"]),
        (FakeNvml(Device(percent=9, samples=NOT_SUPPORTED, holders=held(ME))), ["GPU 0 at 9 %"]),
        (FakeNvml(Device(percent=9, samples=NOT_SUPPORTED, holders=held(OTHER))), []),
        (object(), []),
    ],
    ids=["no driver", "MIG mode", "one broke", "no samples", "nor do we hold it", "no NVML"],
)
def test_what_the_driver_does_not_tell_is_not_known(nvml: Any, want: list[str]) -> None:
    assert at_work(nvml) == want


def test_a_driver_that_is_silent_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "PATIENCE", 0.05)
    nvml = FakeNvml(Device("GPU-a", 9, {ME: 9}))
    nvml.silent.clear()
    assert at_work(nvml) == []
    asking = gpus._asking
    assert at_work(nvml) == []
    assert gpus._asking is asking, "no second thread waits for it"
    nvml.silent.set()
    monkeypatch.setattr(gpus, "PATIENCE", 10.0)
    assert eventually(lambda: at_work(nvml), bool, within=5, what="it answers") == ["GPU 0 at 9 %"]


def test_a_process_that_is_nobodys_child_is_known_by_what_it_was_started_with() -> None:
    mark = "ELASTIC_JUPYTER_INCARNATION"
    kernel = {mark: "uid.1"}
    with subprocess.Popen(["sleep", "60"], env={**kernel, "PATH": os.environ["PATH"]}) as daemon:
        nvml = FakeNvml(Device("GPU-a", 9, {daemon.pid: 9}))
        assert eventually(lambda: at_work(nvml, **kernel), bool, within=5, what="the daemon's") == [
            "GPU 0 at 9 %"
        ]
        assert at_work(nvml, **{mark: "uid.2"}) == []
        assert at_work(nvml) == []
        daemon.kill()


def test_the_real_library_has_the_same_structures() -> None:
    pynvml: Any = pytest.importorskip("pynvml")
    for ours, theirs in (
        (gpus.Utilization, pynvml.c_nvmlUtilization_t),
        (gpus.Sample, pynvml.c_nvmlProcessUtilizationSample_t),
        (gpus.Process, pynvml.c_nvmlProcessInfo_v3_t),
    ):
        assert ctypes.sizeof(ours) == ctypes.sizeof(theirs)
        for name, _kind in ours._fields_:
            assert getattr(ours, name).offset == getattr(theirs, name).offset


def test_a_machine_without_a_driver_has_no_gpu_at_work() -> None:
    def load() -> Any:
        return ctypes.CDLL("libno-such-driver.so.1")

    assert gpus.at_work({}, load) == []
