"""Every error that this project raises on purpose.

    ElasticJupyterError
    ├── AgentFailed        the agent in a kernel could not do what it was asked
    ├── ConfigError        the process was started with a wrong setting
    ├── LaunchFailed       a kernel did not come up, or ended before it answered
    ├── NoAgent            a kernel has none: its variables cannot be saved
    ├── StepDiffered       a step of the demonstration went otherwise
    └── StoreError         an object could not be read or written
        ├── NotFound       it is gone, or was never there
        ├── AlreadyExists  its name is taken
        ├── Conflict       somebody else wrote first: read again, decide again
        ├── Invalid        the server refuses its contents
        ├── Forbidden      the server refuses the caller: rights, quota or policy
        ├── Expired        the version to go on from is too old: list again
        ├── SnapshotMissing   it is not where it was saved
        ├── SnapshotBroken    it is not what was saved, or of another kernel
        ├── SnapshotTooLarge  it has more bytes than a snapshot may have
        ├── StoreFull      no room, or a quota is used up
        └── Unavailable    no usable answer: network, overload, a fault of the server

Library errors never leave the package that calls the library: they are the ``__cause__`` of one of
these. Each class answers three questions for the layers above, so that they need no table.
"""

from typing import ClassVar


class ElasticJupyterError(Exception):
    """The root. ``str(error)`` names the object, what was tried and what happened."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without a person acting."""
    http_status: ClassVar[int] = 500
    """What a handler answers with when nothing closer to the request decides."""
    reason: ClassVar[str] = "InternalError"
    """The PascalCase word for a condition or an Event."""


class ConfigError(ElasticJupyterError):
    """A setting is missing or wrong. Terminal for the process; the message names the setting."""

    reason = "ConfigInvalid"


class LaunchFailed(ElasticJupyterError):
    """A kernel did not come up. The message is the reason, in words for its user."""

    http_status = 503
    reason = "LaunchFailed"


class NoAgent(ElasticJupyterError):
    """A kernel has no agent. The message says why, for its user."""

    reason = "NoAgent"


class AgentFailed(ElasticJupyterError):
    """The agent in a kernel could not do what it was asked. The message is its sentence."""

    reason = "AgentFailed"


class StepDiffered(ElasticJupyterError):
    """A step of the demonstration went otherwise. The message says which, and what was seen."""

    reason = "StepDiffered"


class StoreError(ElasticJupyterError):
    """An object could not be read or written."""


class NotFound(StoreError):
    """The object does not exist, or its kind does not."""

    http_status = 404
    reason = "NotFound"


class AlreadyExists(StoreError):
    """An object of this name exists. Names are deterministic, so it may be one's own."""

    http_status = 409
    reason = "AlreadyExists"


class Conflict(StoreError):
    """A precondition (version or uid) did not hold."""

    retryable = True
    http_status = 409
    reason = "Conflict"


class Invalid(StoreError):
    """The contents are refused; the message is the server's and names the field."""

    http_status = 400
    reason = "Invalid"


class Forbidden(StoreError):
    """The caller is refused: no right, a quota is used up, or a policy says no."""

    http_status = 403
    reason = "Forbidden"


class Expired(StoreError):
    """The version asked for is no longer kept: list again and compare."""

    retryable = True
    http_status = 410
    reason = "Expired"


class SnapshotMissing(StoreError):
    """A kernel's saved variables are not where they were saved."""

    http_status = 404
    reason = "SnapshotMissing"


class SnapshotBroken(StoreError):
    """What was read or sent is not what its digest or signature says."""

    http_status = 422
    reason = "SnapshotBroken"


class SnapshotTooLarge(StoreError):
    """A kernel's variables have more bytes than a snapshot may have."""

    http_status = 413
    reason = "SnapshotTooLarge"


class StoreFull(StoreError):
    """The store has no room left: a disk is full, or a quota is used up."""

    http_status = 507
    reason = "StoreFull"


class Unavailable(StoreError):
    """There was no usable answer. Whether a write happened is unknown.

    Attributes:
        retry_after: seconds that the server asked to wait, or None.
    """

    retryable = True
    http_status = 503
    reason = "Unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
