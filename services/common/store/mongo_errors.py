"""What a failure of MongoDB means to a caller."""

from collections.abc import Mapping
from typing import Any

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)

from services.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    Refusal,
    ResourceExhausted,
    Unavailable,
)

_DUPLICATE_KEY, _WRITE_CONFLICT, _OUT_OF_DISK = 11000, 112, 14031
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18


def translate(error: PyMongoError) -> Refusal:
    """The refusal that a failure of the database means."""
    if isinstance(error, DuplicateKeyError):
        return _taken(error.details or {})
    if isinstance(error, BulkWriteError):
        failures = error.details.get("writeErrors", [])
        duplicates = [failure for failure in failures if failure["code"] == _DUPLICATE_KEY]
        if duplicates:
            return _taken(duplicates[0])
    if isinstance(error, DocumentTooLarge):
        return InvalidArgument("the document is larger than the database takes (16 MB)")
    if isinstance(error, ConnectionFailure):
        return Unavailable("the document database does not answer; it is tried again with the next request")
    if isinstance(error, OperationFailure) and error.code in (_UNAUTHORIZED, _AUTHENTICATION_FAILED):
        return FailedPrecondition("the document database refuses these credentials: check STORE_URL")
    if isinstance(error, OperationFailure) and error.code == _OUT_OF_DISK:
        return ResourceExhausted("the document database has no disk space left; nothing was written")
    return Unavailable(f"the document database failed: {error}")


def _taken(details: Mapping[str, Any]) -> AlreadyExists:
    fields = [name.rsplit(".", 1)[-1] for name in details.get("keyPattern", {}) if name not in ("tenant", "_id")]
    if fields:
        return AlreadyExists(f"another document has the same {' and '.join(fields)}", fields=",".join(fields))
    document_id = str(details.get("keyValue", {}).get("_id", "")).partition("\0")[2]
    return AlreadyExists(f"{document_id!r} exists", id=document_id)


def is_transient(error: PyMongoError) -> bool:
    """Whether nothing was applied and trying again may succeed."""
    if isinstance(error, BulkWriteError):
        return any(failure["code"] == _WRITE_CONFLICT for failure in error.details.get("writeErrors", []))
    lost_race = isinstance(error, OperationFailure) and error.code == _WRITE_CONFLICT
    return lost_race or (
        error.has_error_label("TransientTransactionError") and not isinstance(error, ConnectionFailure)
    )
