"""The document store: one port, two engines (SQLite embedded, MongoDB in production)."""

from services.common.store.opening import open_store
from services.common.store.port import (
    Change,
    Collection,
    Delete,
    Document,
    Index,
    Insert,
    Page,
    Put,
    Query,
    Range,
    Replace,
    Store,
    Write,
)

__all__ = [
    "Change",
    "Collection",
    "Delete",
    "Document",
    "Index",
    "Insert",
    "Page",
    "Put",
    "Query",
    "Range",
    "Replace",
    "Store",
    "Write",
    "open_store",
]
