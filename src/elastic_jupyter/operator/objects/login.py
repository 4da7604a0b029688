"""A notebook's login: the Secret that holds it, and the server's way to it.

Every Jupyter server reads configuration files from the folders in ``JUPYTER_CONFIG_PATH``, whatever
its image and command. So the Secret holds such files and is mounted; nothing of a login stands in a
pod's arguments. A token also comes as ``JUPYTER_TOKEN``, which servers of all ages read.
"""

import json
from collections.abc import Callable, Mapping

from elastic_jupyter.api import names
from elastic_jupyter.api.notebook import Auth, AuthMode, JupyterNotebook
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common
from elastic_jupyter.policy import passwords

TOKEN = "token"
HASHED_PASSWORD = "hashed-password"
#: Names what was made here and not given: a token that is taken out of a manifest is not kept.
MADE = "made"
#: What signs the browsers' cookies. It outlives a pod, so that an open tab does, too, and ends with
#: the login that let the browsers in.
COOKIE_SECRET = "cookie-secret"
#: Random, new with every change of the login; what the pod is rolled by.
REVISION = "revision"
_SERVER_CONFIG = "jupyter_server_config.json"
#: Read by the classic notebook (before version 7).
_NOTEBOOK_CONFIG = "jupyter_notebook_config.json"
_CREDENTIALS = (TOKEN, HASHED_PASSWORD, MADE)

_VOLUME = "elastic-jupyter-login"
_CONFIG_PATH = "JUPYTER_CONFIG_PATH"


def login_data(
    auth: Auth | None, stored: Mapping[str, bytes], *, fresh: Callable[[], str]
) -> dict[str, str]:
    """Return the data of the login Secret.

    ``auth`` has what its Secret gave filled in. ``stored`` is what the login Secret holds now: a
    token that was made and a hash stay as they are. ``fresh`` returns 64 random hex digits, others
    each time, of which each value that is needed anew gets its own: none follows from another.
    """
    kept = {key: value.decode(errors="replace") for key, value in stored.items()}
    disabled = auth is not None and auth.mode is AuthMode.DISABLE
    wanted = {} if disabled else _credentials(auth, kept, fresh)
    same_login = all(kept.get(key) == wanted.get(key) for key in _CREDENTIALS)
    cookies = kept.get(COOKIE_SECRET) if same_login else None
    token = wanted.get(TOKEN, "")
    if cookies in (token, token[::-1]):  # who knows the token could sign cookies with it
        cookies = None
    wanted[COOKIE_SECRET] = cookies or fresh()
    wanted |= _config_files(wanted.get(HASHED_PASSWORD), disabled=disabled)
    unchanged = same_login and all(kept.get(key) == value for key, value in wanted.items())
    wanted[REVISION] = (kept.get(REVISION) if unchanged else None) or fresh()[:16]
    return wanted


def make_login_secret(notebook: JupyterNotebook, *, data: Mapping[str, str]) -> Object:
    """Return the Secret with the notebook's login."""
    name = notebook.metadata.name or ""
    return {
        "metadata": common.metadata(
            names.auth_secret_name(name), notebook, common.labels(names.APP_NOTEBOOK, name)
        ),
        "type": "Opaque",
        "data": common.encoded(data),
    }


def give(spec: Object, container: Object, *, notebook: str, data: Mapping[str, str]) -> None:
    """Give the server's ``container`` of the pod ``spec`` the login of the notebook so named."""
    secret = names.auth_secret_name(notebook)
    files = [_SERVER_CONFIG, _NOTEBOOK_CONFIG, COOKIE_SECRET]
    volume = {"secretName": secret, "items": [{"key": file, "path": file} for file in files]}
    spec["volumes"] = [*(spec.get("volumes") or []), {"name": _VOLUME, "secret": volume}]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _VOLUME, "mountPath": names.LOGIN_DIRECTORY, "readOnly": True},
    ]
    common.with_env(container, {"name": _CONFIG_PATH, "value": _config_path(container)})
    if TOKEN in data:
        common.with_env(container, common.from_secret("JUPYTER_TOKEN", secret, TOKEN))


def _credentials(
    auth: Auth | None, kept: Mapping[str, str], fresh: Callable[[], str]
) -> dict[str, str]:
    wanted: dict[str, str] = {}
    if auth and auth.password:
        old = kept.get(HASHED_PASSWORD, "")
        wanted[HASHED_PASSWORD] = (
            old if passwords.matches(auth.password, old) else _hashed(auth.password, fresh)
        )
    if auth and auth.token:
        wanted[TOKEN] = auth.token
    elif not wanted:
        made = kept.get(TOKEN) if kept.get(MADE) == TOKEN else None
        wanted |= {TOKEN: made or fresh(), MADE: TOKEN}
    return wanted


def _hashed(password: str, fresh: Callable[[], str]) -> str:
    if passwords.is_hashed(password):
        return password
    return passwords.hashed(password, salt=fresh()[:24])


def _config_files(hashed_password: str | None, *, disabled: bool) -> dict[str, str]:
    """Return the configuration files by name, for Jupyter Server and for the classic notebook."""
    app = {"cookie_secret_file": f"{names.LOGIN_DIRECTORY}/{COOKIE_SECRET}"}
    server: dict[str, dict[str, str]] = {}
    if disabled:
        app |= {"token": "", "password": ""}
        server["IdentityProvider"] = {"token": ""}
    elif hashed_password:
        app["password"] = hashed_password
    if "password" in app:
        server["PasswordIdentityProvider"] = {"hashed_password": app["password"]}
    # Jupyter Server 1 reads its own part of this; its successor takes the same value twice.
    server["ServerApp"] = app
    return {
        _SERVER_CONFIG: json.dumps(server, sort_keys=True),
        _NOTEBOOK_CONFIG: json.dumps({"NotebookApp": app}, sort_keys=True),
    }


def _config_path(container: Object) -> str:
    """Return our folder before those that the template names."""
    for entry in container.get("env") or ():
        if entry["name"] == _CONFIG_PATH and entry.get("value"):
            return f"{names.LOGIN_DIRECTORY}:{entry['value']}"
    return names.LOGIN_DIRECTORY
