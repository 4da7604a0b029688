"""What the gateway wants of one kernel: the spec side of a JupyterKernel, and its tombstone."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel, ReclaimPolicy
from elastic_jupyter.errors import Invalid
from elastic_jupyter.gateway import sessions
from elastic_jupyter.gateway.provisioner import now_stamp
from elastic_jupyter.gateway.sessions import KernelSession, Sessions
from elastic_jupyter.policy.compose import unescaped
from elastic_jupyter.policy.pod_template import first_container, variables
from elastic_jupyter.policy.tokens import NotebookIdentity
from elastic_jupyter.policy.usage import NOTHING, Usage, annotation, from_json, to_json

_ENV_NAME = re.compile(r"KERNEL_[A-Z0-9_]+\Z")
#: What says whose kernel it is. Comes from the notebook's token and the object alone.
_OURS = frozenset(("KERNEL_USERNAME", "KERNEL_ID", "KERNEL_NAMESPACE"))
#: Bytes of a client's variables, names and values. They are in the object and in the tombstone,
#: where JSON may make six of one, and all that a tombstone must have has to fit.
MAX_ENV = 64 * 1024


@dataclass(frozen=True)
class Wish:
    """One kernel as its user asked for it.

    ``template`` is the PodTemplateSpec as a dict; None: it was too large to be remembered, and is
    made from the kernel spec again.
    """

    name: str
    namespace: str
    gateway: str
    gateway_uid: str
    kernel_id: str
    spec_name: str
    identity: NotebookIdentity
    env: Mapping[str, str]
    template: Mapping[str, Any] | None
    sessions: Sessions = ()
    usage: Usage = NOTHING
    keep_until: datetime | None = None
    policy: ReclaimPolicy = ReclaimPolicy.DELETE

    def build(self, last_epoch: int, *, asleep: bool = False) -> JupyterKernel:
        """Return the object to create; its first pod has the epoch after ``last_epoch``.

        ``asleep``: it gets no pod before it is woken; until then nothing has run (ADR 0017).
        """
        said = sessions.write(self.sessions)
        used = annotation(self.usage) if self.usage != NOTHING else ""
        return JupyterKernel.model_validate(
            {
                "metadata": {
                    "name": self.name,
                    "namespace": self.namespace,
                    "labels": {
                        names.LABEL_NAME: "jupyter-kernel",
                        names.LABEL_INSTANCE: self.name,
                        names.LABEL_MANAGED_BY: names.MANAGED_BY,
                        names.LABEL_GATEWAY: self.gateway,
                        names.LABEL_KERNEL_ID: self.kernel_id,
                    },
                    "annotations": {
                        names.ANNOTATION_ASKED_AT: now_stamp(),
                        names.ANNOTATION_LAST_EPOCH: str(last_epoch),
                        names.ANNOTATION_CLIENT_ENV: ",".join(sorted(self.env)),
                        **({names.ANNOTATION_SESSIONS: said} if said else {}),
                        **({names.ANNOTATION_GPU_USAGE: used} if used else {}),
                    },
                    "ownerReferences": [
                        {
                            "apiVersion": names.API_VERSION,
                            "kind": "JupyterGateway",
                            "name": self.gateway,
                            "uid": self.gateway_uid,
                            "controller": True,
                            "blockOwnerDeletion": False,
                        }
                    ],
                },
                "spec": {
                    "template": dict(self.template or {}),
                    "kernelID": self.kernel_id,
                    "kernelSpecName": self.spec_name,
                    "gatewayRef": {"namespace": self.namespace, "name": self.gateway},
                    **({"keepUntil": self.keep_until} if self.keep_until else {}),
                    **({"reclaimPolicy": self.policy} if self.hibernates else {}),
                    **({"suspend": True, "snapshot": {"epoch": last_epoch}} if asleep else {}),
                    **self._whose(),
                },
            }
        )

    @property
    def image(self) -> str:
        """The image of the kernel's container; empty where none is named, as on one machine."""
        return str(first_container(self.template or {}).get("image") or "")

    @property
    def hibernates(self) -> bool:
        """Whether its variables are to be saved when its resources are taken back."""
        return self.policy is ReclaimPolicy.HIBERNATE

    def _whose(self) -> dict[str, Any]:
        """Return the user and the notebook; a kernel that was made by hand may have neither."""
        whose = self.identity
        notebook = {"namespace": whose.namespace, "name": whose.name, "uid": whose.uid}
        return {
            **({"notebookRef": notebook} if whose.uid else {}),
            **({"user": whose.user} if whose.user else {}),
        }

    @classmethod
    def of(cls, kernel: JupyterKernel, *, gateway: str, gateway_uid: str) -> "Wish":
        """Read the wish back from an object that this gateway, or the one before it, made."""
        spec, metadata = kernel.spec, kernel.metadata
        notebook = spec.notebook_ref
        template = spec.template or {}
        return cls(
            name=metadata.name or "",
            namespace=metadata.namespace or "",
            gateway=gateway,
            gateway_uid=gateway_uid,
            kernel_id=spec.kernel_id or "",
            spec_name=spec.kernel_spec_name or "",
            identity=NotebookIdentity(
                namespace=(notebook.namespace if notebook else None) or "",
                name=(notebook.name if notebook else None) or "",
                uid=(notebook.uid if notebook else None) or "",
                user=spec.user or "",
            ),
            env=_client_env(template, _names_of_client_env(kernel)),
            template=template,
            sessions=sessions_of(kernel),
            policy=spec.reclaim_policy or ReclaimPolicy.DELETE,
        )

    def with_sessions(self, kept: Sessions) -> "Wish":
        """Return the same wish with other sessions."""
        return replace(self, sessions=kept)

    def with_usage(self, usage: Usage) -> "Wish":
        """Return the same wish with another usage."""
        return replace(self, usage=usage)

    def kept_until(self, keep_until: datetime | None) -> "Wish":
        """Return the same wish with another ``spec.keepUntil`` (aware UTC); None: without."""
        return replace(self, keep_until=keep_until)

    def with_policy(self, policy: ReclaimPolicy) -> "Wish":
        """Return the same wish with another policy of reclaim."""
        return replace(self, policy=policy)

    def with_template(self, template: Mapping[str, Any]) -> "Wish":
        """Return the same wish with another pod template."""
        return replace(self, template=template)

    def tombstones(self, **more: Any) -> Iterator[dict[str, Any]]:
        """Return what has to be remembered of the kernel while it has no object, and ``more``.

        The first has everything; each of the next is for a store that found the one before too
        large, and says under ``lost`` what it lacks.
        """
        identity = self.identity
        least = {
            "name": self.name,
            "spec": self.spec_name,
            "user": identity.user,
            "notebook": {
                "namespace": identity.namespace,
                "name": identity.name,
                "uid": identity.uid,
            },
            "env": {},
            "template": None,
            "sessions": [],
            "usage": to_json(self.usage),
            **more,
        }
        rest = {"env": dict(self.env), "sessions": sessions.to_json(self.sessions)}
        if self.template is not None:
            # The variables are in the template already: their names are enough.
            yield {**least, **rest, "template": dict(self.template), "env": sorted(self.env)}
        yield {**least, **rest, "lost": "pod template"}
        yield {**least, "lost": "pod template, environment and session"}

    @classmethod
    def of_tombstone(
        cls, kernel_id: str, tombstone: Mapping[str, Any], *, namespace: str, gateway: str, uid: str
    ) -> "Wish":
        """Read back one of ``tombstones``; ``uid`` is the gateway's.

        Raises ``KeyError``, ``TypeError`` or ``ValueError`` when it is something else.
        """
        env, template = tombstone["env"], tombstone["template"]
        template = None if template is None else dict(template)
        return cls(
            name=tombstone["name"],
            namespace=namespace,
            gateway=gateway,
            gateway_uid=uid,
            kernel_id=kernel_id,
            spec_name=tombstone["spec"],
            identity=NotebookIdentity(**tombstone["notebook"], user=tombstone["user"]),
            env=env if isinstance(env, Mapping) else _client_env(template or {}, env),
            template=template,
            sessions=tuple(KernelSession.of(one) for one in tombstone["sessions"]),
            usage=from_json(tombstone.get("usage")),
        )


def sessions_of(kernel: JupyterKernel) -> Sessions:
    """Return the sessions that an object says are on it."""
    return sessions.read((kernel.metadata.annotations or {}).get(names.ANNOTATION_SESSIONS))


def allowed_env(env: Mapping[str, Any], *, also: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that a client may set: ``KERNEL_*`` and the names in ``also``.

    Never those that say who the user is: that comes from the token alone. Raises ``Invalid`` when
    they have more than ``MAX_ENV`` bytes.
    """
    allowed = {
        name: str(value)
        for name, value in env.items()
        if (_ENV_NAME.match(name) or name in also) and name not in _OURS
    }
    size = sum(len(part.encode()) for variable in allowed.items() for part in variable)
    if size > MAX_ENV:
        raise Invalid(
            f"env has {size} bytes in the names and values that a kernel gets; at most {MAX_ENV} "
            "are allowed: put large values into a file"
        )
    return allowed


def _names_of_client_env(kernel: JupyterKernel) -> list[str]:
    return (kernel.metadata.annotations or {}).get(names.ANNOTATION_CLIENT_ENV, "").split(",")


def _client_env(template: Mapping[str, Any], said: Collection[str]) -> dict[str, str]:
    """Return the variables ``said``, which the client had set, of a template ``compose`` made."""
    return {
        name: unescaped(value)
        for name, value in variables(first_container(template)).items()
        if name in said
    }
