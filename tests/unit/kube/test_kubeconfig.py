import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.config.models import User

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.kube import kubeconfig
from elastic_jupyter.kube.client import Client


def a_file(path: Path, *, current: str = "", **more: Any) -> Path:
    """Write a kubeconfig with the contexts ``first`` and ``second`` of one cluster."""
    content: dict[str, Any] = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://{path.stem}:1"}}],
        "users": [{"name": "u", "user": {"token": path.stem}}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u", "namespace": f"{name}-ns"}}
            for name in ("first", "second")
        ],
        "current-context": current,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content | more))
    return path


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def names(monkeypatch: pytest.MonkeyPatch, *files: Path | str) -> None:
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))


@pytest.mark.parametrize(("context", "want"), [(None, "first-ns"), ("second", "second-ns")])
async def test_a_person_chooses_a_context(
    context: str | None, want: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names(monkeypatch, a_file(tmp_path / "config", current="first"))
    async with Client.of_person(context) as client:
        assert client.namespace == want


def test_the_file_in_the_home_directory_counts_where_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    a_file(tmp_path / "home" / ".kube" / "config", current="first")
    assert kubeconfig.of_person().context_name == "first"
    assert kubeconfig.of_process().context_name == "first"


def test_of_several_files_the_first_that_has_a_name_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = [{"name": "third", "context": {"cluster": "c", "user": "v"}}]
    names(
        monkeypatch,
        tmp_path / "not-there",
        "",
        a_file(tmp_path / "one"),
        a_file(
            tmp_path / "two",
            current="second",
            contexts=other,
            users=[{"name": "v", "user": {"token": "v"}}],
        ),
        a_file(tmp_path / "three", current="first"),
    )
    current, third = kubeconfig.of_person(), kubeconfig.of_person("third")
    assert current.context_name == "second", "the first file with a current context"
    assert current.cluster.server == third.cluster.server == "http://one:1"
    assert current.user == User(token="one")
    assert third.user == User(token="v"), "a user of another file than its cluster"


def test_a_path_in_a_file_is_relative_to_that_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ca = {"server": "https://x", "certificate-authority": "ca.crt"}
    one = a_file(tmp_path / "a" / "one", clusters=[{"name": "c", "cluster": ca}], users=None)
    user = {"client-certificate": "my.crt", "client-key": "/keys/my.key", "tokenFile": "t"}
    two = a_file(tmp_path / "b" / "two", current="first", users=[{"name": "u", "user": user}])
    monkeypatch.chdir(tmp_path)
    names(monkeypatch, one.relative_to(tmp_path), two)
    found = kubeconfig.of_person()
    assert found.cluster.certificate_auth == str(tmp_path / "a" / "ca.crt")
    assert found.user == User(
        client_cert=str(tmp_path / "b" / "my.crt"),
        client_key="/keys/my.key",
        token_file=str(tmp_path / "b" / "t"),
    )


WHOLE = yaml.safe_dump(
    {
        "clusters": [{"name": "c", "cluster": {"server": "http://x"}}],
        "contexts": [
            {"name": "ok", "context": {"cluster": "c"}},
            {"name": "lost", "context": {"cluster": "gone"}},
        ],
    }
)


@pytest.mark.parametrize(
    ("content", "context", "message"),
    [
        pytest.param(None, None, "not found", id="no file"),
        pytest.param(WHOLE, "third", "third", id="no such context"),
        pytest.param(WHOLE, None, "No current context", id="no context chosen"),
        pytest.param(WHOLE, "lost", "gone", id="no such cluster"),
        pytest.param("{", "ok", "line 1", id="no YAML"),
        pytest.param(
            "token: SECRET: abc", "ok", r"not allowed here, line 1, column 14$", id="no secret"
        ),
        pytest.param("[1]", "ok", "list", id="no kubeconfig"),
        pytest.param("clusters: [{cluster: {}}]", "ok", "name", id="no name"),
        pytest.param("", "ok", "ok", id="empty"),
    ],
)
def test_what_is_wrong_is_told_with_the_files_name(
    content: str | None,
    context: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    names(monkeypatch, file)
    with pytest.raises(ConfigError, match=message) as caught:
        Client.of_person(context)
    assert str(file) in str(caught.value)
    with pytest.raises(ConfigError):
        Client.from_environment()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"clusters": [{"name": "c", "cluster": {"certificate-authority": "no.crt"}}]}, "No such"),
        ({"users": [{"name": "u", "user": {"auth-provider": {"name": "oidc"}}}]}, "auth-provider"),
    ],
)
def test_what_a_context_needs_and_is_not_there_is_told(
    section: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names(monkeypatch, a_file(tmp_path / "config", current="first", **section))
    with pytest.raises(ConfigError, match=rf"context first: .*{message}"):
        Client.of_person()
