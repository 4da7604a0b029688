from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from elastic_jupyter.api.kernel import Fallback
from elastic_jupyter.cli import up as module
from elastic_jupyter.cli.main import command
from elastic_jupyter.errors import ConfigError, LaunchFailed


class Started:
    """What ``up`` would have started."""

    def __init__(self) -> None:
        self.settings: Any = None
        self.how: dict[str, Any] = {}
        self.error: Exception | None = None

    def __call__(self, settings: Any, **how: Any) -> None:
        self.settings, self.how = settings, how
        if self.error:
            raise self.error


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    found = Started()
    monkeypatch.setattr(module, "run", found)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return found


def up(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(command, ["up", *arguments], env=environment, prog_name="ej")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_a_word_it_runs_here_with_the_gpus_of_the_machine(
    started: Started, tmp_path: Path
) -> None:
    assert up().exit_code == 0
    settings = started.settings
    assert (settings.directory, settings.port, settings.gpus) == (tmp_path, 8888, "auto")
    assert settings.idle == timedelta(minutes=10)
    assert settings.fallback is Fallback.KEEP
    assert settings.max_extension == timedelta(hours=4)
    assert settings.user
    assert started.how == {"state": None, "browser": True}


@pytest.mark.parametrize(
    ("arguments", "environment", "file"),
    [
        (["--state=~/x", "~/x"], {}, ""),
        (["~/x"], {"ELASTIC_JUPYTER_UP_STATE": "~/x"}, ""),
        ([], {}, 'state = "~/x"\ndirectory = "~/x"'),
        (["--config", "~/x/file.toml"], {}, ""),
    ],
)
def test_a_home_directory_is_meant_by_a_tilde_wherever_it_is_written(
    arguments: list[str],
    environment: dict[str, str],
    file: str,
    started: Started,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write(tmp_path / "home" / "x" / "file.toml", 'state = "~/x"\ndirectory = "~/x"')
    if file:
        write(tmp_path / "config" / "elastic-jupyter" / "config.toml", file)
    done = up(*arguments, **environment)
    assert done.exit_code == 0, done.output
    assert started.settings.directory == started.how["state"] == tmp_path / "home" / "x"


SAID = {
    "a flag": ["--idle", "1m"],
    "the environment": {"ELASTIC_JUPYTER_UP_IDLE": "2m"},
    "the file": 'idle = "3m"',
}


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        (("a flag", "the environment", "the file"), 1),
        (("the environment", "the file"), 2),
        (("a flag", "the file"), 1),
        (("the file",), 3),
        ((), 10),
    ],
)
def test_flags_win_over_environment_over_file_over_defaults(
    said: tuple[str, ...], minutes: int, started: Started, tmp_path: Path
) -> None:
    if "the file" in said:
        write(tmp_path / "config" / "elastic-jupyter" / "config.toml", str(SAID["the file"]))
    flags = SAID["a flag"] if "a flag" in said else []
    environment = SAID["the environment"] if "the environment" in said else {}
    done = up(*flags, **dict(environment))
    assert done.exit_code == 0, done.output
    assert started.settings.idle == timedelta(minutes=minutes)


def test_a_named_file_takes_the_place_of_the_usual_one(started: Started, tmp_path: Path) -> None:
    write(tmp_path / "config" / "elastic-jupyter" / "config.toml", "port = 1111")
    named = write(tmp_path / "named.toml", 'gpus = 2\npolicy = "keep"\nbrowser = false')
    assert up("--config", str(named)).exit_code == 0
    settings = started.settings
    assert (settings.port, settings.gpus, settings.idle) == (8888, 2, timedelta())
    assert started.how["browser"] is False


@pytest.mark.parametrize(
    ("arguments", "environment", "file", "says"),
    [
        (["--gpus", "many"], {}, "", "'--gpus': 'many' is neither auto nor a number of GPUs"),
        (["--gpus", "-1"], {}, "", "'--gpus': '-1' is neither auto nor a number of GPUs"),
        (["--gpus", "1000"], {}, "", "'--gpus': '1000' is neither auto nor a number of GPUs"),
        (["--idle", "soon"], {}, "", "'--idle': 'soon' is no length of time"),
        (["--port", "0"], {}, "", "'--port': 0 is not in the range"),
        (["nowhere"], {}, "", "Directory 'nowhere' does not exist"),
        ([], {"ELASTIC_JUPYTER_UP_IDLE": "soon"}, "", "UP_IDLE: 'soon' is no length of time"),
        ([], {}, 'idle = "soon"', "config.toml: 'soon' is no length of time"),
        ([], {}, "browser = 5", "browser in "),
        ([], {}, "state = ['a']", "config.toml: state is neither text nor a number"),
        ([], {}, "idel = 1", "has the unknown setting idel; known are browser"),
        ([], {}, "idle = ", "config.toml cannot be read"),
        (["--config", "gone.toml"], {}, "", "gone.toml does not exist"),
    ],
)
def test_bad_input_is_a_usage_error_that_names_it(
    arguments: list[str],
    environment: dict[str, str],
    file: str,
    says: str,
    started: Started,
    tmp_path: Path,
) -> None:
    if file:
        write(tmp_path / "config" / "elastic-jupyter" / "config.toml", file)
    done = up(*arguments, **environment)
    assert done.exit_code == 2
    assert says in done.output
    assert started.settings is None


@pytest.mark.parametrize(
    ("error", "status"), [(ConfigError("port 1 is taken"), 2), (LaunchFailed("it ended"), 1)]
)
def test_what_stands_in_the_way_is_one_sentence(
    error: Exception, status: int, started: Started
) -> None:
    started.error = error
    done = up()
    assert (done.exit_code, done.output) == (status, f"Error: {error}\n")


def test_help_all_names_the_variable_and_the_setting_of_each_option(started: Started) -> None:
    text = up("--help-all").output
    for name in ("gpus", "idle", "policy", "port", "browser", "state", "user", "log_level"):
        assert f"ELASTIC_JUPYTER_UP_{name.upper()}" in text
    assert "A flag wins over the environment" in text
    assert started.settings is None
