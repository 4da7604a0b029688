"""What the operator must know before it can read anything from the cluster."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.policy.images import Images

LogFormat = Literal["text", "json"]


@dataclass(frozen=True)
class OperatorConfig:
    """The environment of the operator's pod, read once by ``main``.

    ``cluster_roles`` is the allow-list for ``spec.clusterRole`` of gateways.
    """

    images: Images
    cluster_roles: frozenset[str]
    log_level: str
    log_format: LogFormat

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "OperatorConfig":
        """Read the environment. Raises ``ConfigError``, which names the variable."""
        log_format = environ.get("ELASTIC_JUPYTER_LOG_FORMAT") or "text"
        if log_format not in ("text", "json"):
            raise ConfigError(f"ELASTIC_JUPYTER_LOG_FORMAT must be text or json, not {log_format}")
        allowed = environ.get("ELASTIC_JUPYTER_CLUSTER_ROLES", "").split(",")
        return cls(
            images=Images(
                gateway=_required(environ, "ELASTIC_JUPYTER_GATEWAY_IMAGE"),
                notebook=_required(environ, "ELASTIC_JUPYTER_NOTEBOOK_IMAGE"),
                kernel=_required(environ, "ELASTIC_JUPYTER_KERNEL_IMAGE"),
            ),
            cluster_roles=frozenset(filter(None, (name.strip() for name in allowed))),
            log_level=environ.get("ELASTIC_JUPYTER_LOG_LEVEL") or "INFO",
            log_format=cast(LogFormat, log_format),
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigError(f"the environment variable {name} is not set")
    return value
