"""The feed of predictions: of each customer one entry, which names the customer and nothing else.

What an entry tells is read when it is sent, so it is never old, and who is erased leaves nothing here but an id that
takes back what was told. To tell again, an entry takes the place of the one before: entries are inserts, so their ids
alternate between two.
"""

from collections.abc import Sequence

from services.common.store import Collection, Delete, Insert, Store, Write

PREDICTION_CHANGES = Collection("prediction_changes", published=True)
UNTOLD = Collection("untold_predictions")
"""Under the tenant ``*``: tenants whose newest model has still to be told."""


async def telling(store: Store, tenant: str, customer_ids: Sequence[str]) -> list[Write]:
    """The writes that tell followers of these customers: put them into the commit of what is told."""
    ids = list(dict.fromkeys(customer_ids))
    first = await store.get_many(tenant, PREDICTION_CHANGES, [f"{it}:0" for it in ids])
    writes: list[Write] = []
    for it in ids:
        before, after = ("0", "1") if f"{it}:0" in first else ("1", "0")
        writes.append(Delete(tenant, PREDICTION_CHANGES, f"{it}:{before}"))
        writes.append(Insert(tenant, PREDICTION_CHANGES, f"{it}:{after}", {"customer_id": it}))
    return writes
