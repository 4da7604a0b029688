"""``python -m elastic_jupyter.local.tied <module> ...``: run a module, and end with its parent.

A gateway or a notebook server whose supervisor was killed would hold its port, and serve tabs
that nobody looks after. The kernel of the system ends it (prctl, PR_SET_PDEATHSIG).
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Have this process killed when ``parent`` ends; end at once if it has already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    tie(int(os.environ.pop("ELASTIC_JUPYTER_SUPERVISOR")))
    del sys.argv[0]
    if sys.path[0] in ("", os.getcwd()):  # the working directory is the user's, not ours
        del sys.path[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
