"""The words for how a process ended; those that a real one leads to are in test_kernel.py."""

import pytest

from elastic_jupyter.local import sight
from elastic_jupyter.local.sight import End
from elastic_jupyter.policy.lifecycle import Sight, Sighting

FAILED, LOST = Sight.FAILED, Sight.LOST


@pytest.mark.parametrize(
    ("end", "memory", "want"),
    [
        pytest.param(
            End(0, "bye"),
            None,
            Sighting(
                Sight.SUCCEEDED, "Completed", "the kernel's process ended with exit code 0", "ip"
            ),
            id="an end in order has no last words",
        ),
        pytest.param(
            End(-9, "words", out_of_memory=True),
            "1Gi",
            Sighting(
                FAILED,
                "OOMKilled",
                "the kernel used more memory than its limit of 1Gi and was killed: words",
                "ip",
            ),
            id="out of its memory",
        ),
        pytest.param(
            End(-9, out_of_memory=True),
            None,
            Sighting(
                FAILED,
                "OOMKilled",
                "the kernel has no memory limit of its own and was killed when the memory ran out",
                "ip",
            ),
            id="out of the machine's memory",
        ),
        pytest.param(
            End(137),
            None,
            Sighting(
                FAILED, "Error", "the kernel's process ended with exit code 137 (SIGKILL)", "ip"
            ),
            id="a shell tells of a signal",
        ),
        pytest.param(
            End(None, "words"),
            None,
            Sighting(
                FAILED,
                "ProcessGone",
                "the kernel's process ended, with which exit code is not known: elastic-jupyter "
                "was started again after the kernel: words",
                "ip",
            ),
            id="nobody knows the code",
        ),
    ],
)
def test_how_a_process_ended(end: End, memory: str | None, want: Sighting) -> None:
    assert sight.ended(end, ip="ip", memory=memory) == want


def test_an_end_that_nobody_saw() -> None:
    assert sight.lost("words") == Sighting(
        LOST,
        "ProcessGone",
        "the kernel's process is gone; elastic-jupyter was not running when it ended: words",
    )
