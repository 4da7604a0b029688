"""Schemas of Kubernetes' own kinds within ours: as much of them as is worth refusing at once.

What is said here the API server checks when somebody applies an object, and names the field.
Everything else of a pod is kept as it came; whether it is right shows when a pod is made of it,
and the object's condition tells.
"""

from pydantic.config import JsonDict

#: Bytes of one argument or variable that Linux hands to a process (MAX_ARG_STRLEN).
_LONGEST = 131_072
_MANY = 4096


def _text(description: str, longest: int = _LONGEST) -> JsonDict:
    return {"type": "string", "maxLength": longest, "description": description}


def _texts(description: str) -> JsonDict:
    return {
        "type": "array",
        "maxItems": _MANY,
        "description": description,
        "items": {"type": "string", "maxLength": _LONGEST},
    }


def _map(description: str, longest: int) -> JsonDict:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": {"type": "string", "maxLength": longest},
        "maxProperties": _MANY,
    }


def _open(description: str, **properties: JsonDict) -> JsonDict:
    """An object of which only ``properties`` are checked."""
    schema: JsonDict = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "description": description,
    }
    return schema | {"properties": dict(properties)} if properties else schema


def _list(description: str, entry: JsonDict) -> JsonDict:
    items = {key: value for key, value in entry.items() if key != "description"}
    return {"type": "array", "maxItems": _MANY, "description": description, "items": items}


#: ResourceRequirements.
RESOURCES: JsonDict = {
    "type": "object",
    "properties": {
        "limits": _open("Most that may be used, for example nvidia.com/gpu: 1."),
        "requests": _open("What is reserved; default: the limits."),
        "claims": _list("Claims of spec.resourceClaims.", _open("")),
    },
}
#: EnvVar.
ENV_VAR: JsonDict = _open(
    "An environment variable.",
    name=_text("Name of the variable.", 1024),
    value=_text("Its value; numbers need quotes."),
) | {"required": ["name"]}

_CONTAINER = _open(
    "A container.",
    name=_text("Name of the container.", 63),
    image=_text("Image of the container.", 1024),
    command=_texts("What is run; default: the image's entrypoint."),
    args=_texts("Arguments of the command."),
    env=_list("Environment variables (EnvVar).", ENV_VAR),
    resources=RESOURCES | {"description": "Compute resources (ResourceRequirements)."},
    volumeMounts=_list("Where volumes appear (VolumeMount).", _open("")),
)

#: PodTemplateSpec. Beside metadata and spec it has nothing, so that what is put beside them by
#: mistake is an unknown field.
POD_TEMPLATE: JsonDict = {
    "type": "object",
    "properties": {
        "metadata": _open(
            "Labels and annotations of the pod. Unknown keys become labels.",
            labels=_map("Labels of the pod.", 63),
            annotations=_map("Annotations of the pod.", 262_144),
        ),
        "spec": _open(
            "The pod (PodSpec); fields that are not listed here are taken, too.",
            containers=_list("Containers; the first is ours to complete.", _CONTAINER)
            | {"minItems": 1},
            initContainers=_list("Containers that run before.", _CONTAINER),
            volumes=_list("Volumes (Volume).", _open("")),
        ),
    },
}
