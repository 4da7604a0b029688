"""Keys of a kernel, derived so that two processes know them without passing them.

The operator writes a kernel's key into its Secret, the gateway connects with it; both derive it
from the gateway's master key and the JupyterKernel's uid, so the gateway needs no right on Secrets.
"""

import hashlib
import hmac

#: A master key that is shorter can be guessed.
_MIN_BYTES = 16


def is_usable(master: bytes) -> bool:
    """Say whether keys and tokens may derive from a master key: it has 16 bytes at least."""
    return len(master) >= _MIN_BYTES


def connection_key(master: bytes, uid: str) -> str:
    """Return the HMAC key (64 hex digits) that signs the messages of the kernel object ``uid``.

    Raises ``ValueError`` when the master key is not usable.
    """
    return _derived(master, f"connection:{uid}")


def address_token(master: bytes, uid: str, epoch: int) -> str:
    """Return the token (64 hex digits) with which one incarnation tells the gateway its address.

    Raises ``ValueError`` as ``connection_key`` does.
    """
    return _derived(master, f"address:{uid}:{epoch}")


def snapshot_key(master: bytes) -> bytes:
    """Return the key that signs saved variables: what they list is run when they are restored.

    Raises ``ValueError`` as ``connection_key`` does.
    """
    return bytes.fromhex(_derived(master, "snapshots"))


def digest(master: bytes) -> str:
    """Return by what a master key is told from another one (64 hex digits), and no more of it.

    Raises ``ValueError`` as ``connection_key`` does.
    """
    return _derived(master, "digest")


def require_usable(master: bytes) -> None:
    """Raise ``ValueError`` when a master key is not usable."""
    if not is_usable(master):
        raise ValueError(f"the master key has {len(master)} bytes, it needs {_MIN_BYTES} at least")


def _derived(master: bytes, purpose: str) -> str:
    require_usable(master)
    return hmac.new(master, purpose.encode(), hashlib.sha256).hexdigest()
