"""The Python of the tests, where every user of the machine can run it.

The test's own may be below a home directory that is closed to others.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.pages import ROOT


@contextlib.contextmanager
def everybodys_python(folder: Path) -> Iterator[list[str]]:
    """Yield how to call a Python that has all that this one has; ``folder`` is open to all.

    Needs root: what it is made of is mounted there a second time.
    """
    with contextlib.ExitStack() as stack:
        base, environment, source = (
            stack.enter_context(_mounted(path, folder / name))
            for name, path in (
                ("base", Path(sys.base_prefix)),
                ("environment", Path(sys.prefix)),
                ("source", ROOT / "src"),
            )
        )
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        ours = folder / "python"
        packages = ours / "lib" / version / "site-packages"
        packages.mkdir(parents=True)
        installed = environment / packages.relative_to(ours)
        (packages / "all.pth").write_text(f"{installed}\n{source}\n")
        for name in ("share", "etc"):  # what JupyterLab finds beside its packages
            (ours / name).symlink_to(environment / name)
        (ours / "pyvenv.cfg").write_text(f"home = {base / 'bin'}\n")
        python = ours / "bin" / "python"
        python.parent.mkdir()
        python.symlink_to(base / "bin" / version)
        # Its library is looked for where it was installed, and then there.
        yield ["env", f"LD_LIBRARY_PATH={base / 'lib'}", str(python)]


@contextlib.contextmanager
def _mounted(source: Path, target: Path) -> Iterator[Path]:
    target.mkdir()
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "--lazy", target], check=True)
