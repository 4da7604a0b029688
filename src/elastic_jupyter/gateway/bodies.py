"""What clients send, read with care: whatever is wrong is a ``ValueError``. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from elastic_jupyter import untrusted_json


@dataclass(frozen=True)
class Start:
    """A wish for a kernel: ``name`` None asks for the default."""

    name: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, body: bytes) -> "Start":
        """Read the body of ``POST /api/kernels``; other fields than ours are left to others.

        Raises ``ValueError``, which names the field.
        """
        said = read_object(body)
        name, env = said.get("name"), said.get("env")
        if not isinstance(name, str | None):
            raise ValueError("name must be a string: that of a kernel spec")
        if not isinstance(env, dict | None):
            raise ValueError("env must be an object of names and values")
        for variable, value in (env or {}).items():
            if not isinstance(value, str):
                raise ValueError(f"env.{variable} must be a string")
        return cls(name or None, env or {})


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, an empty one where there is none.

    Raises ``ValueError``.
    """
    try:
        with untrusted_json.reading():
            said = json.loads(body) if body.strip() else None
            json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError as error:
        raise ValueError(f"the body is no JSON: {error}") from error
    if not isinstance(said, dict | None):
        raise ValueError("the body must be a JSON object")
    return said or {}
