"""Keys of a kernel, derived so that two processes know them without passing them.

The operator writes a kernel's key into its Secret, the gateway connects with it; both derive it
from the gateway's master key and the JupyterKernel's uid, so the gateway needs no right on Secrets.
"""

import hashlib
import hmac


def connection_key(master: bytes, uid: str) -> str:
    """Return the HMAC key (64 hex digits) that signs the messages of the kernel object ``uid``.

    Raises ``ValueError`` when the master key is shorter than 16 bytes: such a key can be guessed.
    """
    return _derived(master, f"connection:{uid}")


def address_token(master: bytes, uid: str, epoch: int) -> str:
    """Return the token (64 hex digits) with which one incarnation tells the gateway its address.

    Raises ``ValueError`` as ``connection_key`` does.
    """
    return _derived(master, f"address:{uid}:{epoch}")


def _derived(master: bytes, purpose: str) -> str:
    if len(master) < 16:
        raise ValueError(f"the master key has {len(master)} bytes, it needs 16 at least")
    return hmac.new(master, purpose.encode(), hashlib.sha256).hexdigest()
