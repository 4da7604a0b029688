"""JupyterNotebook: one user's Jupyter server, a pod without a GPU."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from elastic_jupyter.api.base import (
    AGE,
    INT32,
    NAME_OF_A_SERVICE,
    READY,
    REASON,
    Column,
    Json,
    Model,
    ObjectReference,
    Reference,
    Resource,
    Status,
    rules,
)
from elastic_jupyter.api.embedded import POD_TEMPLATE
from elastic_jupyter.api.volume import QUANTITY, AccessMode


class AuthMode(StrEnum):
    """Whether the notebook asks for a login."""

    ENABLE = "enable"
    DISABLE = "disable"


class SecretReference(Model):
    """A Secret in the notebook's namespace."""

    name: Reference = Field(description="Name of the Secret.")


class Auth(Model):
    """How users log in to the notebook server.

    With neither token nor password a token is made once and kept in the Secret
    ``<notebook>-auth``, key ``token``.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.secretRef) || (!has(self.token) && !has(self.password))",
                "auth.secretRef gives token and password; auth.token and auth.password must not "
                "stand beside it",
            )
        )
    )

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
    secret_ref: SecretReference | None = Field(
        default=None,
        description="A Secret with the keys ``token`` or ``password`` or both, in place of the "
        "fields above. A change of it is seen within a minute.",
    )


class Storage(Model):
    """The volume with the user's files, mounted as the home folder ``/home/jovyan``."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.size) != has(self.claimName)",
                "storage needs size (a claim is made) or claimName (an existing one is used), and "
                "not both",
            ),
            (
                "!has(self.claimName) || (!has(self.className) && !has(self.accessMode))",
                "storage.className and storage.accessMode are of a claim that is made, not of "
                "storage.claimName",
            ),
        )
    )

    size: Annotated[str, Field(pattern=QUANTITY, max_length=32)] | None = Field(
        default=None,
        description="Size of the PersistentVolumeClaim ``<notebook>-storage``, for example 10Gi. "
        "It is made with the notebook, grows with this field where its StorageClass permits, and "
        "is not deleted with the notebook.",
    )
    class_name: Reference | None = Field(
        default=None, description="StorageClass of the claim; default: the cluster's."
    )
    access_mode: AccessMode | None = Field(
        default=None,
        description="ReadWriteOnce (default) or ReadWriteMany, which kernels on other nodes than "
        "the notebook's need.",
    )
    claim_name: Reference | None = Field(
        default=None, description="An existing PersistentVolumeClaim of this namespace."
    )
    share_with_kernels: bool | None = Field(
        default=None,
        description="Whether kernels in this namespace have the volume, too, at the same path, and "
        "start in the folder of their notebook; default true.",
    )


class ServiceType(StrEnum):
    """How a Service is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Service(Model):
    """The Service of the notebook server, port 8888."""

    type: ServiceType | None = Field(
        default=None, description="ClusterIP (default), NodePort or LoadBalancer."
    )
    annotations: (
        Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)] | None
    ) = Field(
        default=None, description="Annotations of the Service, for load balancers and the like."
    )


class NotebookSpec(Model):
    """What a user wants."""

    gateway: ObjectReference | None = Field(
        default=None, description="The JupyterGateway that runs the kernels of this notebook."
    )
    auth: Auth | None = Field(default=None, description="How users log in.")
    storage: Storage | None = Field(
        default=None,
        description="The volume with the user's files; where absent, they go with the pod.",
    )
    service: Service | None = Field(
        default=None, description="The Service by which the notebook server is reached."
    )
    template: Json | None = Field(
        default=None,
        description="Pod of the notebook server (PodTemplateSpec). Its first container is the "
        "server's and gets gateway and login by environment variables and mounted files. Where "
        "absent, the operator's notebook image runs.",
        json_schema_extra=POD_TEMPLATE,
    )


class NotebookStatus(Status):
    """What is."""

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
        json_schema_extra=rules(
            (
                "has(self.spec) && (has(self.spec.gateway) || has(self.spec.template))",
                "spec.gateway or spec.template is needed: without a gateway the notebook has no "
                "kernels, without a template no other server",
            ),
            NAME_OF_A_SERVICE,
        )
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
