"""The timeline of a customer, over all of its origins."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.common.json import JsonInvalid, read_object
from services.common.store import Collection, Document, Store
from services.profiles.adapters.interleaved import Run, Runs, newest_first
from services.profiles.domain.customer import Customer
from services.profiles.domain.event import JSON_BYTES_MAX
from services.profiles.ports import EventFilter


async def timeline(
    store: Store,
    events: Collection,
    tenant: str,
    parts: Sequence[Customer],
    wanted: EventFilter,
    limit: int,
    after: str,
    says: Callable[[Document], str],
) -> tuple[list[Document], str]:
    """A page of the events of ``parts``, newest first, and the next token; the first of ``parts`` names them all.

    ``says`` is what an event says, as JSON.
    """
    names = sorted(wanted.names)
    runs = [
        Run({"customer_id": part.customer_id, **({"name": name} if name else {})}, part.last_seen_time)
        for part in parts
        for name in names or [""]
    ]
    asked = Runs(events, runs, wanted.from_time, wanted.before_time)
    token_of = repr((tenant, parts[0].customer_id, names, wanted.from_time, wanted.before_time, wanted.properties))
    return await newest_first(
        store,
        tenant,
        asked,
        lambda event: not wanted.properties or _has(says(event), wanted.properties),
        limit,
        after,
        token_of,
    )


def _has(text: str, properties: Mapping[str, Any]) -> bool:
    try:
        said = read_object(text, JSON_BYTES_MAX)
    except JsonInvalid:
        return False
    return all(name in said and _equal(said[name], value) for name, value in properties.items())


def _equal(one: Any, other: Any) -> bool:
    """As JSON is: true is not 1, and 1 is 1.0."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
