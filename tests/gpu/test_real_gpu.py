"""A GPU of hardware, as CUDA and its driver see it: ``make gpu-tests``, where there is one.

No part of ``make test``, whose stand-ins show all but this: that a kernel sees the GPU it was
leased and no other, that it is kept while that computes, and that the driver has all memory back
when it is reclaimed.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from elastic_jupyter.local.gpus import Gpu
from tests.gpu.memory import given_back, used
from tests.scenarios.idle_or_not import activity, kept_beyond
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.machine import Machine, a_machine
from tests.support.typed import told

IDLE = 5.0
#: Seconds for which a GPU computes what a cell has queued: some deadlines long.
WORK = 15
#: What a cell of a user who has no framework can ask of CUDA's driver.
CUDA = '''
import ctypes, os, shlex, sys, uuid
cuda = ctypes.CDLL("libcuda.so.1")

def gpus():
    if (code := cuda.cuInit(0)) == 100:  # CUDA_ERROR_NO_DEVICE
        return []
    assert code == 0, code
    count, found, device = ctypes.c_int(), (ctypes.c_ubyte * 16)(), ctypes.c_int()
    assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    uuids = []
    for number in range(count.value):
        assert cuda.cuDeviceGet(ctypes.byref(device), number) == 0
        assert cuda.cuDeviceGetUuid_v2(ctypes.byref(found), device) == 0
        uuids.append(str(uuid.UUID(bytes=bytes(found))))
    return uuids

def begin():
    assert cuda.cuInit(0) == 0
    context = ctypes.c_void_p()
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert cuda.cuCtxSetCurrent(context) == 0

def fill(mib):
    begin()
    memory, size = ctypes.c_uint64(), mib << 20
    assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size)) == 0
    assert cuda.cuMemsetD8_v2(memory, ctypes.c_ubyte(7), ctypes.c_size_t(size)) == 0
    last, end = ctypes.c_ubyte(), ctypes.c_uint64(memory.value + size - 1)
    assert cuda.cuMemcpyDtoH_v2(ctypes.byref(last), end, ctypes.c_size_t(1)) == 0
    return last.value

SPIN = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 nanoseconds)
{
    .reg .u64 %now, %end;
    .reg .pred %early;
    ld.param.u64 %end, [nanoseconds];
    mov.u64 %now, %globaltimer;
    add.u64 %end, %end, %now;
again:
    mov.u64 %now, %globaltimer;
    setp.lt.u64 %early, %now, %end;
    @%early bra again;
    ret;
}
"""

def spin(seconds):  # queues it and returns
    begin()
    module, entry = ctypes.c_void_p(), ctypes.c_void_p()
    assert cuda.cuModuleLoadData(ctypes.byref(module), SPIN) == 0
    assert cuda.cuModuleGetFunction(ctypes.byref(entry), module, b"spin") == 0
    length = ctypes.c_uint64(int(seconds * 1e9))
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(length))
    assert cuda.cuLaunchKernel(entry, 1, 1, 1, 1, 1, 1, 0, None, arguments, None) == 0
'''
#: What computes, and then holds its memory until it is ended.
DAEMON = f"{CUDA}\nimport signal\nfill(256)\nspin({WORK})\nsignal.pause()"
#: Expressions after whose end a GPU computes.
QUEUES = {
    "what it queued": f"[fill(256), spin({WORK})]",
    "a daemon": f"os.system(shlex.join(['setsid', '--fork', sys.executable, '-c', {DAEMON!r}]))",
}


@pytest.fixture
def machine(tmp_path: Path, gpus: tuple[Gpu, ...]) -> Iterator[Machine]:
    """An ``up`` that found them by itself, and reclaims after seconds."""
    with a_machine(tmp_path / "one", leases=tmp_path / "leases", idle=IDLE, gpus="auto") as machine:
        yield machine.up()


def ask(tab: Tab, code: str) -> Any:
    """Run code that defines what CUDA can be asked, then an expression, and return its value."""
    cell = tab.start(f"{CUDA}\nimport json\nprint(json.dumps({code}))")
    cell.wait(within=60)
    return json.loads(cell.stdout.splitlines()[-1])


def test_a_kernel_without_a_gpu_sees_none(machine: Machine) -> None:
    with machine.server.notebook() as tab:
        assert ask(tab, "gpus()") == []


def test_up_names_the_gpus(machine: Machine, gpus: tuple[Gpu, ...]) -> None:
    for gpu in gpus:
        assert f"{gpu.label} ({gpu.model})" in machine.said


def test_each_kernel_sees_the_gpu_that_it_was_leased_and_its_memory_goes_round(
    machine: Machine, gpus: tuple[Gpu, ...]
) -> None:
    before = used(gpus)
    with ExitStack() as stack:
        tabs = [stack.enter_context(machine.server.notebook(machine.gpu)) for _ in gpus]
        seen = [ask(tab, "gpus()") for tab in tabs]
        assert all(len(uuids) == 1 for uuids in seen)
        assert sorted(f"GPU-{uuids[0]}" for uuids in seen) == sorted(gpu.id for gpu in gpus)
        assert [ask(tab, "fill(1024)") for tab in tabs] == [7] * len(tabs)
        assert used(gpus) >= before + 1024 * len(gpus)

        late = stack.enter_context(machine.server.notebook(machine.gpu))
        asked = time.monotonic()
        cell = late.start(f"{CUDA}\n(len(gpus()), fill(1024))")
        cell.until(
            lambda cell: any(gpus[0].label in text for text in cell.displayed),
            within=15,
            what="the waiting text, which names the GPU",
        )
        cell.wait(within=IDLE + machine.slack + 30)
        assert cell.result == "(1, 7)"
        print(f"waited {time.monotonic() - asked:.1f} s for a GPU, idle limit {IDLE:.0f} s")

        machine.kill_kernel(late)
        given_back(before, gpus, within=IDLE + machine.slack + 10)


def test_an_end_in_any_way_gives_the_memory_back(tmp_path: Path, gpus: tuple[Gpu, ...]) -> None:
    before = used(gpus)
    ends: dict[str, Callable[[Machine, Tab], Any]] = {
        "kernel killed": lambda machine, tab: machine.kill_kernel(tab),
        "kernel restarted": lambda machine, tab: tab.restart(),
        "Ctrl-C": lambda machine, tab: (machine.signal(), machine.wait()),
    }
    for name, end in ends.items():
        with a_machine(tmp_path / name, leases=tmp_path / "leases", gpus="auto") as machine:
            tab = machine.up().server.open(machine.gpu)
            assert ask(tab, "fill(2048)") == 7
            assert used(gpus) >= before + 2048
            end(machine, tab)
            given_back(before, gpus, within=10)


@pytest.mark.parametrize("expression", QUEUES.values(), ids=QUEUES)
def test_a_gpu_that_computes_keeps_its_kernel_until_it_has_done_so(
    machine: Machine, gpus: tuple[Gpu, ...], expression: str
) -> None:
    before = used(gpus)
    with machine.server.notebook(machine.gpu) as tab:
        [uuid] = ask(tab, "gpus()")
        [label] = [gpu.label for gpu in gpus if gpu.id == f"GPU-{uuid}"]
        done_at = time.monotonic() + WORK
        ask(tab, expression)
        said = eventually(
            lambda: activity(machine, tab),
            lambda said: bool(said.get("leftRunning")) and kept_beyond(machine, said),
            within=WORK,
            what="kept at its deadline",
        )
        assert [left.partition(" at ")[0] for left in said["leftRunning"]] == [f"work on '{label}"]
        kept = f"It is kept, for this runs: work on '{label} at "
        assert kept in told(machine, "why", tab.kernel_id)
        machine.reclaimed(tab, within=WORK + 2 * IDLE + machine.slack)
        assert time.monotonic() > done_at, "it was reclaimed while its GPU computed"
        given_back(before, gpus, within=10)
