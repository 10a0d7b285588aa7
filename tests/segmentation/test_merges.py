"""Merges move what an origin did to whoever owns it, unmerges move it back, erasures leave nothing."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.rules import (
    Aggregate,
    AllOf,
    Comparison,
    ConsentCondition,
    EventCondition,
    ListCondition,
    Not,
    Operator,
    Rule,
)
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.predictions import ColumnarPredictions, Told
from services.segmentation.adapters.tables import Computed, Consented, Observed, owned, rows
from services.segmentation.domain.customer_list import CustomerList
from services.segmentation.handlers.export_customer_data import Record, export_customer_data
from services.segmentation.ports import Request
from services.segmentation.ports.predictions import Prediction
from tests.segmentation.conftest import TENANT, House, recorded
from tests.segmentation.histories import NOW
from tests.segmentation.test_evaluation import at_work, create, spent, told

ORDER = {"order_id": "o", "currency": "USD", "total": 60, "products": []}


def merged(customer: str, absorbed: str, *origins: str) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    change.customers_merged.customer_id, change.customers_merged.merged_customer_id = customer, absorbed
    change.customers_merged.origin_customer_ids.extend(origins or [absorbed])
    return change


def unmerged(customer: str, restored: str, *origins: str) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    change.customers_unmerged.customer_id, change.customers_unmerged.restored_customer_id = customer, restored
    change.customers_unmerged.origin_customer_ids.extend(origins or [restored])
    return change


def erased(customer: str, *origins: str) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    change.customer_erased.customer_id, change.customer_erased.erasure_id = customer, f"erasure of {customer}"
    change.customer_erased.origin_customer_ids.extend([customer, *origins])
    return change


def consented(
    customer: str, state: consent_pb2.ConsentState.ValueType, time: int, channel: str = "email", origin: str = ""
) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    said = change.consent_changed
    said.customer_id, said.origin_customer_id, said.purpose, said.channel = customer, origin, "marketing", channel
    said.state = state
    said.change_time.FromMicroseconds(time)
    return change


def computed(customer: str, name: str, value_json: str, time: int) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    trait = change.computed_trait_changed
    trait.customer_id, trait.name, trait.value_json = customer, name, value_json
    trait.change_time.FromMicroseconds(time)
    return change


GIVEN, WITHDRAWN, DENIED = (
    consent_pb2.CONSENT_STATE_GRANTED,
    consent_pb2.CONSENT_STATE_WITHDRAWN,
    consent_pb2.CONSENT_STATE_DENIED,
)


async def test_a_merge_adds_up_two_histories_and_an_unmerge_takes_them_apart_again(house: House) -> None:
    await create(house, "rich", spent(100))
    async with at_work(house):
        await house.order("ann", NOW, 60)
        await house.order("visitor", NOW, 60)
        await house.order("bob", NOW, 200)
    assert await house.members("rich") == ["bob"]
    async with at_work(house):
        await house.feed(merged("ann", "visitor"))
    assert await house.members("rich") == ["ann", "bob"]
    async with at_work(house):
        late = recorded("ann", NOW, ORDER, "late")
        late.event_recorded.origin_customer_id = "visitor"
        await house.feed(late)
        await house.feed(merged("bob", "ann", "ann", "visitor"))
    assert await house.members("rich") == ["bob"]
    async with at_work(house):
        await house.feed(unmerged("bob", "visitor"))
    assert await house.members("rich") == ["bob", "visitor"], "the visitor has both orders under that name"
    async with at_work(house):
        await house.feed(unmerged("bob", "ann"))
    assert await house.members("rich") == ["bob", "visitor"]
    assert [entry for entry in await told(house) if entry[0] == "ann"] == [
        ("ann", "rich", "in"),
        ("ann", "rich", "out"),
    ]


async def test_a_batch_may_merge_unmerge_and_go_on(house: House) -> None:
    await create(house, "rich", spent(100))
    async with at_work(house):
        await house.feed(
            recorded("ann", NOW, ORDER, "m1"),
            recorded("visitor", NOW, ORDER, "m2"),
            merged("ann", "visitor"),
            unmerged("ann", "visitor"),
            recorded("visitor", NOW, ORDER, "m3"),
        )
    assert await house.members("rich") == ["visitor"]


_tenants = (f"merges{number}" for number in itertools.count())
PEOPLE = ("a", "b", "c", "d")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    events=st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(1, 3)), min_size=1, max_size=8),
    owners=st.lists(st.dictionaries(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), min_size=1), max_size=4),
)
def test_after_any_changes_of_owners_everybody_has_what_their_origins_did(
    analytics: ColumnarAnalytics, events: list[tuple[str, int]], owners: list[dict[str, str]]
) -> None:
    asyncio.run(_owned(analytics, events, owners))


async def _owned(
    analytics: ColumnarAnalytics, events: Sequence[tuple[str, int]], owners: Sequence[dict[str, str]]
) -> None:
    tenant = next(_tenants)
    observed = [
        Observed(tenant, who, f"m{number}", 2, "Viewed", NOW, {"n": size}) for number, (who, size) in enumerate(events)
    ]
    await analytics.append(observed, f"{tenant} 0")
    owner = {who: who for who in PEOPLE}
    for number, change in enumerate(owners, 1):
        owner |= change
        moves = owned({(tenant, origin): who for origin, who in change.items()})
        await analytics.apply({}, moves, "profiles", f"{tenant} {number}")
    sums = {who: sum(size for origin, size in events if owner[origin] == who) for who in PEOPLE}
    rules: dict[str, Rule] = {
        str(least): EventCondition("Viewed", Aggregate.SUM, Operator.AT_LEAST, (float(least),), "n")
        for least in (1, 4, 7)
    }
    found = await analytics.matching(tenant, rules, rules, NOW)
    assert found == {key: {who for who, total in sums.items() if total >= int(key)} for key in rules}


async def test_consent_is_a_condition_and_follows_what_people_say(house: House) -> None:
    await create(house, "mail", ConsentCondition("marketing", "email", True))
    await create(house, "no mail", ConsentCondition("marketing", "email", False))
    await create(house, "all", ConsentCondition("marketing", "", True))
    async with at_work(house):
        await house.order("ann", NOW, 1)
    assert (await house.members("mail"), await house.members("no mail")) == ([], ["ann"])
    steps = [
        (consented("ann", GIVEN, NOW - 90), (["ann"], [])),
        (consented("ann", WITHDRAWN, NOW - 80), ([], [])),
        (consented("ann", GIVEN, NOW - 85), ([], [])),
        (consented("ann", GIVEN, NOW - 70, ""), ([], ["ann"])),
        (consented("ann", GIVEN, NOW - 60), (["ann"], ["ann"])),
        (consented("ann", DENIED, NOW - 50, ""), ([], [])),
        (consented("ann", GIVEN, NOW - 40), (["ann"], [])),
    ]
    for change, expected in steps:
        async with at_work(house):
            await house.feed(change)
        assert (await house.members("mail"), await house.members("all")) == expected, change


async def test_a_computed_trait_is_a_trait(house: House) -> None:
    await create(house, "loyal", Comparison("lifetime_orders", Operator.AT_LEAST, (5.0,)))
    async with at_work(house):
        await house.order("ann", NOW, 1)
        await house.feed(computed("ann", "lifetime_orders", "7", NOW - 2))
    assert await house.members("loyal") == ["ann"]
    async with at_work(house):
        await house.feed(computed("ann", "lifetime_orders", "null", NOW - 1))
    assert await house.members("loyal") == []


async def listed(house: House, list_id: str, *customers: str, remove: bool = False) -> int:
    house.clock.micros += 10
    changed = await house.lists.change(TENANT, list_id, customers, listed=not remove, time=house.clock.micros)
    if changed:
        await house.list_changed()
    return changed


async def test_a_list_is_a_condition_and_follows_merges(house: House) -> None:
    await house.lists.create(TENANT, CustomerList("vips", "VIPs", "", NOW), Request("", ""))
    await create(house, "vips", AllOf((ListCondition("vips"), spent(1))))
    async with at_work(house):
        for who in ("ann", "bob", "visitor"):
            await house.order(who, NOW, 60)
    async with at_work(house):
        assert await listed(house, "vips", "ann", "visitor") == 2
        assert await listed(house, "vips", "ann") == 0
    assert await house.members("vips") == ["ann", "visitor"]
    async with at_work(house):
        assert await listed(house, "vips", "ann", remove=True) == 1
        await house.feed(merged("bob", "visitor"))
    assert await house.members("vips") == ["bob"]
    async with at_work(house):
        assert await listed(house, "vips", "visitor", remove=True) == 1
    assert await house.members("vips") == [], "who was merged is known by the old id still"
    async with at_work(house):
        await listed(house, "vips", "visitor")
    assert await house.members("vips") == ["bob"]


@pytest.mark.parametrize("twice", [False, True])
async def test_who_is_erased_is_nowhere_and_profiles_hears_how_much_that_was(house: House, twice: bool) -> None:
    await house.lists.create(TENANT, CustomerList("vips", "VIPs", "", NOW), Request("", ""))
    await create(house, "rich", spent(100))
    async with at_work(house):
        for who in ("ann", "visitor", "bob"):
            await house.order(who, NOW, 150)
            await house.identify(who, NOW, city="Rome")
        await house.feed(consented("ann", GIVEN, NOW - 1), merged("ann", "visitor"))
        await listed(house, "vips", "ann", "bob")
    async with at_work(house):
        for number in range(1 + twice):
            last = recorded("ann", NOW, ORDER, f"last {number}")
            await house.feed(last, erased("ann", "visitor"), recorded("bob", NOW, ORDER, "bob's"))
    assert await house.members("rich") == ["bob"]
    assert {entry[0] for entry in await told(house)} == {"bob"}
    assert (await house.analytics.status(TENANT)).event_count == 3, "what bob did"
    assert [who for who, _ in (await house.lists.members(TENANT, "vips", 10, ""))[0]] == ["bob"]
    assert [each async for page in records(house, "ann", "visitor") for each in page] == []
    (request, *again) = await house.acknowledge()
    counts = {each.kind: each.count for each in request.removed}
    assert (request.erasure_id, request.service, again) == ("erasure of ann", "segmentation", [])
    assert counts == {
        "consent_copy": 1,
        "event_copy": 4,
        "list_entry": 1,
        "list_entry_copy": 1,
        "list_membership": 1,
        "membership_change": counts["membership_change"],
        "membership_standing": counts["membership_standing"],
        "segment_membership": 1,
        "trait_copy": 2,
    }


def records(house: House, customer_id: str, *origins: str) -> AsyncIterator[Sequence[Record]]:
    return export_customer_data(
        house.segments,
        house.memberships,
        house.lists,
        house.analytics,
        ColumnarPredictions(house.columnar),
        TENANT,
        customer_id,
        origins,
    )


async def test_a_person_reads_what_is_held_in_words(house: House) -> None:
    await house.lists.create(TENANT, CustomerList("vips", "VIPs", "", NOW), Request("", ""))
    await create(house, "rich", spent(100))
    async with at_work(house):
        await house.order("ann", NOW, 150)
        await listed(house, "vips", "ann")
    predicted = Prediction("ann", NOW, 0.9, 0.25, 1.5, "USD", 5000, 7500, 90_000, None)
    await ColumnarPredictions(house.columnar).apply([Told(TENANT, "ann", predicted)], "1")
    found = [each async for page in records(house, "ann", "ann") for each in page]
    assert [each.kind for each in found] == [
        "segment_membership",
        "membership_change",
        "list_membership",
        "value_score",
        "prediction",
    ]
    assert found[0].content == {"segment": "rich", "since": "2025-10-09T08:53:20.000010+00:00"}
    assert found[3].content == {"days_since_last_order": 0, "orders": 1, "score": "111"}
    assert found[4].content == {
        "as_of": "2025-10-09T08:53:20+00:00",
        "churn_probability": 0.25,
        "expected_orders": 1.5,
        "expected_revenue": 75.0,
        "lifetime_value": 900.0,
        "currency": "USD",
        "next_order": "",
    }
    assert [page async for page in records(house, "nobody")] == []


async def test_new_conditions_mean_the_same_on_both_engines(engine: ColumnarAnalytics) -> None:
    tenant = "told"
    observed = [Observed(tenant, who, f"m {who}", 2, "Viewed", NOW - 9, {}) for who in PEOPLE]
    said = [
        Consented(tenant, "a", "a", "marketing", "email", NOW - 5, True),
        Consented(tenant, "b", "b", "marketing", "", NOW - 5, True),
        Consented(tenant, "b", "b", "marketing", "email", NOW - 4, False),
        Consented(tenant, "c", "c", "marketing", "email", NOW - 5, True),
        Consented(tenant, "c", "c", "marketing", "", NOW - 4, False),
    ]
    values = [Computed(tenant, "d", "orders", NOW - 5, 7)]
    await engine.apply(rows(observed, values, said), (), "profiles", "1")
    mail = ConsentCondition("marketing", "email", True)
    asked: dict[str, Rule] = {
        "mail": mail,
        "no mail": ConsentCondition("marketing", "email", False),
        "not mail": Not(mail),
        "all": ConsentCondition("marketing", "", True),
        "computed": Comparison("orders", Operator.EQUALS, (7.0,)),
        "list": ListCondition("nobody"),
    }
    assert await engine.matching(tenant, asked, asked, NOW) == {
        "mail": {"a"},
        "no mail": {"b", "c", "d"},
        "not mail": {"b", "c", "d"},
        "all": {"b"},
        "computed": {"d"},
        "list": set(),
    }
    await engine.apply({}, owned({(tenant, "a"): "d"}), "profiles", "2")
    assert (await engine.matching(tenant, asked, asked, NOW))["mail"] == {"d"}
