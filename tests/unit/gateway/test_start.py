"""What the gateway's process does before it serves."""

import subprocess
import sys
from pathlib import Path

_START = """
import contextlib, sys
from elastic_jupyter.gateway.__main__ import main
with contextlib.suppress(SystemExit):  # no environment says what it is the gateway of
    main()
print([name for name in ("jsonschema", "jupyter_events") if name in sys.modules])
import rfc3987_syntax
"""


def test_the_parsers_of_a_format_that_nobody_uses_are_not_made(tmp_path: Path) -> None:
    """They are not there for jsonschema, whose versions from 4.25 on would make them."""
    (tmp_path / "rfc3987_syntax.py").write_text("print('made')")
    done = subprocess.run(
        [sys.executable, "-c", _START],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stderr.startswith("elastic-jupyter-gateway: "), "it did not come to its settings"
    assert done.stdout == "['jsonschema', 'jupyter_events']\n"
    assert "ModuleNotFoundError: import of rfc3987_syntax halted" in done.stderr
