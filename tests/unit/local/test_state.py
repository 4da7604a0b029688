import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.local.state import State
from elastic_jupyter.store.state_directory import default_directory, lock


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    with State(tmp_path / "state") as state:
        first = state.master_key, state.login_token, state.notebook_uid
        assert mode(state.directory) == 0o700
        for name in ("master-key", "login-token", "notebook-uid", "lock"):
            assert mode(state.directory / name) == 0o600
    with State(tmp_path / "state") as state:
        assert (state.master_key, state.login_token, state.notebook_uid) == first
    assert len(first[0]) == 32


def test_a_second_up_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.announce("http://127.0.0.1:8888/lab")
        with pytest.raises(
            ConfigError, match=r"running already .*\(http://127\.0\.0\.1:8888/lab\)"
        ):
            State(tmp_path)
    with State(tmp_path), pytest.raises(ConfigError, match=rf"directory {tmp_path}: use that one"):
        State(tmp_path)  # nobody has said yet where it is


def test_a_command_that_looks_whether_an_up_runs_keeps_none_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    State(tmp_path).close()
    look = lock(tmp_path).open()
    fcntl.flock(look, fcntl.LOCK_SH)
    monkeypatch.setattr("elastic_jupyter.local.state.time.sleep", lambda _: look.close())
    State(tmp_path).close()
    assert look.closed, "it did not wait"


def test_the_directory_is_free_when_its_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from elastic_jupyter.local.state import State\n"
        "State(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    State(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"the state directory .*file/state cannot be written"):
        State(tmp_path / "file" / "state")


@pytest.mark.parametrize(
    ("environment", "want"),
    [({"XDG_STATE_HOME": "/x"}, "/x"), ({"HOME": "/home/ann"}, "/home/ann/.local/state")],
)
def test_the_state_is_where_the_desktop_specification_says(
    environment: dict[str, str], want: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_directory() == Path(want) / "elastic-jupyter"


def test_a_key_that_was_half_written_is_made_again(tmp_path: Path) -> None:
    State(tmp_path).close()
    (tmp_path / "master-key").unlink()
    (tmp_path / ".master-key.new").write_bytes(b"half")
    os.chmod(tmp_path / ".master-key.new", 0o600)
    with State(tmp_path) as state:
        assert len(state.master_key) == 32
