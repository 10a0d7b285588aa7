"""Points of real households, against figures that pandas computes from the raw table."""

import orjson
import pandas as pd
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.loyalty.adapters.events import read_orders
from services.loyalty.adapters.store import StoredEntries
from tests.evaluation_data import evaluation_data
from tests.loyalty.conftest import House
from tests.loyalty.making import NOW, TENANT

BASKETS = 5000
BATCH = 1000


def _change(basket: int, lines: pd.DataFrame) -> profiles.Change:
    products = [
        {"product_id": str(line.product_id), "price": 1, "quantity": line.quantity, "total": line.sales_value}
        for line in lines.itertuples()
    ]
    change = profiles.Change(tenant_id=TENANT)
    event = change.event_recorded
    event.name, event.customer_id = "Order Completed", str(lines["household_id"].iloc[0])
    event.event_time.seconds = NOW // 1_000_000
    said = {"order_id": str(basket), "currency": "USD", "products": products}
    event.properties_json = orjson.dumps(said).decode()
    return change


async def test_every_household_has_the_points_that_its_baskets_come_to(house: House) -> None:
    table = pd.read_parquet(evaluation_data("complete_journey") / "transactions.parquet")
    sample = table[table["basket_id"].isin(table["basket_id"].drop_duplicates().head(BASKETS))]
    cents = (sample["sales_value"] * 100).round().astype(int).groupby(sample["basket_id"]).sum()
    household = sample.groupby("basket_id")["household_id"].first()
    expected = (cents // 100).groupby(household).sum()

    changes = [_change(int(str(basket)), lines) for basket, lines in sample.groupby("basket_id")]
    for start in range(0, BASKETS, BATCH):
        orders = read_orders(changes[start : start + BATCH])
        await house.ledger.apply_order_events(orders, f"c{start}" if start else "", f"c{start + BATCH}")

    earning = expected[expected > 0]
    for member_id, points in earning.items():
        assert (await house.member(str(member_id))).balance == points
    audit = await house.audit()
    assert (audit.violations, audit.members) == ([], len(earning))
    assert await StoredEntries(house.store).count(TENANT) == int((cents >= 100).sum())
