"""Order lines from events, kept once, and added up by DuckDB and by a real Spark to what pandas finds."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tessera.profiles.v1.profiles_service_pb2 import Change, RecordedEvent

from services.common.clock import to_micros
from services.common.columnar import open_columnar
from services.forecasting.adapters.events import order_lines
from services.forecasting.adapters.lines import SERIES_TABLES, ColumnarLines
from services.forecasting.app import Settings
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import periods_from
from services.forecasting.domain.series import Panel, Selection
from services.forecasting.handlers.get_series import get_series
from tests.evaluation_data import evaluation_data
from tests.forecasting.conftest import instant, line, properties, timestamp

MONDAY = instant("2026-03-02T09:00")


def change(order_id: str, time: datetime, content: str, tenant: str = "acme") -> Change:
    event = RecordedEvent(
        message_id=order_id,
        name="Order Completed",
        customer_id="ada",
        event_time=timestamp(time),
        properties_json=content,
    )
    return Change(tenant_id=tenant, event_recorded=event)


def simple(order_id: str, time: datetime, amount: float, tenant: str = "acme") -> Change:
    return change(order_id, time, properties(order_id, [line("1", amount, "FOOD")]), tenant)


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=[pytest.mark.spark, pytest.mark.timeout(300)])])
async def lines(request: pytest.FixtureRequest, configure: Callable[..., Any]) -> AsyncIterator[ColumnarLines]:
    url = request.getfixturevalue("spark_url") if request.param == "spark" else None

    class Own(Settings):
        service = f"f{abs(hash(request.node.nodeid))}"

    async with open_columnar(configure(Own, analytics_url=url), SERIES_TABLES) as columnar:
        yield ColumnarLines(columnar)


@pytest.fixture
async def embedded(configure: Callable[..., Any]) -> AsyncIterator[ColumnarLines]:
    async with open_columnar(configure(Settings), SERIES_TABLES) as columnar:
        yield ColumnarLines(columnar)


async def daily_sales(lines: ColumnarLines) -> list[float]:
    panel = await get_series(lines, "acme", Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY))
    return panel.figures[0].tolist() if panel else []


def test_a_line_amount_is_its_total_or_else_price_times_quantity() -> None:
    products = [
        {"product_id": "1", "price": 0.1, "quantity": 3, "category": "FOOD"},
        {"product_id": "2", "price": 5, "quantity": 2, "total": 9.99},
        {"product_id": "3", "price": 1.005, "category": 7},
    ]
    rows = order_lines([change("a", MONDAY, properties("a", products, store_id=330))]).to_pylist()
    assert [row["amount_minor"] for row in rows] == [30, 999, 100]
    assert [row["list_minor"] for row in rows] == [30, 1000, 100]
    assert [row["quantity"] for row in rows] == [3, 2, 1]
    assert [row["category"] for row in rows] == ["FOOD", "", ""]
    assert [row["store_id"] for row in rows] == ["330"] * 3
    assert [row["opens_order"] for row in rows] == [1, 0, 0]
    assert [row["opens_category"] for row in rows] == [1, 1, 0]
    assert rows[0]["time"] == to_micros(MONDAY)


def test_amounts_are_in_the_minor_unit_of_their_currency() -> None:
    products = [line("1", 12.5, None)]
    orders = [change(it, MONDAY, properties(it, products, currency=it)) for it in ("USD", "JPY", "KWD")]
    assert order_lines(orders)["amount_minor"].to_pylist() == [1250, 12, 12500]


def test_an_order_without_lines_counts_with_what_was_paid() -> None:
    [row] = order_lines([change("a", MONDAY, properties("a", [], total=3.5))]).to_pylist()
    assert (row["product_id"], row["amount_minor"], row["quantity"], row["opens_order"]) == ("", 350, 0, 1)


def test_an_event_that_is_no_order_or_cannot_be_read_stops_nothing() -> None:
    other = Change(tenant_id="acme", event_recorded=RecordedEvent(message_id="x", name="Promotion Viewed"))
    huge = change("h", MONDAY, properties("h", [line("1", 1e15, None)]))
    rows = order_lines([other, change("b", MONDAY, "{"), huge, simple("c", MONDAY, 1.0)])
    assert rows["order_id"].to_pylist() == ["c"]
    assert len(order_lines([])) == 0


async def test_a_batch_that_comes_again_changes_nothing(lines: ColumnarLines) -> None:
    first = [simple("a", MONDAY, 1.0), simple("b", MONDAY, 2.0)]
    await lines.append(order_lines(first), "c1")
    await lines.append(order_lines(first), "c1")
    assert await daily_sales(lines) == [300]
    # After a crash of the feed's engine the same events can come again under a later cursor.
    await lines.append(order_lines([*first, simple("c", MONDAY, 4.0)]), "c2")
    assert await daily_sales(lines) == [700]
    await lines.append(order_lines([]), "c3")
    assert await lines.cursor() == "c3"
    assert (await lines.status("acme")).order_count == 3


async def test_an_event_id_that_two_tenants_use_is_two_orders(embedded: ColumnarLines) -> None:
    await embedded.append(order_lines([simple("a", MONDAY, 1.0), simple("a", MONDAY, 2.0, tenant="other")]), "c1")
    assert await daily_sales(embedded) == [100]
    assert (await embedded.status("other")).order_count == 1
    assert await embedded.extent("nobody") is None


async def test_a_line_of_a_version_that_knew_no_list_price_counts_as_undiscounted(embedded: ColumnarLines) -> None:
    rows = order_lines([simple("a", MONDAY, 1.0)])
    place = rows.schema.get_field_index("list_minor")
    await embedded.append(rows.set_column(place, "list_minor", pa.array([None], pa.int64())), "c1")
    selection = Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY)
    day = periods_from(Granularity.DAY, ZoneInfo("UTC"), to_micros(MONDAY), 1)
    assert (await embedded.listed("acme", selection, day)).figures.tolist() == [100.0]


def some_orders(count: int) -> list[tuple[str, datetime, list[dict[str, Any]]]]:
    source = random.Random(4)
    return [
        (
            f"o{number}",
            instant("2026-03-20") + timedelta(seconds=source.uniform(0, 20 * 86400)),
            [
                line(
                    str(rank),
                    source.randint(0, 5000) / 100,
                    source.choice(["FOOD", "DRINK", None]),
                    source.randint(1, 5),
                )
                for rank in range(source.randint(1, 6))
            ],
        )
        for number in range(count)
    ]


def frame(orders: Sequence[tuple[str, datetime, list[dict[str, Any]]]]) -> pd.DataFrame:
    rows = [
        {
            "order": order_id,
            "time": time,
            "category": it.get("category", ""),
            "units": it["quantity"],
            "sales": round(it["total"] * 100),
        }
        for order_id, time, products in orders
        for it in products
    ]
    return pd.DataFrame(rows)


def expected(rows: pd.DataFrame, measure: Measure, by: list[str]) -> dict[Any, float]:
    groups = rows.groupby(by if len(by) > 1 else by[0])
    if measure is Measure.ORDERS:
        return dict(groups["order"].nunique().items())
    return dict(groups["sales" if measure is Measure.SALES else "units"].sum().items())


def found(panel: Panel) -> dict[tuple[str, pd.Timestamp], float]:
    starts = pd.to_datetime(list(panel.periods.starts[:-1]), unit="us", utc=True)
    return {
        (value, start): figure
        for value, figures in zip(panel.values, panel.figures.tolist(), strict=True)
        for start, figure in zip(starts, figures, strict=True)
        if figure
    }


async def test_series_of_days_in_a_zone_with_a_clock_change_equal_pandas(lines: ColumnarLines) -> None:
    orders = some_orders(300)
    await lines.append(order_lines([change(it, time, properties(it, products)) for it, time, products in orders]), "c1")
    rows = frame(orders)
    rows["day"] = rows["time"].dt.tz_convert("Europe/Berlin").dt.normalize().dt.tz_convert("UTC")
    for measure in filter(lambda it: it.of_orders, Measure):
        selection = Selection(measure, Dimension.CATEGORY, Granularity.DAY, time_zone="Europe/Berlin")
        panel = await get_series(lines, "acme", selection)
        assert panel is not None
        wanted = expected(rows, measure, ["category", "day"])
        assert found(panel) == {key: value for key, value in wanted.items() if value}


@pytest.mark.parametrize("granularity", Granularity)
async def test_series_equal_pandas_at_every_granularity(embedded: ColumnarLines, granularity: Granularity) -> None:
    orders = some_orders(400)
    await embedded.append(
        order_lines([change(it, time, properties(it, products)) for it, time, products in orders]), "c1"
    )
    rows = frame(orders)
    rows["period"] = _period(rows["time"], granularity)
    for measure in filter(lambda it: it.of_orders, Measure):
        panel = await get_series(embedded, "acme", Selection(measure, Dimension.TOTAL, granularity))
        assert panel is not None
        wanted = expected(rows, measure, ["period"])
        assert found(panel) == {("", start): value for start, value in wanted.items()}


def _period(times: "pd.Series[Any]", granularity: Granularity) -> "pd.Series[Any]":
    code = {Granularity.HOUR: "h", Granularity.DAY: "D", Granularity.WEEK: "W-SUN", Granularity.MONTH: "M"}[granularity]
    starts: pd.Series[Any] = times.dt.tz_localize(None).dt.to_period(code).dt.start_time.dt.tz_localize(UTC)
    return starts


@pytest.fixture(scope="module")
def journey() -> pd.DataFrame:
    folder: Path = evaluation_data("complete_journey")
    lines = pd.read_parquet(folder / "transactions.parquet")
    products = pd.read_parquet(folder / "products.parquet", columns=["product_id", "department"])
    lines = lines[lines["transaction_timestamp"] < "2017-01-15"].merge(products, on="product_id", how="left")
    lines["department"] = lines["department"].astype(object).where(lines["department"].notna(), None)
    return lines


async def test_the_series_of_a_real_retailer_equal_pandas(embedded: ColumnarLines, journey: pd.DataFrame) -> None:
    changes = [_basket(str(basket), rows) for basket, rows in journey.groupby("basket_id", sort=False)]
    for first in range(0, len(changes), 1000):
        await embedded.append(order_lines(changes[first : first + 1000]), f"c{first}")
    panel = await get_series(embedded, "acme", Selection(Measure.SALES, Dimension.CATEGORY, Granularity.WEEK))
    assert panel is not None
    week = journey["transaction_timestamp"].dt.to_period("W-SUN").dt.start_time.dt.tz_localize(UTC)
    cents = (journey["sales_value"] * 100).round().astype(np.int64)
    wanted = cents.groupby([journey["department"].fillna(""), week]).sum()
    assert found(panel) == {key: value for key, value in wanted.items() if value}
    assert (await embedded.status("acme")).order_count == journey["basket_id"].nunique()


def _basket(order_id: str, rows: pd.DataFrame) -> Change:
    columns = (rows[name].tolist() for name in ("product_id", "sales_value", "quantity", "department"))
    products = [
        {"product_id": str(product), "price": sales, "quantity": quantity, "total": sales, "category": category}
        for product, sales, quantity, category in zip(*columns, strict=True)
    ]
    time = rows["transaction_timestamp"].iloc[0].to_pydatetime().replace(tzinfo=UTC)
    return change(order_id, time, properties(order_id, products))
