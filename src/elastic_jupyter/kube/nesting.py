"""JSON that is nested deeper than Python can read, with the excess cut out. Pure.

In fields whose schema it does not check the API server keeps some 10,000 levels, and a decoder here
ends at about a thousand. Without this, one object would blind its reader for all others.
"""

import re

#: Levels that are kept. Kubernetes' own kinds need about 20, a list's envelope included.
LEVELS = 100
#: What stands in the place of the rest. No field of Kubernetes takes it where something is nested.
CUT = '"nested too deeply"'

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def cut(content: bytes, *, levels: int = LEVELS) -> bytes:
    """Return JSON with whatever is in more than ``levels`` objects and lists replaced by a text.

    What is no JSON stays so.
    """
    kept: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(content):
        char = token[0][:1]
        if char in b"[{":
            depth += 1
            if depth == levels + 1:
                kept += (content[start : token.start()], CUT.encode())
        elif char in b"]}":
            if depth == levels + 1:
                start = token.end()
            depth -= 1
    return b"".join([*kept, content[start:]])
