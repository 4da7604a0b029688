import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.one_machine import OneMachine, one_machine

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder like /run/lock, in memory; that of pytest is closed to other users."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture
async def machine(tmp_path: Path) -> AsyncIterator[OneMachine]:
    async with one_machine(tmp_path) as machine:
        yield machine
