"""The port ``Offers`` over the document store."""

from typing import Any, TypeVar

from services.common.store import Query, Range, Store
from services.loyalty.adapters.prices import StoredPrices
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.domain.cart_order import CART_ORDERS, CartOrder
from services.loyalty.domain.kept_quote import QUOTES, KeptQuote
from services.loyalty.domain.offer import OFFER_USAGES, OFFERS, OFFERS_MAX, Offer, OfferNotFound, OfferUsage
from services.loyalty.domain.price_model import PriceStanding
from services.loyalty.domain.records import Kind

T = TypeVar("T")


class StoredOffers:
    """Reads offers, quotes and orders made of carts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, offer_id: str) -> tuple[Offer, OfferUsage]:
        offer = await self._get(tenant, OFFERS, offer_id)
        if offer is None:
            raise OfferNotFound(f"there is no offer {offer_id}", offer_id=offer_id)
        return offer, await self._get(tenant, OFFER_USAGES, offer_id) or OfferUsage(offer_id)

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, RECORDS[OFFERS.name])

    async def all(self, tenant: str) -> list[Offer]:
        found, _ = await self._find(tenant, OFFERS, Query(where={"paused": False}, limit=OFFERS_MAX))
        return found

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Offer], str]:
        return await self._find(tenant, OFFERS, Query(limit=limit, after=after))

    async def quote(self, tenant: str, quote_id: str) -> KeptQuote | None:
        return await self._get(tenant, QUOTES, quote_id)

    async def quotes(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[KeptQuote], str]:
        query = Query(where={"customer_id": customer_id}, order_by="time", descending=True, limit=limit, after=after)
        return await self._find(tenant, QUOTES, query)

    async def quotes_before(self, tenant: str, before: int, limit: int) -> list[str]:
        query = Query(range=Range("time", below=before), limit=limit)
        page = await self._store.find(tenant, RECORDS[QUOTES.name], query)
        return [document.id for document in page.documents]

    async def order(self, tenant: str, order_id: str) -> CartOrder | None:
        return await self._get(tenant, CART_ORDERS, order_id)

    async def standing(self, tenant: str, customer_id: str, segment_ids: frozenset[str]) -> PriceStanding:
        return await StoredPrices(self._store).standing(tenant, customer_id, segment_ids)

    async def _get(self, tenant: str, kind: Kind[T], id: str) -> T | None:
        document = await self._store.get(tenant, RECORDS[kind.name], id)
        return read_record(kind, document.body) if document else None

    async def _find(self, tenant: str, kind: Kind[T], query: Any) -> tuple[list[T], str]:
        page = await self._store.find(tenant, RECORDS[kind.name], query)
        return [read_record(kind, document.body) for document in page.documents], page.next_cursor
