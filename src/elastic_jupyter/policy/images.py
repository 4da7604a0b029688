"""Images of the original, and what runs in their place.

The images that the original's manifests name hold years-old pins of Enterprise Gateway and its
kernels, which cannot work here; everything else is taken literally.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: Last part of an image's name, without tag and digest.
_GATEWAY = re.compile(r"enterprise-gateway([-_].*)?")
_KERNEL = re.compile(r"(jupyter-)?kernel-(py|tf-py|tf-gpu-py)|jupyter-kernel-py[-_].*")

#: Where ``kubeflow-launcher`` says that an Enterprise Gateway waits for a kernel's connection file.
_CALLS_BACK = "EG_RESPONSE_ADDRESS"


@dataclass(frozen=True)
class Images:
    """The images of this installation."""

    gateway: str
    notebook: str
    kernel: str


@dataclass(frozen=True)
class Choice:
    """The image that runs; ``replaced`` is the one that was asked for, if it is not that."""

    image: str
    replaced: str | None = None


def gateway(asked: str | None, ours: Images) -> Choice:
    """Return the image of a gateway that asked for ``asked``."""
    if not asked:
        return Choice(ours.gateway)
    if asked != ours.gateway and _GATEWAY.fullmatch(base_name(asked)):
        return Choice(ours.gateway, replaced=asked)
    return Choice(asked)


def kernel(asked: str | None, ours: Images, *, env: Iterable[Any] = ()) -> Choice:
    """Return the image of a kernel that asked for ``asked``; ``env`` is its container's (EnvVar).

    A kernel that is to call back an Enterprise Gateway gets what it asked for: ours does not.
    """
    if not asked:
        return Choice(ours.kernel)
    if any(isinstance(entry, Mapping) and entry.get("name") == _CALLS_BACK for entry in env):
        return Choice(asked)
    if asked != ours.kernel and _KERNEL.fullmatch(base_name(asked)):
        return Choice(ours.kernel, replaced=asked)
    return Choice(asked)


def base_name(image: str) -> str:
    """Return the last part of an image's name: ``b`` of ``registry:5000/a/b:tag@sha256:...``."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[0]
