"""What one call of the command asks for, from its flags and the environment. Pure.

Source: the original's ``cli/cmd/root.go``; what Enterprise Gateway puts into the environment of a
launcher, in its process proxies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from elastic_jupyter.api import names
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.store.protocol import Key

KERNEL_ID = "--RemoteProcessProxy.kernel-id"
PORT_RANGE = "--RemoteProcessProxy.port-range"
RESPONSE_ADDRESS = "--RemoteProcessProxy.response-address"
PUBLIC_KEY = "--RemoteProcessProxy.public-key"
SPARK_CONTEXT_INIT_MODE = "--RemoteProcessProxy.spark-context-initialization-mode"
TEMPLATE_NAME = "--kernel-template-name"
TEMPLATE_NAMESPACE = "--kernel-template-namespace"

#: The variables of the container, by the setting that they come from. The first three are what a
#: kernel image of Enterprise Gateway needs to call back with its connection file.
_CONTAINER_ENV = {
    PORT_RANGE: "EG_PORT_RANGE",
    RESPONSE_ADDRESS: "EG_RESPONSE_ADDRESS",
    PUBLIC_KEY: "EG_PUBLIC_KEY",
    SPARK_CONTEXT_INIT_MODE: "KERNEL_SPARK_CONTEXT_INIT_MODE",
    "KERNEL_LANGUAGE": "KERNEL_LANGUAGE",
    "KERNEL_NAME": "KERNEL_NAME",
}

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_LABEL_WORDS = "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends"
_SUBDOMAIN = rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*"

#: What a setting must look like when it is given.
_FORMS: dict[str, tuple[str, str]] = {
    KERNEL_ID: (
        r"[a-z0-9]([-a-z0-9]{0,34}[a-z0-9])?",
        "the kernel's id: at most 36 of a-z, 0-9 and '-', with a letter or digit at both ends",
    ),
    PORT_RANGE: (r"\d{1,5}\.\.\d{1,5}", "two ports like 40000..42000, or 0..0"),
    RESPONSE_ADDRESS: (r"\S+:\d{1,5}", "an address like 10.0.0.1:8877"),
    PUBLIC_KEY: (r"[A-Za-z0-9+/=]+", "a public key in base64, on one line"),
    TEMPLATE_NAME: (_SUBDOMAIN, "the name of a JupyterKernelTemplate"),
    TEMPLATE_NAMESPACE: (_LABEL, "the name of a namespace"),
    "EG_NAME": (_SUBDOMAIN, "the name of a JupyterGateway"),
    "EG_NAMESPACE": (_LABEL, "the name of a namespace"),
    "KERNEL_NAMESPACE": (_LABEL, "the name of a namespace"),
    "KERNEL_POD_NAME": (_LABEL, f"the name of the kernel: {_LABEL_WORDS}"),
    "KERNEL_USERNAME": (r".{1,253}", "at most 253 characters"),
    "KERNEL_NAME": (r".{1,253}", "at most 253 characters"),
}


@dataclass(frozen=True)
class Launch:
    """A kernel that is asked for.

    Attributes:
        key: namespace and name of the JupyterKernel.
        template: namespace and name of the JupyterKernelTemplate.
        gateway: the JupyterGateway that owns the kernel, in the kernel's namespace.
        gateway_uid: its uid where the environment tells it, as that of our gateway's pod does.
        image: wins over the template's.
        env: variables of the kernel's container, besides those that the operator sets in each.
    """

    key: Key
    kernel_id: str
    template: Key
    gateway: str
    gateway_uid: str | None
    image: str | None
    user: str | None
    spec_name: str | None
    env: Mapping[str, str]

    @classmethod
    def read(cls, flags: Mapping[str, str], environ: Mapping[str, str]) -> "Launch":
        """Read ``flags``, under their names with the hyphens, and the environment.

        What is empty counts as not given. Raises ``ConfigError``, which names the flag or variable.
        """
        given = _given({**environ, **flags})
        gateway, uid = _gateway(given)
        namespace = _namespace(given)
        kernel_id = _required(given, KERNEL_ID, "the id of the kernel")
        user = given.get("KERNEL_USERNAME")
        name = given.get("KERNEL_POD_NAME")
        return cls(
            key=Key(namespace, name or names.kernel_object_name(user or "", kernel_id)),
            kernel_id=kernel_id,
            template=Key(
                _required(given, TEMPLATE_NAMESPACE, "the namespace of the JupyterKernelTemplate"),
                _required(given, TEMPLATE_NAME, "the JupyterKernelTemplate that gives the pod"),
            ),
            gateway=gateway,
            gateway_uid=uid,
            image=given.get("KERNEL_IMAGE"),
            user=user,
            spec_name=given.get("KERNEL_NAME"),
            env={
                variable: given[setting]
                for setting, variable in _CONTAINER_ENV.items()
                if setting in given
            },
        )


def _given(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what is not empty of our settings; raises ``ConfigError`` when one has no form."""
    ours = (*_FORMS, *_CONTAINER_ENV, "KERNEL_IMAGE", *_OF_OUR_GATEWAY)
    given = {name: settings[name] for name in ours if settings.get(name)}
    for name, value in given.items():
        if not value.isprintable():  # control characters, or bytes that are no UTF-8
            raise ConfigError(f"{name} must be printable text, not {value!a}")
        form, words = _FORMS.get(name, (".*", ""))
        if not re.fullmatch(form, value):
            raise ConfigError(f"{name} must be {words}; it is {value!r}")
    return given


def _required(given: Mapping[str, str], name: str, meaning: str) -> str:
    if name not in given:
        raise ConfigError(f"{name} is missing: {meaning}")
    return given[name]


#: Our gateway's pod has these in its environment, and not the original's EG_NAME, EG_NAMESPACE.
_OF_OUR_GATEWAY = (
    "ELASTIC_JUPYTER_GATEWAY",
    "ELASTIC_JUPYTER_NAMESPACE",
    "ELASTIC_JUPYTER_GATEWAY_UID",
)


def _gateway(given: Mapping[str, str]) -> tuple[str, str | None]:
    ours, _, uid = (given.get(name) for name in _OF_OUR_GATEWAY)
    if "EG_NAME" in given:
        return given["EG_NAME"], None
    if ours:
        return ours, uid
    raise ConfigError("the variable EG_NAME is missing: the JupyterGateway that owns the kernel")


def _namespace(given: Mapping[str, str]) -> str:
    """Return the kernel's namespace: an owner in another one is invalid."""
    gateway = given.get("EG_NAMESPACE") or given.get("ELASTIC_JUPYTER_NAMESPACE")
    if gateway is None:
        raise ConfigError("the variable EG_NAMESPACE is missing: the JupyterGateway's namespace")
    wanted = given.get("KERNEL_NAMESPACE", gateway)
    if wanted != gateway:
        raise ConfigError(
            f"KERNEL_NAMESPACE must be the namespace of the JupyterGateway, {gateway}; it is "
            f"{wanted!r}"
        )
    return wanted
