"""A file system that the operating system makes read-only under a running ``up``, for an error."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.typed import refused, typed


class FailingDisk:
    """An ext4 in a file; with its first error it becomes read-only, whoever writes to it."""

    def __init__(self, root: Path) -> None:
        self._image, self.folder = root / "image", root / "disk"
        self._image.touch()
        self.folder.mkdir()
        with self._image.open("r+b") as image:
            image.truncate(64 << 20)
        _do("mkfs.ext4", "-q", self._image)
        self.mount()

    def mount(self) -> None:
        _do("mount", "-o", "loop,errors=remount-ro", self._image, self.folder)

    def fail(self) -> None:
        """Have an error seen, after all that was written so far is on the disk."""
        _do("sync", "--file-system", self.folder)
        device = Path(_do("findmnt", "-no", "SOURCE", self.folder)).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """What an administrator does."""
        _do("umount", self.folder)
        repaired = subprocess.run(["fsck.ext4", "-fp", self._image], capture_output=True)
        assert repaired.returncode in (0, 1), repaired.stdout
        self.mount()

    def unmount(self) -> None:
        _do("umount", "--lazy", self.folder)


def _do(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    try:
        made = FailingDisk(tmp_path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file can be mounted here: {error.stderr}")
    yield made
    made.unmount()


def test_a_disk_that_becomes_read_only_ends_no_kernel_and_is_told(
    new_machine: Callable[..., Machine], disk: FailingDisk
) -> None:
    state = disk.folder / "state"
    machine = new_machine(state=state).up()
    tab = machine.server.open()
    assert tab.run("x = 41; x", within=60).result == "41"

    disk.fail()
    assert tab.run("x + 1").result == "42"
    told = f"{state}/objects.db: it cannot be written: check its mode and its file system"
    assert told in refused(machine, "release", tab.session["path"])
    assert "Running" in typed(machine, "status").stdout
    assert tab.run("x + 1").result == "42"
    machine.signal()
    assert machine.wait() == 0
    machine.all_gone()
    machine.spawn()
    assert machine.wait(within=60) == 2
    assert f"the state directory {state} cannot be written (Read-only file system)" in machine.said

    disk.repair()
    machine.up()
    again = machine.server.attach(tab.session)
    said = again.run("'x' in globals()", within=60)
    assert said.result == "False"
    assert "its variables are gone" in said.text
