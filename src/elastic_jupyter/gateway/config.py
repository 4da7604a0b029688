"""What a gateway process must know before it can read anything from its stores."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import Start
from elastic_jupyter.api.kernel import Fallback, ReclaimPolicy
from elastic_jupyter.api.reclaim import DEFAULT_MAX_EXTENSION, DEFAULT_WARNING
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.store.stores import KUBERNETES

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True)
class GatewayConfig:
    """The environment of the gateway's process, read once by ``main``.

    ``uid`` is the JupyterGateway's, the owner of every kernel; ``kernel_image`` is of specs that
    name none, and without it there is no built-in kernel; ``kernels`` empty offers every
    JupyterKernelSpec of the namespace; ``launch_timeout`` limits the phase Pending and
    ``queue_timeout`` the phase Queued, where 0 is no limit; ``allowed_env`` are the variables,
    beside ``KERNEL_*``, that a client may set; ``store`` is a URL of ``store.stores``; it listens
    at ``host`` and ``port``, and kernels reach it at ``url``. ``policy`` is what becomes of the
    variables of a kernel that is reclaimed, ``fallback`` of one that should be saved and cannot be;
    ``warning`` and ``max_extension`` are those of ``policy.idle.Limits``. ``snapshots`` is where
    variables are saved (a URL, see ``store.files``), each time in ``max_snapshot`` bytes at most;
    ``lazy``: a kernel starts with its first execution.
    """

    name: str
    namespace: str
    uid: str
    identity: str
    kernel_image: str | None
    master_key: bytes
    cull_idle_timeout: timedelta
    cull_interval: timedelta
    kernels: tuple[str, ...]
    default_kernel: str | None
    log_level: str
    launch_timeout: timedelta
    queue_timeout: timedelta
    allowed_env: frozenset[str]
    store: str
    host: str
    port: int
    url: str
    policy: ReclaimPolicy
    fallback: Fallback
    warning: timedelta
    max_extension: timedelta
    snapshots: str | None
    max_snapshot: int | None
    lazy: bool

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "GatewayConfig":
        """Read the environment and the mounted master key.

        Raises ``ConfigError``, which names the variable, when one is missing or not a number.
        """
        key_file = Path(
            environ.get("ELASTIC_JUPYTER_MASTER_KEY_FILE", "/run/elastic-jupyter/master-key/key")
        )
        try:
            master_key = key_file.read_bytes()
        except OSError as error:
            raise ConfigError(f"the master key cannot be read: {error}") from error
        port = _port(environ, "ELASTIC_JUPYTER_PORT", names.HTTP_PORT)
        policy = _one_of(environ, "ELASTIC_JUPYTER_RECLAIM_POLICY", ReclaimPolicy)
        snapshots = environ.get("ELASTIC_JUPYTER_SNAPSHOTS") or None
        if policy is ReclaimPolicy.HIBERNATE and snapshots is None:
            raise ConfigError(
                "ELASTIC_JUPYTER_SNAPSHOTS is not set: kernels that hibernate need a place for "
                "their variables"
            )
        return cls(
            name=_required(environ, "ELASTIC_JUPYTER_GATEWAY"),
            namespace=_required(environ, "ELASTIC_JUPYTER_NAMESPACE"),
            uid=_required(environ, "ELASTIC_JUPYTER_GATEWAY_UID"),
            identity=_required(environ, "POD_NAME"),
            kernel_image=environ.get("ELASTIC_JUPYTER_KERNEL_IMAGE") or None,
            master_key=master_key,
            cull_idle_timeout=_seconds(environ, "ELASTIC_JUPYTER_CULL_IDLE_TIMEOUT", 3600),
            cull_interval=_seconds(environ, "ELASTIC_JUPYTER_CULL_INTERVAL", 10, least=1),
            kernels=_list(environ, "ELASTIC_JUPYTER_KERNELS"),
            default_kernel=environ.get("ELASTIC_JUPYTER_DEFAULT_KERNEL") or None,
            log_level=_log_level(environ),
            launch_timeout=_seconds(environ, "ELASTIC_JUPYTER_LAUNCH_TIMEOUT", 600, least=1),
            queue_timeout=_seconds(environ, "ELASTIC_JUPYTER_QUEUE_TIMEOUT", 0, least=0),
            allowed_env=frozenset(_list(environ, "ELASTIC_JUPYTER_ALLOWED_ENV")),
            store=environ.get("ELASTIC_JUPYTER_STORE") or KUBERNETES,
            host=environ.get("ELASTIC_JUPYTER_HOST") or "0.0.0.0",
            port=port,
            url=f"http://{_host(environ.get('POD_IP') or '127.0.0.1')}:{port}",
            policy=policy,
            fallback=_one_of(environ, "ELASTIC_JUPYTER_RECLAIM_FALLBACK", Fallback),
            warning=_seconds(environ, "ELASTIC_JUPYTER_RECLAIM_WARNING", DEFAULT_WARNING, least=0),
            max_extension=_seconds(
                environ, "ELASTIC_JUPYTER_MAX_EXTENSION", DEFAULT_MAX_EXTENSION, least=0
            ),
            snapshots=snapshots,
            max_snapshot=_bytes(environ, "ELASTIC_JUPYTER_MAX_SNAPSHOT_BYTES"),
            lazy=_one_of(environ, "ELASTIC_JUPYTER_START", Start) is Start.ON_FIRST_EXECUTE,
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigError(f"the environment variable {name} is not set")
    return value


def _list(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, environ.get(name, "").split(",")))


def _log_level(environ: Mapping[str, str]) -> str:
    level = (environ.get("ELASTIC_JUPYTER_LOG_LEVEL") or "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise ConfigError(f"ELASTIC_JUPYTER_LOG_LEVEL must be a level like INFO, not {level!r}")
    return level


def _one_of(environ: Mapping[str, str], name: str, kind: type[Choice]) -> Choice:
    """Return a choice; its first one is the default."""
    text = environ.get(name) or next(iter(kind)).value
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{name} must be {' or '.join(kind)}, not {text!r}") from None


def _bytes(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name) or ""
    if text and not text.isdecimal():
        raise ConfigError(f"{name} must be a number of bytes, not {text!r}")
    return int(text) if text else None


def _host(address: str) -> str:
    """Return an address as a URL has it (RFC 3986, 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"{name} must be a port from 1 to 65535, not {text!r}")
    return int(text)


def _seconds(
    environ: Mapping[str, str], name: str, default: float, *, least: float | None = None
) -> timedelta:
    text = environ.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        raise ConfigError(f"{name} must be a number of seconds, not {text!r}") from None
    if least is not None and seconds < least:
        raise ConfigError(f"{name} must be at least {least} s, not {text}")
    return timedelta(seconds=seconds)
