"""What clients send to start a kernel, read with care. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


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
        try:
            said = json.loads(body) if body.strip() else {}
            json.dumps(said, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the body is no JSON: {error}") from error
        if said is None:
            said = {}
        if not isinstance(said, dict):
            raise ValueError("the body must be a JSON object")
        name, env = said.get("name"), said.get("env")
        if not isinstance(name, str | None):
            raise ValueError("name must be a string: that of a kernel spec")
        if not isinstance(env, dict | None):
            raise ValueError("env must be an object of names and values")
        for variable, value in (env or {}).items():
            if not isinstance(value, str):
                raise ValueError(f"env.{variable} must be a string")
        return cls(name or None, env or {})
