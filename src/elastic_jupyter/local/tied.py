"""``python -m elastic_jupyter.local.tied [--in-order] <module> ...``: end with the parent process.

A gateway or a notebook server whose supervisor was killed would hold its port, and serve tabs
that nobody looks after. The kernel of the system ends it (prctl, PR_SET_PDEATHSIG): at once, or
``--in-order``, as one must that has processes of its own to end.
"""

import ctypes
import os
import runpy
import signal
import sys

IN_ORDER = "--in-order"
_SUPERVISOR = "ELASTIC_JUPYTER_SUPERVISOR"
_PR_SET_PDEATHSIG = 1


def environment() -> dict[str, str]:
    """Return the variable by which a process that runs this module ends with the present one."""
    return {_SUPERVISOR: str(os.getpid())}


def tie(parent: int, *, by: signal.Signals) -> None:
    """Have this process get the signal when ``parent`` ends; end at once if it has already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, by, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    del sys.argv[0]
    in_order = sys.argv[0] == IN_ORDER
    if in_order:
        del sys.argv[0]
    by = signal.SIGTERM if in_order else signal.SIGKILL
    tie(int(os.environ.pop(_SUPERVISOR)), by=by)
    if sys.path[0] in ("", os.getcwd()):  # the working directory is the user's, not ours
        del sys.path[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
