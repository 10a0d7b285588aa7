"""The refusals of Tessera: what a use case raises, and what kind of failure each is to a caller.

Refusal
├── InvalidArgument        the request is wrong in itself; do not retry
├── Unauthenticated        no token, or one that is not valid
├── PermissionDenied       the token lacks a scope, or the object is another tenant's
├── NotFound               what the request names does not exist
├── AlreadyExists          what the request creates exists
│   └── RequestIdReused    the same request_id came with other content
├── FailedPrecondition     the state does not allow it; change the state first
├── Conflict               another writer was faster; read again and retry
├── ResourceExhausted      a limit is reached; slow down or wait
├── Unavailable            a part is not there for the moment; retry with backoff
└── DataLoss               what is stored cannot be read

A service derives its own (``class InsufficientPoints(FailedPrecondition)``). The reason that callers see is the
class name in UPPER_SNAKE; data goes into ``metadata``, not only into the text.
"""

import re


class Refusal(Exception):
    """Why a request was not carried out: a sentence for people, and metadata for programs."""

    def __init__(self, message: str, **metadata: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}

    @property
    def reason(self) -> str:
        """The class name in UPPER_SNAKE, as in ``google.rpc.ErrorInfo``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).upper()


class InvalidArgument(Refusal):
    """The request is wrong in itself. Metadata ``field`` says where."""


class InvalidCursor(InvalidArgument):
    """A page token or a feed cursor that was not made by this service for this query."""


class Unauthenticated(Refusal):
    """No credentials, or credentials that are not valid."""


class PermissionDenied(Refusal):
    """Valid credentials that do not allow this."""


class NotFound(Refusal):
    """What the request names does not exist for this tenant."""


class AlreadyExists(Refusal):
    """What the request would create is there already."""


class RequestIdReused(AlreadyExists):
    """A ``request_id`` that was used before, with other content."""


class FailedPrecondition(Refusal):
    """The state does not allow the request; it will fail again until the state changes."""


class Conflict(Refusal):
    """Another writer changed the same document first; reading again and retrying can succeed."""


class ResourceExhausted(Refusal):
    """A quota, a queue or a limit is full."""


class Unavailable(Refusal):
    """A part that is needed does not answer for the moment."""


class DataLoss(Refusal):
    """Stored data cannot be read."""
