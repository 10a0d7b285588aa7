"""Anomalies, reorder plans and goals from orders, over gRPC."""

from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from scipy import stats
from tessera.forecasting.v1 import demand_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as service_pb
from tessera.forecasting.v1 import series_pb2
from tessera.profiles.v1.profiles_service_pb2 import Event

from services.common.grpc_errors import error_info
from services.forecasting.learning.totals import total_deviations
from tests.forecasting.conftest import Shop, instant, line, order
from tests.forecasting.test_servicer import refusal as refused

FIRST = instant("2026-01-01T10:00")
DAYS = 150


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    error = await refused(call)
    info = error_info(error)
    return error.code(), info.reason if info else ""


def year(spikes: dict[int, float] | None = None, seed: int = 5) -> list[Event]:
    """An order a day and store: milk about 20 a day with a week's rhythm, salt seldom; ``spikes`` multiply milk's."""
    rng = np.random.default_rng(seed)
    events = []
    for day in range(DAYS + 1):
        rhythm = 1.5 if (FIRST + timedelta(days=day)).weekday() >= 5 else 1.0
        milk = float(rng.poisson(20 * rhythm)) * (spikes or {}).get(day, 1.0)
        lines = [line("milk", round(milk * 2, 2), "DAIRY", quantity=milk)]
        if rng.random() < 0.2:
            lines.append(line("salt", 1.0, "SPICES", quantity=1))
        events.append(order(f"o{day}", FIRST + timedelta(days=day), lines, store_id=str(1 + day % 2)))
    return events


async def anomalies(shop: Shop, **options: Any) -> pb.DetectAnomaliesResponse:
    asked: dict[str, Any] = {"measure": series_pb2.MEASURE_UNITS, "granularity": series_pb2.GRANULARITY_DAY} | options
    request = pb.DetectAnomaliesRequest(**({"dimension": series_pb2.DIMENSION_TOTAL} | asked))
    return await shop.forecasting.DetectAnomalies(request, metadata=shop.header())


async def planned(shop: Shop, *items: pb.StockItem, **options: Any) -> list[pb.ReorderLine]:
    request = pb.PlanReorderRequest(items=items, **options)
    return list((await shop.forecasting.PlanReorder(request, metadata=shop.header())).lines)


def stock(product: str, on_hand: float, lead: int = 5, **more: Any) -> pb.StockItem:
    return pb.StockItem(product_id=product, on_hand=on_hand, lead_time_days=lead, **more)


async def goal(shop: Shop, target: float, request_id: str = "g", **more: Any) -> pb.Goal:
    asked: dict[str, Any] = {
        "measure": series_pb2.MEASURE_UNITS,
        "dimension": series_pb2.DIMENSION_PRODUCT,
        "value": "milk",
        "first_date": "2026-05-01",
        "last_date": "2026-06-29",
    } | more
    request = pb.CreateGoalRequest(request_id=request_id, name="milk", target=target, **asked)
    return (await shop.forecasting.CreateGoal(request, metadata=shop.header())).goal


async def stands(shop: Shop) -> list[pb.GoalProgress]:
    return list((await shop.forecasting.ListGoals(pb.ListGoalsRequest(), metadata=shop.header())).goals)


async def test_series_are_by_product_and_by_store_too(shop: Shop) -> None:
    events = year()
    await shop.sell(events)

    async def totals(measure: int, dimension: int) -> dict[str, float]:
        request = service_pb.GetSeriesRequest(
            measure=measure,  # type: ignore[arg-type]
            dimension=dimension,  # type: ignore[arg-type]
            granularity=series_pb2.GRANULARITY_MONTH,
        )
        found = await shop.forecasting.GetSeries(request, metadata=shop.header())
        return {one.value: sum(point.value for point in one.points) for one in found.series}

    salt = sum("salt" in event.properties_json for event in events)
    assert await totals(series_pb2.MEASURE_ORDERS, series_pb2.DIMENSION_PRODUCT) == {"milk": DAYS + 1, "salt": salt}
    stores = await totals(series_pb2.MEASURE_ORDERS, series_pb2.DIMENSION_STORE)
    assert stores == {"1": (DAYS + 2) // 2, "2": (DAYS + 1) // 2}
    assert (await totals(series_pb2.MEASURE_UNITS, series_pb2.DIMENSION_PRODUCT))["salt"] == salt


async def test_what_was_put_in_is_found_and_little_else(shop: Shop) -> None:
    await shop.sell(year({DAYS - 20: 3.0, DAYS - 9: 0.0, DAYS - 3: 2.5}))
    found = await anomalies(shop)
    assert (found.series_count, found.skipped_count) == (1, 0)
    days = {(FIRST + timedelta(days=DAYS - ago)).date().isoformat() for ago in (20, 9, 3)}
    said = {it.start_time.ToDatetime().date().isoformat() for it in found.anomalies}
    assert days <= said
    assert len(said - days) <= 1  # one per cent of 28 days may be outside by chance
    assert [it.score for it in found.anomalies] == sorted((it.score for it in found.anomalies), reverse=True)
    worst = found.anomalies[0]
    assert worst.severity >= pb.ANOMALY_SEVERITY_MEDIUM
    assert not worst.lower <= worst.actual <= worst.upper
    assert worst.lower < worst.expected < worst.upper


async def test_a_short_history_is_skipped_and_none_is_nothing(shop: Shop) -> None:
    assert (await anomalies(shop)).series_count == 0
    await shop.sell(year()[:20])
    found = await anomalies(shop, period_count=15)
    assert (found.series_count, found.skipped_count, found.anomaly_count) == (0, 1, 0)
    assert (await anomalies(shop, period_count=200)).series_count == 0


async def test_an_order_is_planned_when_what_is_there_falls_to_the_reorder_point(shop: Shop) -> None:
    await shop.sell(year())
    plenty, little, salt, unknown = await planned(
        shop, stock("milk", 1000), stock("milk", 60, pack_size=24, minimum_order=100), stock("salt", 0), stock("tea", 3)
    )
    assert plenty.order_quantity == 0
    assert plenty.stockout_probability < 0.001
    assert little.order_quantity >= 100
    assert little.order_quantity % 24 == 0
    assert little.stockout_probability > 0.9
    assert little.days_of_cover == pytest.approx(60 / little.daily_demand)
    assert little.daily_demand == pytest.approx(23, rel=0.15)
    assert little.reorder_point == pytest.approx(little.expected_demand + little.safety_stock)
    assert salt.reorder_point >= 2  # seldom sold, and yet there should be some
    assert salt.order_quantity > 0
    assert unknown.error
    assert not unknown.order_quantity


async def test_a_higher_service_level_and_a_longer_wait_need_more(shop: Shop) -> None:
    await shop.sell(year())
    item = stock("milk", 0)
    points = [(await planned(shop, item, service_level=level))[0].reorder_point for level in (50, 80, 95, 99)]
    assert points == sorted(points)
    assert points[0] < points[-1]
    near, far = await planned(shop, stock("milk", 0, lead=2), stock("milk", 0, lead=20))
    assert near.reorder_point < far.reorder_point


async def test_a_goal_says_how_probably_it_is_reached(shop: Shop) -> None:
    events = year()
    await shop.sell(events)
    for number, target in enumerate((800.0, 1380.0, 3000.0)):
        await goal(shop, target, f"g{number}")
    hard, even, easy = await stands(shop)
    assert easy.probability > 0.95 > 0.05 > hard.probability
    assert easy.probability >= even.probability >= hard.probability
    assert easy.actual == even.actual > 0
    assert even.days_left == 30
    assert even.lower <= even.expected <= even.upper
    assert even.gap == pytest.approx(1380 - even.expected)
    assert even.daily_needed == pytest.approx((1380 - even.actual) / 30)
    assert even.expected == pytest.approx(60 * 23, rel=0.1)


async def test_a_goal_that_is_over_is_reached_or_not(shop: Shop) -> None:
    await shop.sell(year())
    await goal(shop, 1.0, "past", first_date="2026-02-01", last_date="2026-02-10")
    await goal(shop, 1e6, "missed", first_date="2026-02-01", last_date="2026-02-10")
    missed, past = await stands(shop)
    assert (past.probability, past.days_left, missed.probability) == (1.0, 0, 0.0)
    assert past.actual == past.expected
    assert not past.HasField("daily_needed")


async def test_goals_are_made_once_and_can_be_given_up(shop: Shop) -> None:
    first = await goal(shop, 10.0)
    assert await goal(shop, 10.0) == first
    assert [it.goal.goal_id for it in await stands(shop)] == [first.goal_id]
    assert "no orders" in (await stands(shop))[0].warnings[0]
    for _ in range(2):
        await shop.forecasting.DeleteGoal(pb.DeleteGoalRequest(goal_id=first.goal_id), metadata=shop.header())
    assert await stands(shop) == []


async def test_what_makes_no_sense_is_refused(shop: Shop) -> None:
    bad = (grpc.StatusCode.INVALID_ARGUMENT, "GOAL_INVALID")
    assert await refusal(goal(shop, 0.0)) == bad
    assert await refusal(goal(shop, float("nan"))) == bad
    assert await refusal(goal(shop, 1.0, first_date="2026-02-30")) == bad
    assert await refusal(goal(shop, 1.0, last_date="2026-01-01")) == bad
    assert await refusal(goal(shop, 1.0, last_date="2036-01-01")) == bad
    assert await refusal(goal(shop, 1.0, dimension=series_pb2.DIMENSION_TOTAL)) == bad
    wrong = (grpc.StatusCode.INVALID_ARGUMENT, "STOCK_INVALID")
    assert await refusal(planned(shop, stock("milk", float("inf")))) == wrong
    assert await refusal(planned(shop, stock("milk", 1, pack_size=-1.0))) == wrong
    assert await refusal(planned(shop, stock("milk", 1, on_order=float("nan")))) == wrong


def test_the_error_of_a_sum_is_that_of_its_parts_together() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 3, (40, 12, 1)) + rng.normal(0, 1, (40, 12, 10))
    alone = rng.normal(0, 1, (40, 12, 10))
    scale = np.abs(shared).mean(axis=(1, 2))[:, None].repeat(10, axis=1)
    together = total_deviations(shared, scale)
    assert np.median(together) == pytest.approx(np.sqrt(900 + 10), rel=0.25)
    unit = np.abs(alone).mean(axis=(1, 2))[:, None].repeat(10, axis=1)
    assert np.median(total_deviations(alone, unit)) == pytest.approx(np.sqrt(10), rel=0.15)
    unknown = total_deviations(np.full((2, 3, 10), np.nan), np.ones((2, 10)))
    assert unknown == pytest.approx(10 * np.sqrt(np.pi / 2))


async def test_the_service_level_is_kept_in_what_came_after(shop: Shop) -> None:
    """Plans made for many days of independent demand cover the days after them about as often as they should."""
    rng = np.random.default_rng(3)
    sold = rng.poisson(12, (60, 200)).astype(float)
    covered = []
    for product in sold:
        quantile = stats.poisson(12 * 6).ppf(0.9)
        covered.append(product[120:126].sum() <= quantile)
    events = [
        order(
            f"d{day}",
            FIRST + timedelta(days=day),
            [line(f"p{number}", 1.0, "X", quantity=float(one[day])) for number, one in enumerate(sold)],
        )
        for day in range(121)
    ]
    await shop.sell(events)
    lines = await planned(shop, *[stock(f"p{number}", 0) for number in range(60)], service_level=90)
    held = np.mean([one[120:126].sum() <= it.reorder_point for one, it in zip(sold, lines, strict=True)])
    assert 0.78 <= held <= 1.0
    assert abs(held - np.mean(covered)) < 0.12
