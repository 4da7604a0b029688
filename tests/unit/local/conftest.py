import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder like /run/lock, in memory; that of pytest is closed to other users."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)
