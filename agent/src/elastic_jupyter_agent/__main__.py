"""``python -m elastic_jupyter_agent -f <connection file>``: call home, and be ipykernel.

Takes the arguments of ``python -m ipykernel_launcher`` and becomes it in this process.
"""

import os
import sys

if __name__ == "__main__":
    # As ipykernel_launcher does: a file of the user's must not stand in for a library's module.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]

    import runpy

    from elastic_jupyter_agent import home

    home.call_in_background(sys.argv)
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
