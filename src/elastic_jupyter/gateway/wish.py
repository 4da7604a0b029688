"""What the gateway wants of one kernel: the spec side of a JupyterKernel, and its tombstone."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.gateway import sessions
from elastic_jupyter.gateway.provisioner import asked_at
from elastic_jupyter.gateway.sessions import KernelSession, Sessions
from elastic_jupyter.policy.compose import unescaped
from elastic_jupyter.policy.pod_template import first_container, variables
from elastic_jupyter.policy.tokens import NotebookIdentity

_ENV_NAME = re.compile(r"KERNEL_[A-Z0-9_]+\Z")
#: What says whose kernel it is. Comes from the notebook's token and the object alone.
_OURS = frozenset(("KERNEL_USERNAME", "KERNEL_ID", "KERNEL_NAMESPACE"))


@dataclass(frozen=True)
class Wish:
    """One kernel as its user asked for it; ``template`` is the PodTemplateSpec as a dict."""

    name: str
    namespace: str
    gateway: str
    gateway_uid: str
    kernel_id: str
    spec_name: str
    identity: NotebookIdentity
    env: Mapping[str, str]
    template: Mapping[str, Any]
    sessions: Sessions = ()

    def build(self, last_epoch: int) -> JupyterKernel:
        """Return the object to create; its first pod has the epoch after ``last_epoch``."""
        said = sessions.write(self.sessions)
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
                        names.ANNOTATION_ASKED_AT: asked_at(),
                        names.ANNOTATION_LAST_EPOCH: str(last_epoch),
                        names.ANNOTATION_CLIENT_ENV: ",".join(sorted(self.env)),
                        **({names.ANNOTATION_SESSIONS: said} if said else {}),
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
                    "template": dict(self.template),
                    "kernelID": self.kernel_id,
                    "kernelSpecName": self.spec_name,
                    "gatewayRef": {"namespace": self.namespace, "name": self.gateway},
                    **self._whose(),
                },
            }
        )

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
            env=_client_env(kernel, template),
            template=template,
            sessions=sessions_of(kernel),
        )

    def with_sessions(self, kept: Sessions) -> "Wish":
        """Return the same wish with other sessions."""
        return replace(self, sessions=kept)

    def with_template(self, template: Mapping[str, Any]) -> "Wish":
        """Return the same wish with another pod template."""
        return replace(self, template=template)

    def tombstone(self, *, epoch: int, reason: str) -> dict[str, Any]:
        """Return what has to be remembered of the kernel while it has no object."""
        identity = self.identity
        return {
            "name": self.name,
            "spec": self.spec_name,
            "user": identity.user,
            "notebook": {
                "namespace": identity.namespace,
                "name": identity.name,
                "uid": identity.uid,
            },
            "env": dict(self.env),
            "template": dict(self.template),
            "sessions": sessions.to_json(self.sessions),
            "epoch": epoch,
            "reason": reason,
        }

    @classmethod
    def of_tombstone(
        cls, kernel_id: str, tombstone: Mapping[str, Any], *, namespace: str, gateway: str, uid: str
    ) -> "Wish":
        """Read back what ``tombstone`` wrote; ``uid`` is the gateway's.

        Raises ``KeyError``, ``TypeError`` or ``ValueError`` when it is something else.
        """
        return cls(
            name=tombstone["name"],
            namespace=namespace,
            gateway=gateway,
            gateway_uid=uid,
            kernel_id=kernel_id,
            spec_name=tombstone["spec"],
            identity=NotebookIdentity(**tombstone["notebook"], user=tombstone["user"]),
            env=tombstone["env"],
            template=tombstone["template"],
            sessions=tuple(KernelSession.of(one) for one in tombstone["sessions"]),
        )


def sessions_of(kernel: JupyterKernel) -> Sessions:
    """Return the sessions that an object says are on it."""
    return sessions.read((kernel.metadata.annotations or {}).get(names.ANNOTATION_SESSIONS))


def allowed_env(env: Mapping[str, Any], *, also: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that a client may set: ``KERNEL_*`` and the names in ``also``.

    Never those that say who the user is: that comes from the token alone.
    """
    return {
        name: str(value)
        for name, value in env.items()
        if (_ENV_NAME.match(name) or name in also) and name not in _OURS
    }


def _client_env(kernel: JupyterKernel, template: Mapping[str, Any]) -> dict[str, str]:
    """Return what the client had set of the variables in a template that ``compose`` made."""
    said = (kernel.metadata.annotations or {}).get(names.ANNOTATION_CLIENT_ENV, "").split(",")
    return {
        name: unescaped(value)
        for name, value in variables(first_container(template)).items()
        if name in said
    }
