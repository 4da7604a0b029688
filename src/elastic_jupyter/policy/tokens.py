"""Gateway tokens that name the notebook they were made for.

A token is ``<payload>.<signature>``: base64url JSON and the HMAC-SHA256 of it under the gateway's
master key. The gateway checks it without asking anyone, and takes user and notebook from nowhere
else (ADR 0009).
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

from elastic_jupyter.policy import keys


@dataclass(frozen=True)
class NotebookIdentity:
    """The JupyterNotebook that a request comes from, and its user."""

    namespace: str
    name: str
    uid: str
    user: str


def mint(master: bytes, identity: NotebookIdentity) -> str:
    """Return the token of one notebook; the same arguments give the same token.

    Raises ``ValueError`` when the master key is not usable (``policy.keys``).
    """
    keys.require_usable(master)
    payload = _encode(json.dumps(asdict(identity), sort_keys=True).encode())
    return f"{payload}.{_signature(master, payload)}"


def verify(master: bytes, token: str) -> NotebookIdentity | None:
    """Return whose token it is, or None when it was not minted with this master key."""
    payload, _, signature = token.partition(".")
    if not keys.is_usable(master):
        return None  # anybody could guess it, and sign
    if not hmac.compare_digest(signature.encode(), _signature(master, payload).encode()):
        return None
    try:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return NotebookIdentity(**fields)
    except (ValueError, TypeError, binascii.Error):
        return None


def _signature(master: bytes, payload: str) -> str:
    return _encode(hmac.new(master, b"token:" + payload.encode(), hashlib.sha256).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
