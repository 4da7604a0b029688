"""Which API server, as whom: from a pod's service account, or from files as kubectl reads them.

``$KUBECONFIG`` may name several files, as a ``PATH`` does; lightkube reads one (1.0.1).
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError as LightkubeConfigError

from elastic_jupyter.errors import ConfigError

_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
#: Files that a cluster or a user may name, relative to the file that they are named in.
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def of_process() -> SingleConfig:
    """Return the pod's service account, outside of pods what the files say.

    Raises ``ConfigError``.
    """
    try:
        return selected(KubeConfig.from_service_account())
    except LightkubeConfigError:  # it has none
        return selected(read(files()), where=files())
    except KeyError as error:
        raise ConfigError(f"a service account, but no {error} in the environment") from error


def of_person(context: str | None = None) -> SingleConfig:
    """Return what kubectl takes: a context of the files, where there are none the pod's account.

    ``context`` None is the current one. Raises ``ConfigError``, which names the files.
    """
    named = files()
    if context is None and "KUBECONFIG" not in os.environ and not named[0].exists():
        return of_process()
    return selected(read(named), context, where=named)


def of_server(url: str, *, namespace: str) -> SingleConfig:
    """Return an API server that asks for no credentials."""
    return selected(KubeConfig.from_server(url, namespace=namespace))


def selected(
    config: KubeConfig, context: str | None = None, *, where: Sequence[Path] = ()
) -> SingleConfig:
    """Return a context with its cluster and user. Raises ``ConfigError``."""
    try:
        found = config.get(context)
    except (LightkubeConfigError, KeyError) as error:
        raise ConfigError(_unusable(where, error)) from error
    assert found is not None  # only where a default is passed
    return found


def files() -> list[Path]:
    """Return the files that ``$KUBECONFIG`` names, else ``~/.kube/config``, there or not."""
    named = [Path(path) for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    # Without a home directory the ~ stays, and no file is found.
    return named or [Path(os.path.expanduser("~/.kube/config"))]


def read(files: Sequence[Path]) -> KubeConfig:
    """Return what these files say together; those that are not there say nothing.

    Of several that have a context, cluster or user of a name, or a current context, the first one
    counts. Raises ``ConfigError`` when none is there, or one cannot be read.
    """
    contents = [_content(file) for file in files if file.exists()]
    if not contents:
        raise ConfigError(_unusable(files, "not found"))
    merged: dict[str, Any] = {
        section: list(
            {entry["name"]: entry for one in reversed(contents) for entry in one[section]}.values()
        )
        for section in _SECTIONS
    }
    for one in reversed(contents):
        if one["current-context"]:
            merged["current-context"] = one["current-context"]
    return KubeConfig.from_dict(merged)


def _content(file: Path) -> dict[str, Any]:
    """Return all sections of a file, as lists, and the files that it names with whole paths."""
    try:
        content = yaml.safe_load(file.read_text()) or {}
        whole = {section: content.get(section) or [] for section in _SECTIONS}
        for entry in _entries(whole):
            entry |= {
                name: str(file.absolute().parent / entry[name])
                for name in _FILES
                if entry.get(name)
            }
        KubeConfig.from_dict(whole)
    except yaml.MarkedYAMLError as error:  # its text quotes the line, which may hold a token
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(_unusable([file], f"{error.problem}{where}")) from None
    except Exception as error:  # whatever a parser happens to meet
        raise ConfigError(_unusable([file], error)) from error
    return {**whole, "current-context": content.get("current-context")}


def _entries(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for section, key in _SECTIONS.items():
        for entry in content[section]:
            yield entry[key]


def _unusable(files: Sequence[Path], why: object) -> str:
    where = f" in {os.pathsep.join(map(str, files))}" if files else ""
    return f"no usable Kubernetes configuration{where}: {why}"
