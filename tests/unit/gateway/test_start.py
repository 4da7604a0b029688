"""What the gateway's process does before it serves."""

import subprocess
import sys

_START = """
import contextlib, sys
from elastic_jupyter.gateway.__main__ import main
with contextlib.suppress(SystemExit):  # no environment says what it is the gateway of
    main()
print([name for name in ("jsonschema", "jupyter_events", "lark") if name in sys.modules])
"""


def test_the_parsers_of_a_format_that_nobody_uses_are_not_made() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _START], capture_output=True, text=True, env={}, check=True
    )
    assert done.stderr.startswith("elastic-jupyter-gateway: "), "it did not come to its settings"
    assert done.stdout == "['jsonschema', 'jupyter_events']\n"
