"""What the five kinds share: the base model, metadata, references and conditions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from elastic_jupyter.api import names

#: Levels of nesting that are kept of JSON whose schema is not ours. A PodTemplateSpec needs ten.
_LEVELS = 50


def _bounded(value: Any, levels: int = _LEVELS) -> Any:
    """Return a copy that any code can walk through: what is nested deeper becomes a text.

    The API server keeps thousands of levels, and refuses the text with the field's name.
    """
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return "nested too deeply"
    if isinstance(value, dict):
        return {key: _bounded(inner, levels - 1) for key, inner in value.items()}
    return [_bounded(inner, levels - 1) for inner in value]


#: JSON of a kind that Kubernetes owns, kept as it came.
Json = Annotated[dict[str, Any], AfterValidator(_bounded)]

INT32: JsonDict = {"format": "int32"}
INT64: JsonDict = {"format": "int64"}

#: Name of an object; where it is read to find one, a ``Reference``.
Name = Annotated[str, Field(max_length=253)]
#: Name of an object that has to exist (RFC 1123 subdomain).
Reference = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Reason = Annotated[str, Field(max_length=1024)]
Message = Annotated[str, Field(max_length=32768)]

#: Longest message that is written into a condition, in characters: the limit of ``metav1``.
MAX_MESSAGE = 32768


class Model(BaseModel):
    """Attributes in snake_case, JSON in camelCase; both are accepted as arguments."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def to_dict(self) -> Json:
        """Return the API's JSON: camelCase, without what is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class OwnerReference(Model):
    """Whom an object goes with."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """Metadata of an object; fields that are not named here are kept."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: list[str] | None = None
    owner_references: list[OwnerReference] | None = None


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation of an object."""

    type: Annotated[str, Field(max_length=316, description="Type of the condition.")]
    status: ConditionStatus = Field(description="Whether it holds: True, False or Unknown.")
    reason: Reason | None = Field(
        default=None, description="One word for programs on why the condition is as it is."
    )
    message: Message | None = Field(
        default=None, description="A sentence for people on why the condition is as it is."
    )
    observed_generation: int | None = Field(
        default=None,
        description="The metadata.generation that this was said of.",
        json_schema_extra=INT64,
    )
    last_update_time: datetime | None = Field(
        default=None, description="When anything in the condition changed last."
    )
    last_transition_time: datetime | None = Field(
        default=None, description="When the status of the condition changed last."
    )


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=32,
        description="What is known of the object, one entry for each type.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    ),
]


class Status(Model):
    """What is: the part that all kinds but JupyterKernel have."""

    observed_generation: int | None = Field(
        default=None,
        description="The metadata.generation that this status was made from.",
        json_schema_extra=INT64,
    )
    conditions: Conditions | None = None


class ObjectReference(Model):
    """A reference to an object. Only ``name`` and ``namespace`` are read."""

    name: Reference = Field(description="Name of the object.")
    namespace: Reference | None = Field(
        default=None, description="Namespace of the object; where absent, the one of the referrer."
    )
    kind: Name | None = Field(default=None, description="Accepted, not read.")
    api_version: Name | None = Field(default=None, description="Accepted, not read.")
    uid: Name | None = Field(default=None, description="Accepted, not read.")
    resource_version: Name | None = Field(default=None, description="Accepted, not read.")
    field_path: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Accepted, not read."
    )


class Column(Model):
    """One column of ``kubectl get``; ``priority`` 1 shows it with ``-o wide`` only."""

    name: str
    type: str
    json_path: str
    description: str | None = None
    priority: int | None = None


READY = Column(
    name="Ready", type="string", json_path='.status.conditions[?(@.type=="Ready")].status'
)
REASON = Column(
    name="Reason", type="string", json_path='.status.conditions[?(@.type=="Ready")].reason'
)
AGE = Column(name="Age", type="date", json_path=".metadata.creationTimestamp")


def rules(*checks: tuple[str, str]) -> JsonDict:
    """Return the schema's part with rules (CEL) that the API server checks, and their messages."""
    return {
        "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in checks]
    }


#: Of kinds that make a Service of their own name.
NAME_OF_A_SERVICE = (
    "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",
    "metadata.name: its Service gets this name, so it must have at most 63 lower-case letters, "
    "digits and hyphens, start with a letter and not end with a hyphen",
)


class Resource(Model):
    """An object of one of the five kinds."""

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[Column, ...]] = (AGE,)

    api_version: str = names.API_VERSION
    kind: str
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
