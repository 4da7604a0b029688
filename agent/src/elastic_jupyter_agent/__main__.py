"""``python -m elastic_jupyter_agent``: be ipykernel in this process, and call home.

The environment says all that it needs: ``ELASTIC_JUPYTER_CONNECTION`` is the connection file's
content, ``ELASTIC_JUPYTER_CALL_HOME`` says whom to call and may be missing. Both are taken out of
``os.environ``, so that cells and the processes that they start do not inherit them. It hides
nothing: /proc/self/environ still has them, and user code may know the keys of its own kernel.
Arguments are passed on to ipykernel.
"""

import os
import sys

if __name__ == "__main__":
    # As ipykernel_launcher does: a file of the user's must not stand in for a library's module.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]

    from functools import partial

    from elastic_jupyter_agent import home, kernel

    call = partial(home.call_in_background, os.environ.pop("ELASTIC_JUPYTER_CALL_HOME", ""))
    connection = os.environ.pop("ELASTIC_JUPYTER_CONNECTION")
    kernel.run(connection, sys.argv[1:], on_bound=call)
