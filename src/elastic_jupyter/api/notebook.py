"""JupyterNotebook: one user's Jupyter server, a pod without a GPU."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from elastic_jupyter.api.base import (
    AGE,
    INT32,
    INT64,
    PRESERVED,
    READY,
    REASON,
    Column,
    Conditions,
    Json,
    Model,
    ObjectReference,
    Resource,
)


class AuthMode(StrEnum):
    """Whether the notebook asks for a login."""

    ENABLE = "enable"
    DISABLE = "disable"


class Auth(Model):
    """How users log in to the notebook server.

    With neither token nor password a token is made once and kept in the Secret
    ``<notebook>-auth``, key ``token``.
    """

    mode: AuthMode | None = Field(
        default=None,
        description="``disable`` lets in everybody who can reach the notebook, and a token or "
        "password given beside it is not used; ``enable`` or absent asks for a login.",
    )
    token: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="The login token."
    )
    password: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None,
        description="The login password: Jupyter's hash of it (``argon2:...``, ``sha1:...`` or "
        "``sha256:...``) or the password itself, which is hashed before the pod sees it.",
    )


class NotebookSpec(Model):
    """What a user wants."""

    gateway: ObjectReference | None = Field(
        default=None, description="The JupyterGateway that runs the kernels of this notebook."
    )
    auth: Auth | None = Field(default=None, description="How users log in.")
    template: Json | None = Field(
        default=None,
        description="Pod of the notebook server (PodTemplateSpec). Its first container is the "
        "server's and gets the gateway and the login by environment variables and arguments. Where "
        "absent, the operator's notebook image runs.",
        json_schema_extra=PRESERVED,
    )


class NotebookStatus(Model):
    """What is."""

    observed_generation: int | None = Field(
        default=None,
        description="The metadata.generation that this status was made from.",
        json_schema_extra=INT64,
    )
    conditions: Conditions | None = None
    url: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Address of the notebook server inside the cluster."
    )
    ready_replicas: int | None = Field(
        default=None,
        description="Number of notebook pods that answer.",
        json_schema_extra=INT32,
    )


class JupyterNotebook(Resource):
    """A Jupyter server whose kernels run in pods of their own, by way of a JupyterGateway."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.spec) && (has(self.spec.gateway) || has(self.spec.template))",
                    "message": "spec.gateway or spec.template is needed: without a gateway the "
                    "notebook has no kernels, without a template no other server",
                }
            ]
        }
    )
    plural: ClassVar[str] = "jupyternotebooks"
    short_names: ClassVar[tuple[str, ...]] = ("jnb",)
    columns: ClassVar[tuple[Column, ...]] = (
        READY,
        REASON,
        Column(name="Gateway", type="string", json_path=".spec.gateway.name"),
        Column(name="URL", type="string", json_path=".status.url", priority=1),
        AGE,
    )

    kind: Literal["JupyterNotebook"] = "JupyterNotebook"
    spec: NotebookSpec = Field(default_factory=NotebookSpec)
    status: NotebookStatus | None = None
