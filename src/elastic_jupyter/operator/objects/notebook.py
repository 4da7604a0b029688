"""The children of a JupyterNotebook: Deployment, Service, and the Secret with its gateway token."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from elastic_jupyter.api import names
from elastic_jupyter.api.notebook import JupyterNotebook, ServiceType
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common, login, storage
from elastic_jupyter.operator.objects.login import REVISION, TOKEN
from elastic_jupyter.policy.pod_template import first_container, pod_spec, variables

ANNOTATION_SECRETS = f"{names.GROUP}/secrets"
_USER_VARIABLE = "KERNEL_USERNAME"
#: What a URL's query takes as it is, beside letters, digits and "-._~".
_PLAIN = "@:/,;!*()"
#: Of ``spec.user`` of a JupyterKernel, in characters.
_LONGEST_USER = 253


@dataclass(frozen=True)
class GatewayAccess:
    """How a notebook reaches its gateway."""

    url: str
    token: str
    #: Names of the variables, beside ``KERNEL_*``, that kernels may have from the notebook server.
    allowed_env: tuple[str, ...] = ()


def make_gateway_token_secret(notebook: JupyterNotebook, *, token: str) -> Object:
    """Return the Secret with the token by which the gateway knows this notebook."""
    return {
        "metadata": _metadata(notebook, names.gateway_token_secret_name(_name(notebook))),
        "type": "Opaque",
        "data": common.encoded({TOKEN: token}),
    }


def make_service(notebook: JupyterNotebook) -> Object:
    """Return the Service by which users reach the notebook server."""
    wanted = notebook.spec.service
    metadata = _metadata(notebook, _name(notebook))
    if wanted and wanted.annotations:
        metadata["annotations"] = dict(wanted.annotations)
    return {
        "metadata": metadata,
        "spec": {
            "type": (wanted and wanted.type) or ServiceType.CLUSTER_IP,
            "selector": selector(notebook),
            "ports": [{"name": "http", "port": names.HTTP_PORT, "targetPort": names.HTTP_PORT}],
        },
    }


def make_deployment(
    notebook: JupyterNotebook,
    *,
    image: str,
    access: GatewayAccess | None,
    login_data: Mapping[str, str],
) -> Object:
    """Return the Deployment of the notebook server; ``image`` is ours.

    ``login_data`` is what the login Secret holds. How many pods there are is not said: it is 1
    unless somebody scales it, to 0 for a night. Raises ``Invalid`` when the template has no shape
    of a pod.
    """
    template = notebook.spec.template or {}
    spec = pod_spec(template, field="spec.template")
    container = spec["containers"][0]
    container.setdefault("name", "notebook")
    if container.setdefault("image", image) == image:
        _complete_ours(spec, container)
    login.give(spec, container, notebook=_name(notebook), data=login_data)
    if notebook.spec.storage:
        storage.mount(spec, container, claim=storage.claim_name(notebook))
        storage.keep_runtime_apart(spec, container)
    common.with_env(container, *_env(notebook, access))
    return {
        "metadata": _metadata(notebook, _name(notebook)),
        "spec": {
            "selector": {"matchLabels": selector(notebook)},
            # One server a user: two at once would both answer for the same tabs.
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {
                    "labels": {**common.template_labels(template), **_labels(notebook)},
                    "annotations": {
                        **common.template_annotations(template),
                        ANNOTATION_SECRETS: _revision(access, login_data),
                    },
                },
                "spec": spec,
            },
        },
    }


def user_of(notebook: JupyterNotebook) -> str:
    """Return the user whose kernels the notebook starts.

    As with the original, ``KERNEL_USERNAME`` in the notebook's template names it. From here it
    goes into the notebook's token; what a client says later is not heard. A longer name than an
    object may hold ends there.
    """
    given = variables(first_container(notebook.spec.template or {}))
    return given.get(_USER_VARIABLE, "")[:_LONGEST_USER] or names.DEFAULT_USER


def selector(notebook: JupyterNotebook) -> dict[str, str]:
    """Return the labels by which the notebook's pod is found. Never changed: immutable."""
    return {
        names.LABEL_NAME: names.APP_NOTEBOOK,
        names.LABEL_INSTANCE: common.label_value(_name(notebook)),
    }


def _complete_ours(spec: dict[str, Any], container: dict[str, Any]) -> None:
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container.setdefault(
        "ports", [{"name": "http", "containerPort": names.HTTP_PORT, "protocol": "TCP"}]
    )
    container.setdefault(
        "readinessProbe",
        {
            "httpGet": {"path": "/api", "port": names.HTTP_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
        },
    )
    common.restrict(spec, container)
    spec.setdefault("automountServiceAccountToken", False)
    spec.setdefault("enableServiceLinks", False)


def _env(notebook: JupyterNotebook, access: GatewayAccess | None) -> list[Object]:
    # Jupyter's gateway client puts it into its URLs as it is (jupyter_server 2.21).
    user = quote(user_of(notebook), safe=_PLAIN)
    env: list[Object] = [{"name": _USER_VARIABLE, "value": user}]
    if access:
        secret = names.gateway_token_secret_name(_name(notebook))
        env.append({"name": "JUPYTER_GATEWAY_URL", "value": access.url})
        env.append(common.from_secret("JUPYTER_GATEWAY_AUTH_TOKEN", secret, TOKEN))
        if access.allowed_env:
            allowed = ",".join(access.allowed_env)
            env.append({"name": "JUPYTER_GATEWAY_ALLOWED_ENVS", "value": allowed})
    return env


def _revision(access: GatewayAccess | None, login_data: Mapping[str, str]) -> str:
    """Return a word that changes with the Secrets and says nothing about them.

    The gateway's token is 256 bits of HMAC, so its hash gives nothing away; a user's own token may
    be short, so a random number stands for it.
    """
    parts = (access.token if access else "", login_data[REVISION])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _metadata(notebook: JupyterNotebook, name: str) -> Object:
    return common.metadata(name, notebook, _labels(notebook))


def _labels(notebook: JupyterNotebook) -> dict[str, str]:
    return common.labels(names.APP_NOTEBOOK, _name(notebook))


def _name(notebook: JupyterNotebook) -> str:
    return notebook.metadata.name or ""
