"""``python -m elastic_jupyter_agent``: call home, and be ipykernel in this process.

The environment says all that it needs, and is cleared of it before user code can see it:
``ELASTIC_JUPYTER_CONNECTION`` is the connection file's content, ``ELASTIC_JUPYTER_CALL_HOME`` says
whom to call and may be missing. Arguments are passed on to ipykernel.
"""

import os
import sys

if __name__ == "__main__":
    # As ipykernel_launcher does: a file of the user's must not stand in for a library's module.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]

    from elastic_jupyter_agent import home, kernel

    home.call_in_background(os.environ.pop("ELASTIC_JUPYTER_CALL_HOME", ""))
    kernel.run(os.environ.pop("ELASTIC_JUPYTER_CONNECTION"), sys.argv[1:])
