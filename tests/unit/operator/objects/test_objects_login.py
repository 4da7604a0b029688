import base64
import hashlib
import itertools
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api.notebook import Auth, JupyterNotebook
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import login
from elastic_jupyter.policy import passwords
from tests.support.kernels import a_notebook, model

#: What the first fresh value of a test is.
FIRST = hashlib.sha256(b"first 0").hexdigest()
HASH = "argon2:$argon2id$v=19$m=10240,t=10,p=8$abc$def"
MADE = ("revision", "cookie-secret", "jupyter_server_config.json", "jupyter_notebook_config.json")
FOLDER = "/run/elastic-jupyter/login"


def data_of(auth: Object | None, stored: Mapping[str, str] | None = None) -> dict[str, str]:
    held = {key: value.encode() for key, value in (stored or {}).items()}
    numbers = itertools.count()
    source = "first" if stored is None else "again"

    def fresh() -> str:
        return hashlib.sha256(f"{source} {next(numbers)}".encode()).hexdigest()

    return login.login_data(Auth.model_validate(auth) if auth else None, held, fresh=fresh)


def credentials(data: Mapping[str, str]) -> dict[str, str]:
    assert set(MADE) <= set(data)
    return {key: value for key, value in data.items() if key not in MADE}


@pytest.mark.parametrize(
    ("auth", "want"),
    [
        pytest.param(None, {"token": FIRST, "made": "token"}, id="a token is made"),
        pytest.param({"mode": "enable"}, {"token": FIRST, "made": "token"}, id="made when enabled"),
        pytest.param({"token": "mine"}, {"token": "mine"}, id="a token is given"),
        pytest.param({"password": HASH}, {"hashed-password": HASH}, id="a hash is given"),
        pytest.param(
            {"password": HASH, "token": "mine"},
            {"hashed-password": HASH, "token": "mine"},
            id="both are given",
        ),
        pytest.param({"mode": "disable", "token": "t", "password": "p"}, {}, id="no login"),
    ],
)
def test_a_login_is_made_once(auth: Object | None, want: dict[str, str]) -> None:
    first = data_of(auth)
    assert credentials(first) == want
    assert data_of(auth, first) == first


@given(st.text(min_size=1, max_size=20))
def test_a_password_is_stored_as_a_hash_that_stays(password: str) -> None:
    first = data_of({"password": password})
    assert passwords.matches(password, first["hashed-password"])
    assert set(credentials(first)) == {"hashed-password"}
    assert data_of({"password": password}, first) == first
    changed = data_of({"password": f"{password}!"}, first)
    assert changed["revision"] != first["revision"]
    assert not passwords.matches(password, changed["hashed-password"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"token": "a"}, {"token": "b"}, id="another token"),
        pytest.param({"token": "a"}, None, id="a token of ours for the given one"),
        pytest.param({"token": "a", "password": HASH}, {"token": "a"}, id="no password any more"),
        pytest.param({"password": "a"}, {"password": "b"}, id="another password"),
        pytest.param(None, {"mode": "disable"}, id="no login any more"),
        pytest.param({"mode": "disable"}, None, id="a login from now on"),
    ],
)
def test_a_changed_login_ends_the_cookies_of_the_one_before(
    before: Object | None, after: Object | None
) -> None:
    first = data_of(before)
    second = data_of(after, first)
    assert second["revision"] != first["revision"]
    assert second["cookie-secret"] != first["cookie-secret"]


def test_a_token_that_is_taken_out_of_the_manifest_lets_nobody_in_any_more() -> None:
    given = data_of({"token": "a" * 64})
    assert data_of(None, given)["token"] != "a" * 64


@pytest.mark.parametrize("auth", [None, {"token": FIRST}], ids=["made", "given"])
@pytest.mark.parametrize("cookies", [FIRST, FIRST[::-1]], ids=["the token", "reversed"])
def test_a_cookie_secret_that_follows_from_the_token_is_replaced(
    auth: Object | None, cookies: str
) -> None:
    again = data_of(auth, {**data_of(auth), "cookie-secret": cookies})
    assert again["token"] == FIRST
    assert again["cookie-secret"] not in (FIRST, FIRST[::-1])
    assert again["revision"] != data_of(auth)["revision"]


@pytest.mark.parametrize("auth", [None, {"password": "p"}, {"mode": "disable"}])
def test_no_value_of_a_login_follows_from_another(auth: Object | None) -> None:
    values = [
        value.lower()
        for key, value in data_of(auth).items()
        if key in ("token", "hashed-password", "cookie-secret", "revision")
    ]
    for one, other in itertools.permutations(values, 2):
        for window in (one[start : start + 8] for start in range(len(one) - 7)):
            assert window not in other
            assert window not in other[::-1]


def config(auth: Object | None, file: str) -> dict[str, dict[str, str]]:
    parsed: dict[str, dict[str, str]] = json.loads(data_of(auth)[file])
    return parsed


COOKIES = {"cookie_secret_file": f"{FOLDER}/cookie-secret"}
OPEN = {"token": "", "password": ""}


@pytest.mark.parametrize(
    ("auth", "server", "notebook"),
    [
        pytest.param({"token": "t"}, {"ServerApp": COOKIES}, COOKIES, id="a token is no file"),
        pytest.param(
            {"password": HASH},
            {
                "PasswordIdentityProvider": {"hashed_password": HASH},
                "ServerApp": {**COOKIES, "password": HASH},
            },
            {**COOKIES, "password": HASH},
            id="a password",
        ),
        pytest.param(
            {"mode": "disable"},
            {
                "IdentityProvider": {"token": ""},
                "PasswordIdentityProvider": {"hashed_password": ""},
                "ServerApp": {**COOKIES, **OPEN},
            },
            {**COOKIES, **OPEN},
            id="no login",
        ),
    ],
)
def test_what_a_server_reads(auth: Object, server: Object, notebook: Object) -> None:
    assert config(auth, "jupyter_server_config.json") == server
    assert config(auth, "jupyter_notebook_config.json") == {"NotebookApp": notebook}


@pytest.mark.parametrize("auth", [None, {"token": "open-sesame"}, {"password": "open-sesame"}])
def test_nothing_of_a_login_can_be_read_in_a_pod(auth: Object | None) -> None:
    data = data_of(auth)
    container: Object = {"name": "notebook"}
    spec: Object = {"containers": [container]}
    login.give(spec, container, notebook="nb", data=data)
    text = json.dumps(spec)
    assert not [key for key, value in data.items() if key != "made" and value in text]
    assert ("JUPYTER_TOKEN" in text) == ("token" in data)
    assert "args" not in container


def test_folders_of_the_template_are_read_after_ours() -> None:
    container: Object = {"env": [{"name": "JUPYTER_CONFIG_PATH", "value": "/theirs"}]}
    login.give({}, container, notebook="nb", data=data_of(None))
    assert {"name": "JUPYTER_CONFIG_PATH", "value": f"{FOLDER}:/theirs"} in container["env"]


def test_the_secret_is_the_notebooks() -> None:
    data = data_of({"token": "t"})
    made = login.make_login_secret(model(JupyterNotebook, a_notebook()), data=data)
    assert made["metadata"]["name"] == "nb-auth"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-nb"
    assert {key: base64.b64decode(value).decode() for key, value in made["data"].items()} == data
