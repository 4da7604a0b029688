import os
import stat
from pathlib import Path

import pytest

from elastic_jupyter.errors import ConfigError, Unavailable
from elastic_jupyter.local import shared_directory
from elastic_jupyter.local.shared_directory import ANYBODYS, MINE, SharedDirectory


@pytest.fixture
def shared(tmp_path: Path) -> SharedDirectory:
    return SharedDirectory(tmp_path / "shared")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_place_is_the_same_for_all_users(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # root could write there, and others not
    assert shared_directory.path({}, run_lock=tmp_path) == Path("/tmp/elastic-jupyter")
    (tmp_path / "elastic-jupyter").mkdir()  # by the administrator, for all
    assert shared_directory.path({}, run_lock=tmp_path) == tmp_path / "elastic-jupyter"
    (tmp_path / "elastic-jupyter").rmdir()
    tmp_path.chmod(0o1777)
    assert shared_directory.path({}, run_lock=tmp_path) == tmp_path / "elastic-jupyter"
    assert shared_directory.path({}, run_lock=tmp_path / "none") == Path("/tmp/elastic-jupyter")


def test_the_environment_names_another_place() -> None:
    assert shared_directory.path({"ELASTIC_JUPYTER_LEASES": "/srv/x"}) == Path("/srv/x")
    assert shared_directory.path({"ELASTIC_JUPYTER_LEASES": "x"}) == Path.cwd() / "x"


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        shared = SharedDirectory(tmp_path / "shared")
        for name, bits in (("gpu", ANYBODYS), ("ticket", MINE)):
            file = shared.lock(name, mode=bits)
            assert file is not None
            os.close(file)
    finally:
        os.umask(old)
    assert mode(shared.path) == 0o1777
    assert mode(shared.path / "gpu") == 0o1666
    assert mode(shared.path / "ticket") == 0o1644


def test_a_locked_file_is_seen_and_not_had_twice(shared: SharedDirectory) -> None:
    file = shared.lock("gpu", mode=ANYBODYS)
    assert file is not None
    os.write(file, b"ann")
    seen = shared.look("gpu")
    assert seen is not None
    assert (seen.locked, seen.content) == (True, b"ann")
    assert shared.lock("gpu", mode=ANYBODYS) is None
    os.close(file)
    seen = shared.look("gpu")
    assert seen is not None
    assert not seen.locked
    again = shared.lock("gpu", mode=ANYBODYS)
    assert again is not None
    os.close(again)


def test_looking_takes_no_lock(shared: SharedDirectory) -> None:
    file = shared.create("gpu", mode=ANYBODYS, touched=5)
    assert file is not None
    for _ in range(2):
        assert shared.look("gpu") == shared_directory.Look(True, 5, b"")
    os.close(file)


def test_no_more_is_read_of_a_file_than_we_write(shared: SharedDirectory) -> None:
    (shared.path / "gpu").touch()
    os.truncate(shared.path / "gpu", 2**40)
    seen = shared.look("gpu")
    assert seen is not None
    assert seen.content == bytes(4096)


def test_a_name_is_made_once(shared: SharedDirectory) -> None:
    file = shared.create("ticket", mode=MINE, touched=0)
    assert file is not None
    assert shared.create("ticket", mode=MINE, touched=0) is None
    assert shared.names() == ["ticket"]  # and no half-made file stays
    assert shared_directory.is_there(file)
    shared.remove("ticket")
    shared.remove("ticket")
    assert not shared_directory.is_there(file)
    os.close(file)


def test_a_symbolic_link_is_not_followed(shared: SharedDirectory, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("of another")
    (shared.path / "gpu").symlink_to(target)
    assert shared.look("gpu") is None
    with pytest.raises(Unavailable, match="shared/gpu: it is a symbolic link"):
        shared.lock("gpu", mode=ANYBODYS)
    assert shared.create("gpu", mode=ANYBODYS, touched=0) is None
    assert target.read_text() == "of another"


def test_what_is_no_plain_file_stops_nobody(shared: SharedDirectory) -> None:
    os.mkfifo(shared.path / "pipe")
    (shared.path / "folder").mkdir()
    for name in ("pipe", "folder"):
        assert shared.look(name) is None
        with pytest.raises(Unavailable, match=f"{name}: it is no plain file"):
            shared.lock(name, mode=ANYBODYS)
        shared.remove(name)
    assert shared.names() == ["folder"]


def test_a_file_that_comes_or_goes_changes_the_directory(shared: SharedDirectory) -> None:
    os.utime(shared.path, ns=(5, 5))
    assert shared.changed() == 5
    file = shared.create("ticket", mode=MINE, touched=0)
    assert file is not None
    assert shared.changed() != 5
    os.utime(shared.path, ns=(5, 5))
    shared.remove("ticket")
    assert shared.changed() != 5
    os.close(file)


def test_an_obstacle_is_what_no_end_of_a_process_removes(shared: SharedDirectory) -> None:
    file = shared.lock("held", mode=ANYBODYS)
    assert file is not None
    assert [shared.obstacle(name) for name in ("held", "missing")] == ["", ""]
    os.close(file)
    (shared.path / "folder").mkdir()
    (shared.path / "link").symlink_to("held")
    assert shared.obstacle("folder") == f"{shared.path}/folder: it is no plain file"
    assert shared.obstacle("link").endswith("link: it is a symbolic link, which is not followed")


def test_the_directory_itself_may_be_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shared").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"shared: it is .*symbolic link.*ELASTIC_JUPYTER_LEASES"):
        SharedDirectory(tmp_path / "shared")


def test_a_place_where_none_can_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none/shared: No such file or directory; the leases"):
        SharedDirectory(tmp_path / "none" / "shared")


def test_a_directory_that_was_removed_is_made_anew(shared: SharedDirectory) -> None:
    shared.path.rmdir()
    file = shared.lock("gpu", mode=ANYBODYS)
    assert file is not None
    os.close(file)
    assert mode(shared.path) == 0o1777
