"""What customers like as vectors, a page at a time."""

import asyncio
from collections.abc import Set as AbstractSet

from services.common.errors import InvalidCursor
from services.recommendation.domain.history import history_of
from services.recommendation.domain.model import Model, Vectors
from services.recommendation.domain.taste import taste_of
from services.recommendation.ports import Interactions, Models

CustomerVectors = list[tuple[str, Vectors]]


async def list_customer_vectors(
    models: Models, interactions: Interactions, tenant: str, limit: int, after: str
) -> tuple[CustomerVectors, str, str]:
    """A page of customers with their vectors, the version of the model and the token of the next page;
    ``InvalidCursor``. Whoever was merged, parted or erased since the model learnt is left out."""
    live = await models.live(tenant)
    if live is None:
        if after:
            raise InvalidCursor("the page token is of a model that is gone: begin again", field="page_token")
        return [], "", ""
    model, version = live.model, live.model.training.model_version
    start = _start(after, version, len(model.customer_ids))
    moved = await interactions.moved_since(tenant, model.training.position)
    end = min(start + limit, len(model.customer_ids))
    vectors = await asyncio.to_thread(_vectors, model, start, end, frozenset(moved))
    return vectors, version, f"{version}:{end}" if end < len(model.customer_ids) else ""


def _start(after: str, version: str, count: int) -> int:
    """Where a page begins; ``InvalidCursor``."""
    if not after:
        return 0
    of, _, place = after.rpartition(":")
    if of != version or not (place.isascii() and place.isdigit() and len(place) < 12 and int(place) <= count):
        raise InvalidCursor("the page token is not one of this model: begin again", field="page_token")
    return int(place)


def _vectors(model: Model, start: int, end: int, moved: AbstractSet[str]) -> CustomerVectors:
    found: CustomerVectors = []
    for customer_id in model.customer_ids[start:end]:
        taste = None if customer_id in moved else taste_of(history_of(model, customer_id, ()), ())
        if taste is not None:
            found.append((customer_id, taste.vector(model.context)))
    return found
