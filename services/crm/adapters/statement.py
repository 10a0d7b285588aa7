"""The messages to a person who had several ids, as one list."""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import replace

from services.common.errors import InvalidCursor
from services.common.store.port import Collection, Query, Range, Store
from services.crm.adapters import documents
from services.crm.domain.message import Message
from services.crm.ports import Page

_Place = tuple[int, str]
"""A message's queue time and id: newest first, by both."""


async def page_of_person(
    store: Store, messages: Collection, tenant: str, ids: Sequence[str], limit: int, token: str
) -> Page[Message]:
    """A page of the messages recorded for any of ``ids``, newest first, each told as the first id's."""
    after = _place(token) if token else None
    lists = await asyncio.gather(*(_newest(store, messages, tenant, each, limit + 1, after) for each in ids))
    merged = heapq.merge(*lists, key=lambda each: each[0], reverse=True)
    found = [each for each, _ in zip(merged, range(limit + 1), strict=False)]
    more = len(found) > limit
    items = tuple(replace(message, customer_id=ids[0]) for _, message in found[:limit])
    (time, message_id), _ = found[limit - 1] if more else ((0, ""), None)
    return Page(items, f"person:{time}:{message_id}" if more else "")


async def _newest(
    store: Store, messages: Collection, tenant: str, customer_id: str, limit: int, after: _Place | None
) -> list[tuple[_Place, Message]]:
    """The first ``limit`` behind a place. Those of one instant may lie on both sides of it."""
    within = Range("queue_time", at_most=after[0]) if after else None
    found: list[tuple[_Place, Message]] = []
    token = ""
    while len(found) < limit:
        where = {"customer_id": customer_id}
        query = Query(where=where, range=within, order_by="queue_time", descending=True, limit=limit, after=token)
        page = await store.find(tenant, messages, query)
        for document in page.documents:
            place = document.body["queue_time"], document.id
            if after is None or place < after:
                found.append((place, documents.message(document).value))
        token = page.next_cursor
        if not token:
            break
    return found[:limit]


def _place(token: str) -> _Place:
    try:
        kind, time, message_id = token.split(":")
        if kind != "person":
            raise ValueError
        return int(time), message_id
    except ValueError as error:
        raise InvalidCursor("this is not a token of this list") from error
