"""Passwords of notebook servers, in the form in which Jupyter checks them.

Jupyter takes ``argon2:<hash>`` or ``<algorithm>:<salt>:<hex digest of password and salt>``
(jupyter_server.auth.security.passwd_check, 2.21).
"""

import hashlib
import hmac
import re

_HASHED = re.compile(r"argon2:\$argon2.+|(sha1|sha256|sha384|sha512):[0-9a-f]+:[0-9a-f]+")


def is_hashed(password: str) -> bool:
    """Say whether this is a hash as ``jupyter server password`` makes it."""
    return _HASHED.fullmatch(password) is not None


def hashed(password: str, *, salt: str) -> str:
    """Return the hash that Jupyter compares with; ``salt`` is random hex digits."""
    digest = hashlib.sha256(password.encode() + salt.encode()).hexdigest()
    return f"sha256:{salt}:{digest}"


def matches(password: str, stored: str) -> bool:
    """Say whether ``stored`` was made by ``hashed`` from this password, or is the same hash."""
    if is_hashed(password):
        return hmac.compare_digest(password.encode(), stored.encode())
    salt = stored.partition(":")[2].partition(":")[0]
    return hmac.compare_digest(hashed(password, salt=salt).encode(), stored.encode())
