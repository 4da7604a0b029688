"""Cases are saved by one process and restored by another: a side each."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
Seen = dict[str, dict[str, Any]]


def one_side(
    side: str, folder: Path, *, python: str = sys.executable, environment: Mapping[str, str] = {}
) -> Seen:
    """Save or restore the cases of ``folder/cases.json`` in ``folder/work``.

    Returns what was seen of each by its id; of all that a process did not come to, how it ended.
    """
    own = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent/src")]),
        "MPLCONFIGDIR": str(folder),
        "IPYTHONDIR": str(folder),
    }
    inherited = {**os.environ, **own, **environment}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # both sides import the same libraries
    work = folder / "work"
    work.mkdir(exist_ok=True)
    done = subprocess.run(
        [python, "-m", "tests.unit.agent.snapshot.child", side, str(folder)],
        cwd=work,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    seen = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ended = {"raised": f"the process ended with {done.returncode}: {done.stderr[-2000:]}"}
    cases = json.loads((folder / "cases.json").read_text())
    return {case["id"]: ended for case in cases} | {one["id"]: one for one in seen}
