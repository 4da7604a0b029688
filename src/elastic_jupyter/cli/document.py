"""Facts for programs: JSON or YAML."""

import json
from typing import Any


def render(content: Any, fmt: str) -> str:
    """Return a document in ``json`` or ``yaml``, without a line break at its end."""
    if fmt == "json":
        return json.dumps(content, indent=2, ensure_ascii=False)
    import yaml  # takes as long as the rest of the command, and few ask for it

    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def render_next(content: Any, fmt: str) -> str:
    """Return one of several documents: JSON in a line, YAML below ``---``."""
    if fmt == "json":
        return json.dumps(content, ensure_ascii=False)
    return f"---\n{render(content, fmt)}"
