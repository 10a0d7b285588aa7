"""What both engines check of a document before they store it."""

from collections.abc import Iterable

from services.common.errors import InvalidArgument
from services.common.store.port import Body, Scalar


class IdInvalid(InvalidArgument):
    """An id that no engine can key by. It came from a caller: ids of our own are never like that."""


def check_address(tenant: str, document_id: str) -> None:
    """``IdInvalid`` unless both are texts that every engine can key by."""
    if not tenant or not document_id or "\0" in tenant or "\0" in document_id:
        raise IdInvalid(f"an id must not be empty or contain NUL: {document_id!r}")


def index_values(fields: Iterable[str], body: Body) -> tuple[Scalar, ...]:
    """The values to index; ``ValueError`` for a list or an object (each engine would order those differently)."""
    values = tuple([body.get(field) for field in fields])
    for value in values:
        if value is not None and not isinstance(value, (str, int, float)):
            raise ValueError(f"an indexed field holds {type(value).__name__}; only scalars can be indexed")
    return values
