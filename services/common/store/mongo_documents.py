"""How a document is kept in MongoDB: ``{_id: tenant + NUL + id, tenant, version, body, unique, seq, escaped}``.

The key leads with the tenant, so that it can be the sharding key. ``body`` is the body itself, for queries by hand
too; only where one of its keys would be an operator or a path to MongoDB are its keys percent-encoded, and the
document says ``escaped``. ``unique`` repeats the values of a unique index, if none is null: its index is sparse.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64

from services.common.store.document_checks import index_values
from services.common.store.port import Body, Collection, Document, Index

Stored = dict[str, Any]


class _PlainInts(TypeDecoder):
    """64-bit integers come back as ``int``, not as a subclass that other encoders do not know."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


CODEC: CodecOptions[dict[str, Any]] = CodecOptions(type_registry=TypeRegistry([_PlainInts()]))


def key(tenant: str, document_id: str) -> str:
    """The ``_id`` of a document."""
    return f"{tenant}\0{document_id}"


def tenant_keys(tenant: str) -> dict[str, str]:
    """The range of all ``_id`` of a tenant."""
    return {"$gt": f"{tenant}\0", "$lt": f"{tenant}\1"}


def to_stored(tenant: str, collection: Collection, body: Body) -> Stored:
    """The fields of a document other than its key, version and place in the feed."""
    index_values((field for index in collection.indexes for field in index.fields), body)
    escaped = _needs_escape(body)
    return {
        "tenant": tenant,
        "body": _with_keys(body, _escape) if escaped else body,
        "escaped": escaped,
        "unique": {
            unique_name(index): values for index in collection.indexes if (values := unique_values(index, body))
        },
    }


def to_document(stored: Mapping[str, Any]) -> Document:
    """The document as the port gives it."""
    return Document(stored["_id"].split("\0", 1)[1], to_body(stored), stored["version"])


def to_body(stored: Mapping[str, Any]) -> Body:
    """The body as it was given."""
    body: Body = stored["body"]
    return _with_keys(body, _unescape) if stored["escaped"] else body


def unique_name(index: Index) -> str:
    """The key of a unique index in ``unique``."""
    return "_".join(index.fields)


def unique_values(index: Index, body: Body) -> dict[str, Any] | None:
    """What must be unique in a tenant; ``None`` if the document is exempt or the index is not unique."""
    values = {field: body.get(field) for field in index.fields}
    return values if index.unique and None not in values.values() else None


def _needs_escape(value: Any) -> bool:
    if isinstance(value, dict):
        return any("$" in name or "." in name or "\0" in name for name in value) or any(
            map(_needs_escape, value.values())
        )
    return isinstance(value, list) and any(map(_needs_escape, value))


def _with_keys(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {change(name): _with_keys(item, change) for name, item in value.items()}
    return [_with_keys(item, change) for item in value] if isinstance(value, list) else value


def _escape(name: str) -> str:
    return name.replace("%", "%25").replace("$", "%24").replace(".", "%2E").replace("\0", "%00")


def _unescape(name: str) -> str:
    return name.replace("%00", "\0").replace("%2E", ".").replace("%24", "$").replace("%25", "%")
