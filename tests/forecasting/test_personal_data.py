"""Merges move orders, unmerges move them back; a person who is erased leaves sales and nothing that leads to them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from tessera.common.v1 import privacy_pb2
from tessera.forecasting.v1 import personal_data_pb2
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.clock import system_clock
from services.common.columnar import open_columnar
from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.store import open_store
from services.forecasting.adapters import customer_models, preferences, propensities, uplifts
from services.forecasting.adapters.activities import ColumnarActivities
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.adapters.erasures import Erasure, Erasures
from services.forecasting.adapters.events import apply_changes
from services.forecasting.adapters.lines import SERIES_TABLES, ColumnarLines
from services.forecasting.adapters.memberships import ColumnarMemberships
from services.forecasting.adapters.moved import MOVED, MovedCustomers
from services.forecasting.adapters.preferences import StoredPreferenceModels
from services.forecasting.adapters.propensities import StoredPropensityModels
from services.forecasting.adapters.treatments import ERASED, TREATMENTS, ColumnarTreatments
from services.forecasting.adapters.uplifts import StoredUpliftModels
from services.forecasting.app import Settings
from services.forecasting.domain.customers import Prediction
from services.forecasting.handlers.predict_again import predict_again
from tests.forecasting.conftest import Shop, instant, line, order, properties, timestamp

NOON = instant("2026-03-02T12:00")


def bought(number: str, user: str, amount: float = 10.0) -> profiles.Event:
    event = order(number, NOON, [line("1", amount, "FOOD")])
    event.user_id = user
    return event


async def exported(shop: Shop, customer_id: str, *origins: str, tenant: str = "acme") -> list[dict[str, Any]]:
    request = personal_data_pb2.ExportCustomerDataRequest(customer_id=customer_id, origin_customer_ids=origins)
    stream = shop.forecasting.ExportCustomerData(request, metadata=shop.header(tenant))
    return [{"kind": it.kind, **json.loads(it.json)} async for batch in stream for it in batch.records]


async def who(shop: Shop, user: str) -> str:
    person = profiles.Identifier(type="user_id", value=user)
    found = await shop.profiles.GetCustomer(profiles.GetCustomerRequest(identifier=person), metadata=shop.header())
    return found.customer.customer_id


async def test_a_person_reads_what_was_bought(shop: Shop) -> None:
    await shop.sell([bought("a", "ann"), bought("b", "ben")])
    ann = await who(shop, "ann")
    [found, done] = await exported(shop, ann)
    assert done == {
        "kind": "event",
        "time": "2026-03-02T12:00:00+00:00",
        "name": "Order Completed",
        "product": "1",
        "category": "FOOD",
        "store": "",
        "channel": "",
        "properties": {
            "order_id": "a",
            "currency": "USD",
            "products.product_id": "1",
            "products.category": "FOOD",
            "products.price": 10.0,
            "products.quantity": 1.0,
            "products.total": 10.0,
        },
    }
    assert found == {
        "kind": "order_line",
        "time": "2026-03-02T12:00:00+00:00",
        "order": "a",
        "product": "1",
        "category": "FOOD",
        "store": "",
        "quantity": 1.0,
        "amount": "10.00",
        "currency": "USD",
    }
    assert await exported(shop, "nobody") == []
    assert await exported(shop, ann, tenant="other") == []


@dataclass
class Kept:
    """What forecasting keeps, without a server."""

    lines: ColumnarLines
    models: StoredCustomerModels
    erasures: Erasures
    moved: MovedCustomers
    send: Callable[[], Awaitable[None]]
    told: list[erasure_pb2.AcknowledgeErasureRequest]
    cursor: int = 0

    async def hear(self, *changes: profiles.Change) -> None:
        self.cursor += 1
        batch = profiles.FollowChangesResponse(changes=changes, cursor=f"c{self.cursor}")
        await apply_changes(batch, self.lines, self.erasures.carry_out, self.moved)

    async def buyers(self, tenant: str = "acme") -> dict[str, int]:
        """Spend in minor units by customer."""
        found = await self.lines.histories(tenant, "USD", 10**18, 10**18)
        return dict(zip(found.ids, found.total_minor.astype(int).tolist(), strict=True))


@pytest.fixture
async def kept(configure: Callable[..., Any]) -> AsyncIterator[Kept]:
    told: list[erasure_pb2.AcknowledgeErasureRequest] = []

    async def hear(request: erasure_pb2.AcknowledgeErasureRequest, **_: object) -> None:
        told.append(request)

    settings = configure(Settings)
    fits = (*customer_models.COLLECTIONS, *propensities.COLLECTIONS, *preferences.COLLECTIONS, *uplifts.COLLECTIONS)
    collections, tables = (*fits, ACKNOWLEDGEMENTS, ERASED, MOVED), [*SERIES_TABLES, TREATMENTS]
    async with open_store(settings, collections) as store, open_columnar(settings, tables) as columnar:
        lines, models = ColumnarLines(columnar), StoredCustomerModels(store)
        activities, memberships = ColumnarActivities(columnar), ColumnarMemberships(columnar)
        asked = erasure_pb2.AcknowledgeErasureRequest
        acknowledgements = Acknowledgements(store, "forecasting", hear, asked, system_clock)
        likely, gained, treated = (
            StoredPropensityModels(store),
            StoredUpliftModels(store),
            ColumnarTreatments(columnar, store),
        )
        held = (models, likely, StoredPreferenceModels(store, likely.turn), gained, treated)
        erasures = Erasures(store, lines, activities, memberships, *held, acknowledgements)
        moved = MovedCustomers(store, partial(predict_again, lines, lines, models))
        yield Kept(lines, models, erasures, moved, acknowledgements.send, told)


def sale(number: str, customer: str, origin: str = "", tenant: str = "acme") -> profiles.Change:
    return profiles.Change(
        tenant_id=tenant,
        event_recorded=profiles.RecordedEvent(
            message_id=f"m-{number}",
            name="Order Completed",
            customer_id=customer,
            origin_customer_id=origin or customer,
            event_time=timestamp(NOON),
            properties_json=properties(f"order-{number}", [line("1", 1.0, "FOOD")]),
        ),
    )


def merged(customer: str, *origins: str) -> profiles.Change:
    told = profiles.CustomersMerged(customer_id=customer, merged_customer_id=origins[0], origin_customer_ids=origins)
    return profiles.Change(tenant_id="acme", customers_merged=told)


def unmerged(customer: str, *origins: str) -> profiles.Change:
    told = profiles.CustomersUnmerged(
        customer_id=customer, restored_customer_id=origins[0], origin_customer_ids=origins
    )
    return profiles.Change(tenant_id="acme", customers_unmerged=told)


def erased(customer: str, *origins: str) -> profiles.Change:
    told = profiles.CustomerErased(
        erasure_id="e1", customer_id=customer, origin_customer_ids=origins, pseudonym="nobody-7"
    )
    return profiles.Change(tenant_id="acme", customer_erased=told)


def prediction(customer: str, version: int = 1) -> Prediction:
    return Prediction(customer, version, 0, 91, "USD", 1, 0, 1.0, 0.1, 1.0, 100, 100, None, 100)


async def test_a_merge_moves_orders_and_taking_it_back_moves_them_back(kept: Kept) -> None:
    await kept.hear(sale("1", "ann"), sale("2", "ben"), sale("3", "cat"), sale("1", "ben", tenant="other"))
    before = await kept.buyers()
    await kept.hear(merged("ann", "ben"), sale("4", "ann", origin="ben"))
    assert await kept.buyers() == {"ann": 300, "cat": 100}
    await kept.hear(merged("cat", "ann", "ben"))
    assert await kept.buyers() == {"cat": 400}
    await kept.hear(unmerged("cat", "ben"))  # in another order than they were merged
    assert await kept.buyers() == {"ben": 200, "cat": 200}
    await kept.hear(unmerged("cat", "ann"))
    assert await kept.buyers() == before | {"ben": 200}
    assert await kept.buyers("other") == {"ben": 100}


async def test_merging_and_unmerging_within_one_batch_comes_to_what_it_ends_with(kept: Kept) -> None:
    await kept.hear(
        sale("1", "ann"), sale("2", "ben"), merged("ann", "ben"), sale("3", "ann", "ben"), unmerged("ann", "ben")
    )
    assert await kept.buyers() == {"ann": 100, "ben": 200}


async def test_a_person_who_is_erased_leaves_sales_and_nothing_that_leads_to_them(kept: Kept) -> None:
    await kept.hear(sale("1", "ann"), sale("2", "ann", "ben"), sale("3", "cat"))
    await kept.models.claim("acme")
    await kept.models.write("acme", [prediction("ann"), prediction("cat")])
    asked = ("acme", "Order Completed", ("order_id",))
    assert (await kept.lines.described(*asked)).present == {"order_id": 3}
    await kept.hear(erased("ann", "ann", "ben"))
    assert (await kept.lines.described(*asked)).present == {"order_id": 1}
    assert await kept.lines.property_names("acme", "Order Completed", 1) == ["currency"]
    assert await kept.buyers() == {"nobody-7": 200, "cat": 100}
    assert await kept.models.forget("acme", ["ann", "ben"]) == 0
    assert await kept.models.forget("acme", ["cat"]) == 1
    assert await kept.lines.of_customer("acme", ["ann", "ben"], 0, 10) == []
    [row, _] = await kept.lines.of_customer("acme", ["nobody-7"], 0, 10)
    assert (row.order_id, row.amount_minor) == ("", 100)
    await kept.send()
    [told] = kept.told
    assert (told.service, told.erasure_id) == ("forecasting", "e1")
    assert {(it.kind, it.count, it.removal) for it in told.removed} == {
        ("order_line", 2, privacy_pb2.REMOVAL_PSEUDONYMISED),
        ("event", 2, privacy_pb2.REMOVAL_PSEUDONYMISED),
        ("customer_prediction", 1, privacy_pb2.REMOVAL_DELETED),
    }


async def test_an_erasure_that_is_repeated_loses_no_count(kept: Kept) -> None:
    await kept.hear(sale("1", "ann"), sale("2", "ann"))
    erasure = Erasure("acme", "e1", frozenset({"ann"}), "nobody-7")
    await kept.erasures.carry_out(erasure)
    await kept.erasures.carry_out(erasure)
    await kept.send()
    removed = sorted((it.kind, it.count) for told in kept.told for it in told.removed)
    assert removed == [("event", 2), ("order_line", 2)]


async def test_who_is_not_known_is_acknowledged_too(kept: Kept) -> None:
    await kept.hear(erased("stranger", "stranger"))
    await kept.send()
    assert [(told.erasure_id, len(told.removed)) for told in kept.told] == [("e1", 0)]
