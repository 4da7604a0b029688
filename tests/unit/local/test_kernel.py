"""The life of kernels on one machine, with real processes."""

import pytest

from tests.support.one_machine import OneMachine

STAYS = "import time\nprint('here', flush=True)\ntime.sleep(600)"


def condition(status: dict, kind: str = "Running") -> dict:
    return next(one for one in status["conditions"] if one["type"] == kind)


async def test_a_kernel_runs_and_has_an_address(machine: OneMachine) -> None:
    machine.start()
    key = await machine.run(STAYS)
    status = await machine.until_phase(key, "Running")
    assert status["podIP"].startswith("127.")
    assert status["podName"] == "jovyan-1"
    assert status["epoch"] == 1
    assert condition(status)["reason"] == "Started"
    await machine.until_processes(1)


@pytest.mark.parametrize(
    ("code", "phase", "reason", "message"),
    [
        pytest.param(
            "raise SystemExit(0)",
            "Succeeded",
            "Completed",
            "the kernel's process ended with exit code 0",
            id="ends by itself",
        ),
        pytest.param(
            "print('no more'); raise SystemExit(3)",
            "Failed",
            "Error",
            "the kernel's process ended with exit code 3: no more",
            id="ends with an exit code",
        ),
        pytest.param(
            "import os\nprint('last words'); os.kill(os.getpid(), 11)",
            "Failed",
            "Error",
            "the kernel's process ended with exit code 139 (SIGSEGV): last words",
            id="crashes",
        ),
        pytest.param(
            "import os\nos.kill(os.getpid(), 9)",
            "Failed",
            "Error",
            "the kernel's process ended with exit code 137 (SIGKILL)",
            id="is killed",
        ),
    ],
)
async def test_its_user_reads_how_a_kernel_ended(
    machine: OneMachine, code: str, phase: str, reason: str, message: str
) -> None:
    machine.start()
    key = await machine.run(code)
    status = await machine.until_phase(key, phase)
    assert (condition(status, phase)["reason"], condition(status, phase)["message"]) == (
        reason,
        message,
    )
