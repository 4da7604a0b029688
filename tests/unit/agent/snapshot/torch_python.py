"""An interpreter with torch on the CPU. PyPI's wheels bring gigabytes of CUDA; Debian's package
(python3-torch) does not, so its Python gets what a kernel needs beside it.
"""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

_DEBIANS = "/usr/bin/python3"
_ROOT = Path(__file__).parents[4]
#: Of requirements/dev.txt.
_NEEDED = ("blake3", "ipykernel", "cloudpickle", "xxhash", "zstandard")


@functools.cache
def python_with_torch() -> str:
    """Return the path of an interpreter with torch and ipykernel; skips where there is no torch."""
    has = subprocess.run([_DEBIANS, "-c", "import torch"], capture_output=True, check=False)
    if has.returncode:
        pytest.skip("torch is not installed: devcluster/packages.sh python3-torch")
    folder = Path(sys.prefix) / "with-torch"
    python = folder / "bin/python"
    uv = [str(Path(sys.prefix) / "bin/uv")]
    if not python.exists():
        made = ["venv", "--quiet", "--system-site-packages", "--python", _DEBIANS, str(folder)]
        subprocess.run(uv + made, check=True)
    pins = ["-c", str(_ROOT / "requirements/dev.txt")]
    install = ["pip", "install", "--quiet", "--python", str(python), *pins, *_NEEDED]
    subprocess.run(uv + install, check=True)
    return str(python)
