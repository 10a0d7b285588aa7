"""RFM against an independent computation with pandas, and the groups."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.segmentation.domain.rfm import Cuts, Group, Rfm, RfmCutsInvalid, RfmTable, grid, summarise
from tests.evaluation_data import evaluation_data
from tests.segmentation.conftest import TENANT, House, recorded
from tests.segmentation.histories import DAY, NOW

CUTS = Cuts((7, 30, 90, 180), (2, 3, 5, 10), (5_000, 20_000, 100_000, 500_000))


def by_pandas(orders: pd.DataFrame, at: int, cuts: Cuts | None = None) -> pd.DataFrame:
    """The definition in the contract, from columns customer, time (microseconds) and amount (minor units)."""
    counted = orders[orders.time <= at]
    figures = counted.groupby("customer").agg(
        last=("time", "max"), frequency=("time", "size"), monetary=("amount", "sum")
    )
    figures["recency"] = (at - figures.pop("last")) // DAY
    for name, ascending in (("recency", False), ("frequency", True), ("monetary", True)):
        if cuts is not None:
            edges = {"recency": cuts.recency_days, "frequency": cuts.frequency, "monetary": cuts.monetary_minor}[name]
            bins = [-np.inf, *edges, np.inf]
            # Days count up to and including the edge, the others from the edge on.
            labels = [5, 4, 3, 2, 1] if name == "recency" else [1, 2, 3, 4, 5]
            figures[f"{name}_score"] = pd.cut(figures[name], bins, right=name == "recency", labels=labels).astype(int)
            continue
        rank = figures[name].rank(method="min", ascending=ascending).astype(int)
        figures[f"{name}_score"] = 1 + (5 * (rank - 1)) // len(figures)
    return figures


def differences(table: RfmTable, expected: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (
            it.customer_id,
            it.frequency,
            it.monetary_minor,
            it.recency_days,
            it.recency_score,
            it.frequency_score,
            it.monetary_score,
        )
        for it in table.customers.values()
    ]
    found = pd.DataFrame(rows, columns=["customer", *expected.columns]).set_index("customer").sort_index()
    return found.astype("int64").compare(expected.sort_index().astype("int64"))


def as_changes(orders: pd.DataFrame) -> list[profiles.Change]:
    columns = (orders[name].tolist() for name in ("id", "customer", "time", "amount"))
    return [
        recorded(
            customer, time, {"order_id": "o", "currency": "GBP", "total": amount / 100, "products": []}, str(order_id)
        )
        for order_id, customer, time, amount in zip(*columns, strict=True)
    ]


async def assert_equal(house: House, orders: pd.DataFrame, moments: Sequence[int]) -> None:
    changes = as_changes(orders)
    for start in range(0, len(changes), 2500):
        await house.feed(*changes[start : start + 2500])
    for at, cuts in product(moments, (None, CUTS)):
        expected = by_pandas(orders, at, cuts)
        table = await house.analytics.rfm(TENANT, "", at, cuts)
        assert_grid(table, expected)
        assert len(table.customers) == len(expected)
        assert differences(table, expected).empty


def assert_grid(table: RfmTable, expected: pd.DataFrame) -> None:
    cells = {(cell.recency_score, cell.frequency_score): cell for cell in grid(table)}
    assert list(cells) == list(product(range(1, 6), repeat=2))
    filled = {pair for pair, cell in cells.items() if cell.customer_count}
    assert filled == set(zip(expected.recency_score, expected.frequency_score, strict=True))
    for recency, frequency in filled:
        cell = cells[recency, frequency]
        here = expected[(expected.recency_score == recency) & (expected.frequency_score == frequency)]
        assert (cell.customer_count, cell.value_minor) == (len(here), here.monetary.sum())
        assert cell.monetary_score_mean == pytest.approx(here.monetary_score.mean())


@pytest.mark.parametrize("wrong", [(), (1, 2, 3), (1, 2, 3, 3), (4, 3, 2, 1), (1, 2, 3, 4, 5)])
def test_cuts_that_are_not_four_in_order_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(RfmCutsInvalid, match=r"cuts\.frequency"):
        Cuts((1, 2, 3, 4), wrong, (1, 2, 3, 4))


async def test_rfm_is_what_pandas_computes(house: House) -> None:
    random = np.random.default_rng(5)
    orders = pd.DataFrame(
        {
            "id": range(3000),
            "customer": random.integers(0, 400, 3000).astype(str),
            "time": NOW - random.integers(-2 * DAY, 300 * DAY, 3000),
            "amount": random.integers(0, 50, 3000) * 10,
        }
    )
    await assert_equal(house, orders, [NOW, NOW - 100 * DAY, NOW - 299 * DAY])


async def test_rfm_of_the_online_retail_data_is_what_pandas_computes(house: House) -> None:
    lines = pd.read_parquet(evaluation_data("online_retail") / "online_retail.parquet")
    lines = lines[lines.CustomerID.notna() & (lines.Quantity > 0)]
    lines["amount"] = (lines.Quantity * lines.UnitPrice * 100).round().astype("int64")
    invoices = lines.groupby("InvoiceNo").agg(
        customer=("CustomerID", "first"), time=("InvoiceDate", "min"), amount=("amount", "sum")
    )
    epoch = pd.Timestamp("1970-01-01")
    invoices["time"] = (invoices.time - epoch) // pd.Timedelta(microseconds=1)
    orders = invoices.assign(id=invoices.index, customer=invoices.customer.astype(str))
    assert len(orders) > 18_000
    await assert_equal(house, orders, [int(orders.time.max()) + DAY, int(orders.time.quantile(0.5))])


async def test_only_orders_in_the_asked_currency_count(house: House) -> None:
    for number, currency in enumerate(["USD", "EUR", "EUR", "GBP", "GBP"]):
        order = {"order_id": str(number), "currency": currency, "total": 5, "products": []}
        await house.feed(recorded("ann", NOW, order, f"m{number}"))
    assert (await house.analytics.rfm(TENANT, "", None)).currency == "EUR"
    dollars = await house.analytics.rfm(TENANT, "USD", None)
    assert (dollars.currency, dollars.customers["ann"].frequency) == ("USD", 1)


async def test_a_new_order_is_in_the_next_answer(house: House) -> None:
    await house.order("ann", NOW, 5)
    assert (await house.analytics.rfm(TENANT, "", None)).customers["ann"].frequency == 1
    await house.order("ann", NOW, 7)
    again = await house.analytics.rfm(TENANT, "", None)
    assert again.customers["ann"].frequency == 2
    assert await house.analytics.rfm(TENANT, "", None) is again, "nothing changed: the answer is kept"
    house.clock.micros += DAY
    assert (await house.analytics.rfm(TENANT, "", None)).customers["ann"].recency_days == 1


def test_every_pair_of_scores_has_one_group() -> None:
    grid = {
        recency: [Rfm("", 0, 0, 0, recency, frequency, 3).group.name for frequency in range(1, 6)]
        for recency in range(1, 6)
    }
    asleep = ["HIBERNATING", "AT_RISK", "AT_RISK", "CANNOT_LOSE"]
    assert grid == {
        5: ["NEW", "POTENTIAL_LOYALISTS", "POTENTIAL_LOYALISTS", "CHAMPIONS", "CHAMPIONS"],
        4: ["PROMISING", "POTENTIAL_LOYALISTS", "POTENTIAL_LOYALISTS", "LOYAL", "LOYAL"],
        3: ["ABOUT_TO_SLEEP", "ABOUT_TO_SLEEP", "NEEDS_ATTENTION", "LOYAL", "LOYAL"],
        2: ["HIBERNATING", *asleep],
        1: ["LOST", *asleep],
    }


def test_a_summary_has_every_group_and_all_the_value() -> None:
    customers = {name: Rfm(name, 0, 1, 100, score, score, score) for name, score in (("a", 5), ("b", 5), ("c", 1))}
    groups = summarise(RfmTable("EUR", NOW, customers))
    assert [it.group for it in groups] == list(Group)
    assert {it.group: (it.customer_count, it.value_minor) for it in groups if it.customer_count} == {
        Group.CHAMPIONS: (2, 200),
        Group.LOST: (1, 100),
    }
