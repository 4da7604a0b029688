"""Where the commands look for kernels, and what they say of a place that is none."""

import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from elastic_jupyter.cli.main import command
from elastic_jupyter.cli.options import on_store
from elastic_jupyter.cli.where import Where
from elastic_jupyter.store.sqlite import open_database
from elastic_jupyter.store.state_directory import database
from elastic_jupyter.store.stores import sqlite_url

KUBERNETES = "kubernetes:"
#: State directories in each of which an ``up`` has run; the first one by default.
USUAL, OURS, OTHERS = "share/elastic-jupyter", "home/ours", "others"


@click.command()
@on_store
def tell(where: Where) -> None:
    click.echo(where.url())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory and the working directory of somebody whose only state is elsewhere."""
    for variable, folder in (
        ("HOME", "home"),
        ("XDG_STATE_HOME", "share"),
        ("XDG_CONFIG_HOME", "config"),
    ):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in (OURS, OTHERS):
        an_up_ran(tmp_path / name)
    return tmp_path


def an_up_ran(state: Path) -> None:
    state.mkdir(parents=True)
    open_database(database(state)).close()


def settings(root: Path, text: str) -> None:
    file = root / "config" / "elastic-jupyter" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def typed(
    what: click.Command, *arguments: str, environment: Mapping[str, str] | None = None
) -> Result:
    return CliRunner().invoke(what, arguments, env=environment)


@pytest.mark.parametrize(
    ("flags", "environment", "in_file", "want"),
    [
        pytest.param([], {}, "", USUAL, id="where up has it by default"),
        pytest.param([], {}, 'state = "~/ours"', OURS, id="the file"),
        pytest.param([], {"UP_STATE": OTHERS}, 'state = "~/ours"', OTHERS, id="the variable"),
        pytest.param([], {"UP_STATE": "~/ours"}, "", OURS, id="the variable, with ~"),
        pytest.param(["--state", OURS], {"UP_STATE": OTHERS}, "", OURS, id="the flag"),
        pytest.param(["--state", "~/ours"], {}, "", OURS, id="the flag, with ~"),
        pytest.param(["--state", OURS], {"STORE": KUBERNETES}, "", OURS, id="no other store"),
        pytest.param([], {"UP_STATE": "new"}, "", "new", id="no up has run there yet"),
        pytest.param([], {"STORE": KUBERNETES}, "", KUBERNETES, id="the store"),
        pytest.param(["--store", KUBERNETES], {"UP_STATE": OURS}, "", KUBERNETES, id="its flag"),
        pytest.param(
            ["--context", "a b"], {"UP_STATE": OURS}, "", "kubernetes:?context=a+b", id="a context"
        ),
        pytest.param(
            ["--store", "kubernetes:?context=x", "-n", "b"],
            {},
            "",
            "kubernetes:?context=x&namespace=b",
            id="a context in the store, a namespace beside it",
        ),
    ],
)
def test_kernels_are_looked_for_where_up_puts_them_unless_told_otherwise(
    flags: Sequence[str], environment: Mapping[str, str], in_file: str, want: str, root: Path
) -> None:
    an_up_ran(root / USUAL)
    if in_file:
        settings(root, in_file)
    variables = {f"ELASTIC_JUPYTER_{name}": value for name, value in environment.items()}
    result = typed(tell, *flags, environment=variables)
    assert result.exit_code == 0, result.output
    if not want.startswith(KUBERNETES):
        want = sqlite_url(database(root / want))
    assert result.stdout == f"{want}\n"


@pytest.mark.parametrize("named", ["home/mine.toml", "~/mine.toml"])
def test_another_file_with_settings_is_read_as_by_up(named: str, root: Path) -> None:
    (root / "home" / "mine.toml").write_text(f'idle = "5m"\nstate = "{OTHERS}"')
    result = typed(tell, environment={"ELASTIC_JUPYTER_CONFIG": named})
    assert result.stdout == f"{sqlite_url(database(root / OTHERS))}\n"


@pytest.mark.parametrize(
    ("flags", "environment", "told"),
    [
        pytest.param(
            ["--store", "ldap://x"], {}, "--store: the store 'ldap://x' is of no", id="no store"
        ),
        pytest.param(
            [], {"STORE": "kubernetes"}, "ELASTIC_JUPYTER_STORE: the store 'kub", id="no colon"
        ),
        pytest.param(
            ["--store", "kubernetes:?context=x&space=y"], {}, "names 'space', which", id="a key"
        ),
        pytest.param(["--store", "kubernetes:play"], {}, "names 'play', which", id="no key"),
        pytest.param(
            ["--store", "kubernetes:?context=x", "--context", "y"],
            {},
            "--store, --context: context y is not the context of the store",
            id="two contexts",
        ),
        pytest.param(
            ["--context", "x"],
            {"STORE": "sqlite:///x"},
            "ELASTIC_JUPYTER_STORE, --context: the store sqlite:///x has no context",
            id="a context of a database",
        ),
        pytest.param(
            ["--state", "home/ours", "--namespace", "x"],
            {},
            "--state is of this machine, and --namespace says",
            id="a namespace of a state directory",
        ),
        pytest.param(
            ["--store", KUBERNETES, "--state", "home/ours"],
            {},
            "--state is of this machine, and --store says",
            id="two places",
        ),
        pytest.param(
            ["--state", "new"], {}, "--state: there is no database ", id="no up has run there"
        ),
        pytest.param(
            [],
            {"UP_STATE": "new"},
            "ELASTIC_JUPYTER_UP_STATE: there is no database ",
            id="no up has run where a variable says",
        ),
        pytest.param(
            ["--store", "sqlite:///no/such/file"], {}, "--store: there is no database", id="no file"
        ),
        pytest.param(
            ["--context", "x"], {}, "--context: no usable Kubernetes configuration", id="a context"
        ),
        pytest.param([], {}, "--state names another directory", id="neither cluster nor up"),
        pytest.param(
            [],
            {"CONFIG": "gone.toml"},
            "ELASTIC_JUPYTER_CONFIG: gone.toml does not exist",
            id="no file with settings",
        ),
        pytest.param(
            [],
            {"CONFIG": "~nobody-x/a.toml"},
            "ELASTIC_JUPYTER_CONFIG: nobody knows the home directory in '~nobody-x/a.toml'",
            id="a file of nobody",
        ),
        pytest.param(["--state", "~nobody-x"], {}, "'--state': nobody knows the home", id="~"),
    ],
)
def test_a_wrong_place_is_status_2_and_a_sentence_that_names_it(
    flags: Sequence[str], environment: Mapping[str, str], told: str, root: Path
) -> None:
    variables = {f"ELASTIC_JUPYTER_{name}": value for name, value in environment.items()}
    result = typed(command, "status", *flags, environment=variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_a_context_that_no_file_has_is_named(root: Path) -> None:
    (root / "kubeconfig").write_text("contexts: []")
    environment = {"KUBECONFIG": str(root / "kubeconfig")}
    result = typed(command, "status", "--context", "play", environment=environment)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: --context: no usable Kubernetes configuration in {root}/kubeconfig: Context "
        "'play' not found\n"
    )


def test_a_file_that_names_a_directory_in_which_no_up_has_run_is_named(root: Path) -> None:
    settings(root, 'state = "~/new"')
    result = typed(command, "status")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: state in {root}/config/elastic-jupyter/config.toml: there is no database "
        f"{root}/home/new/objects.db: elastic-jupyter up makes one\n",
    )


def test_a_bad_file_with_settings_is_named(root: Path) -> None:
    settings(root, "state = [")
    result = typed(command, "status")
    assert result.exit_code == 2
    assert f"Error: {root}/config/elastic-jupyter/config.toml cannot be read" in result.stderr


def test_who_has_no_home_directory_is_told_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert "this user has no home directory" in typed(command, "status").stderr
    assert (
        "configuration in ~/.kube/config: not found"
        in typed(command, "status", "--context", "x").stderr
    )
