"""Keep the catalogue."""

from collections import Counter
from collections.abc import Sequence

from services.recommendation.domain.item import Change, Item, ItemNotFound, ItemRepeated, change, check_amounts
from services.recommendation.ports import Answer, Catalogue, Request, Requests, StoredItem


async def upsert_items(catalogue: Catalogue, requests: Requests, request: Request, items: Sequence[Item]) -> Answer:
    """Create or replace items, all or none: how many were ``created``, ``updated`` and ``unchanged``."""
    repeated = [item_id for item_id, times in Counter(item.item_id for item in items).items() if times > 1]
    if repeated:
        raise ItemRepeated(f"item {repeated[0]} comes twice; send each item once", item_id=repeated[0])
    check_amounts(items)
    answered = await requests.replayed(request)
    if answered is not None:
        return answered
    stored = await catalogue.get_many(request.tenant, [item.item_id for item in items])
    changes = [change(stored[item.item_id].item if item.item_id in stored else None, item) for item in items]
    answer = {kind.value: changes.count(kind) for kind in Change}
    changed = [item for item, what in zip(items, changes, strict=True) if what is not Change.UNCHANGED]
    await catalogue.put(request, changed, stored, answer)
    return answer


async def get_item(catalogue: Catalogue, tenant: str, item_id: str) -> StoredItem:
    """One item; ``ItemNotFound``."""
    found = await catalogue.get_many(tenant, [item_id])
    if item_id not in found:
        raise item_not_found(item_id)
    return found[item_id]


async def batch_get_items(catalogue: Catalogue, tenant: str, item_ids: Sequence[str]) -> list[StoredItem]:
    """Those items that exist, in the order asked for."""
    wanted = list(dict.fromkeys(item_ids))
    found = await catalogue.get_many(tenant, wanted)
    return [found[item_id] for item_id in wanted if item_id in found]


async def list_items(catalogue: Catalogue, tenant: str, limit: int, after: str) -> tuple[list[StoredItem], str]:
    """A page of items by id, and the token of the next."""
    return await catalogue.page(tenant, limit, after)


async def delete_item(catalogue: Catalogue, requests: Requests, request: Request, item_id: str) -> None:
    """Delete an item; ``ItemNotFound``."""
    if await requests.replayed(request) is not None:
        return
    if not await catalogue.get_many(request.tenant, [item_id]):
        raise item_not_found(item_id)
    await catalogue.delete(request, item_id)


def item_not_found(item_id: str) -> ItemNotFound:
    """The refusal for an item that is not in the catalogue."""
    return ItemNotFound(f"there is no item {item_id} in the catalogue", item_id=item_id)
