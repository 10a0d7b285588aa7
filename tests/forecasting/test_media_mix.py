"""Spend and orders in, returns and plans out, over gRPC."""

from datetime import date, datetime, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import media_mix_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2 import Event

from services.common.grpc_errors import error_info
from tests.forecasting.conftest import Shop, instant, line, order
from tests.forecasting.test_servicer import refusal as refused

MONDAY = date(2025, 1, 6)
WEEKS = 60
STORES = {"1": "north", "2": "south"}


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    error = await refused(call)
    info = error_info(error)
    return error.code(), info.reason if info else ""


def brought_in(spend: float, ceiling: float, half: float) -> float:
    """What spend brings in at once, with diminishing returns."""
    return ceiling * spend / (spend + half)


def market(seed: int = 2) -> tuple[list[Event], list[pb.Spend]]:
    """Sixty weeks of two regions, where a unit spent on search returns about four and on leaflets about one."""
    rng = np.random.default_rng(seed)
    events, spend = [], []
    for store, region in STORES.items():
        size = 2.0 if store == "1" else 1.0
        for week in range(WEEKS):
            search, leaflet = size * rng.gamma(2, 50), size * rng.gamma(2, 50)
            effect = brought_in(search, 1000 * size, 150 * size) + brought_in(leaflet, 300 * size, 200 * size)
            sales = size * 3000 + effect + size * rng.normal(0, 30)
            monday = MONDAY + timedelta(weeks=week)
            spend += [row("search", region, monday, search), row("leaflet", region, monday + timedelta(3), leaflet)]
            for day, part in ((monday, 0.3), (monday + timedelta(days=6), 0.7)):
                events.append(sold(f"{store}-{day}", instant(f"{day}T12:00"), round(sales * part, 2), store))
    return events, spend


def row(channel: str, region: str, day: date, amount: float, currency: str = "USD") -> pb.Spend:
    money = Money(currency=currency, amount_minor=round(amount * 100))
    return pb.Spend(channel=channel, region=region, date=day.isoformat(), amount=money)


def sold(order_id: str, time: datetime, amount: float, store: str) -> Event:
    return order(order_id, time, [line("1", amount, "FOOD")], store_id=store)


async def recorded(shop: Shop, spend: list[pb.Spend], request_id: str = "s") -> int:
    request = pb.RecordSpendRequest(request_id=request_id, spend=spend)
    return (await shop.forecasting.RecordSpend(request, metadata=shop.header())).recorded_count


async def fitted(shop: Shop, **options: Any) -> pb.MediaMix:
    request = pb.FitMediaMixRequest(request_id=f"fit-{options}", **options)
    started = await shop.forecasting.FitMediaMix(request, metadata=shop.header())
    job = await shop.finished(started.job.job_id)
    assert (job.kind, job.state, job.message) == ("fit_media_mix", 3, "done")
    asked = pb.GetMediaMixRequest(version=int(job.results["version"]))
    return (await shop.forecasting.GetMediaMix(asked, metadata=shop.header())).media_mix


async def planned(shop: Shop, **options: Any) -> pb.BudgetPlan:
    request = pb.PlanBudgetRequest(**{"period_count": 4, **options})
    return (await shop.forecasting.PlanBudget(request, metadata=shop.header())).plan


async def test_a_model_says_what_each_channel_brought_in(shop: Shop) -> None:
    events, spend = market()
    await shop.sell(events)
    assert await recorded(shop, spend) == len(spend)
    mix = await fitted(shop, store_regions=STORES)
    assert (mix.version, mix.currency, mix.period_count, list(mix.regions)) == (1, "USD", WEEKS, ["north", "south"])
    assert (mix.first_date, mix.last_date) == ("2025-01-06", "2026-03-01")
    search, leaflet = mix.channels
    assert (search.channel, leaflet.channel) == ("search", "leaflet")
    assert search.roi.lower < 4 < search.roi.upper
    assert leaflet.roi.lower < 1 < leaflet.roi.upper
    assert search.roi.lower > leaflet.roi.value
    for effect in mix.channels:
        total = sum(it.amount.amount_minor for it in spend if it.channel == effect.channel)
        assert effect.spend.amount_minor == total
        assert effect.contribution.amount_minor == pytest.approx(effect.roi.value * total, rel=1e-6)
        assert 0 < effect.marginal_roi.lower < effect.marginal_roi.value < effect.marginal_roi.upper
        assert 0 < effect.retention.lower < effect.retention.upper < 1
        sales = [point.sales.amount_minor for point in effect.curve]
        assert sales[0] == 0
        assert sales == sorted(sales)
        gained = np.diff(sales)
        assert (np.diff(gained) <= 1).all()  # returns diminish; amounts are whole cents
        assert all(it.sales_lower.amount_minor <= it.sales_upper.amount_minor for it in effect.curve)
    parts = mix.baseline_sales.amount_minor + sum(it.contribution.amount_minor for it in mix.channels)
    assert parts == pytest.approx(mix.sales.amount_minor, abs=3)
    assert mix.sales.amount_minor == sum(it.sales.amount_minor for it in mix.periods)
    assert mix.r_squared > 0.9
    assert 0 < mix.holdout_wape < 0.1


async def test_without_regions_all_is_one_and_a_row_that_comes_again_replaces(shop: Shop) -> None:
    events, spend = market()
    await shop.sell(events)
    wrong = [row(it.channel, it.region, date.fromisoformat(it.date), 9999) for it in spend]
    assert await recorded(shop, wrong, "first") == len(spend)
    assert await recorded(shop, [*wrong, *spend], "second") == len(spend)
    assert await recorded(shop, wrong, "first") == len(spend)  # a request that comes again changes nothing
    mix = await fitted(shop)
    assert list(mix.regions) == [""]
    total = sum(it.amount.amount_minor for it in spend)
    assert sum(it.spend.amount_minor for it in mix.channels) == total
    channels = (
        await shop.forecasting.ListSpendChannels(pb.ListSpendChannelsRequest(), metadata=shop.header())
    ).channels
    assert [(it.channel, it.region_count, it.first_date) for it in channels] == [
        ("leaflet", 2, "2025-01-09"),
        ("search", 2, "2025-01-06"),
    ]
    assert sum(it.amounts[0].amount_minor for it in channels) == total


async def test_an_experiment_counts_more_than_what_was_believed(shop: Shop) -> None:
    events, spend = market()
    await shop.sell(events)
    await recorded(shop, spend)
    found = pb.ChannelExperiment(channel="leaflet", roi=3, standard_error=0.05)
    mix = await fitted(shop, store_regions=STORES, experiments=[found])
    (leaflet,) = [it for it in mix.channels if it.channel == "leaflet"]
    assert leaflet.roi.value == pytest.approx(3, rel=0.15)
    assert leaflet.prior_roi.value == pytest.approx(3, rel=0.01)


async def test_a_plan_spends_what_there_is_where_it_does_most(shop: Shop) -> None:
    events, spend = market()
    await shop.sell(events)
    await recorded(shop, spend)
    mix = await fitted(shop, store_regions=STORES)
    total = sum(it.spend.amount_minor for it in mix.channels) * 4 // WEEKS
    plan = await planned(shop, total_minor=total)
    assert plan.total.amount_minor == pytest.approx(total, abs=2)
    assert plan.sales.value.amount_minor >= plan.sales_in_past_proportions.value.amount_minor
    assert plan.sales.lower.amount_minor < plan.sales.value.amount_minor < plan.sales.upper.amount_minor
    by_channel = {it.channel: it for it in plan.channels}
    assert by_channel["search"].planned.amount_minor > by_channel["search"].past.amount_minor
    for it in plan.channels:
        assert sum(region.planned.amount_minor for region in it.regions) == pytest.approx(
            it.planned.amount_minor, abs=2
        )
        if not it.limit:
            assert it.marginal_roi == pytest.approx(plan.marginal_roi, rel=1e-3)
    bound = pb.BudgetBound(channel="search", maximum_minor=total // 10)
    held = await planned(shop, total_minor=total, share_max=10, bounds=[bound])
    (search,) = [it for it in held.channels if it.channel == "search"]
    assert search.planned.amount_minor == pytest.approx(total // 10, abs=2)
    assert search.limit == pb.BUDGET_LIMIT_MAXIMUM
    north = pb.BudgetBound(channel="leaflet", region="north", minimum_minor=0, maximum_minor=5000)
    split = await planned(shop, total_minor=total, share_max=10, bounds=[north])
    (leaflet,) = [it for it in split.channels if it.channel == "leaflet"]
    assert {it.region: it.planned.amount_minor <= 5001 for it in leaflet.regions}["north"]


async def test_a_plan_can_aim_at_a_return(shop: Shop) -> None:
    events, spend = market()
    await shop.sell(events)
    await recorded(shop, spend)
    await fitted(shop, store_regions=STORES)
    least = await planned(shop, target_marginal_roi=100)
    marginal = await planned(shop, target_marginal_roi=1.5)
    assert marginal.total.amount_minor > least.total.amount_minor
    assert all(it.marginal_roi == pytest.approx(1.5, rel=1e-3) for it in marginal.channels if not it.limit)
    overall = await planned(shop, target_roi=2.5, share_max=50)
    assert overall.roi == pytest.approx(2.5, rel=1e-3)
    code, reason = await refusal(planned(shop, target_roi=1000, share_min=0.5))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TARGET_OUT_OF_REACH")


UNPLANNABLE: dict[str, dict[str, Any]] = {
    "more than the bounds allow": {"total_minor": 10**12},
    "no aim": {},
    "no number": {"target_roi": float("nan")},
    "below zero": {"target_marginal_roi": -1.0},
    "a share above one": {"target_roi": 1.0, "share_min": 2.0},
    "an unknown channel": {"target_roi": 1.0, "bounds": [pb.BudgetBound(channel="radio")]},
    "an unknown region": {"target_roi": 1.0, "bounds": [pb.BudgetBound(channel="search", region="west")]},
    "a contradiction": {
        "target_roi": 1.0,
        "bounds": [pb.BudgetBound(channel="search", minimum_minor=2, maximum_minor=1)],
    },
}


async def test_a_plan_that_cannot_be_is_refused(shop: Shop) -> None:
    events, spend = market()
    await shop.sell(events)
    await recorded(shop, spend)
    await fitted(shop)
    for why, options in UNPLANNABLE.items():
        assert await refusal(planned(shop, **options)) == (grpc.StatusCode.INVALID_ARGUMENT, "BUDGET_INVALID"), why


async def test_spend_and_fits_that_make_no_sense_are_refused(shop: Shop) -> None:
    below = pb.Spend(channel="tv", date="2025-01-06", amount=Money(currency="USD", amount_minor=-1))
    assert await refusal(recorded(shop, [below])) == (grpc.StatusCode.INVALID_ARGUMENT, "SPEND_INVALID")
    never = pb.Spend(channel="tv", date="2025-02-30", amount=Money(currency="USD", amount_minor=1))
    assert await refusal(recorded(shop, [never])) == (grpc.StatusCode.INVALID_ARGUMENT, "SPEND_INVALID")
    assert await refusal(fitted(shop)) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_LITTLE_SPEND")
    events, spend = market()
    await shop.sell(events)
    await recorded(shop, spend)
    short = fitted(shop, last_date="2025-03-01")
    assert await refusal(short) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_LITTLE_SPEND")
    elsewhere = fitted(shop, store_regions={"77": "west"})
    assert await refusal(elsewhere) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_LITTLE_SPEND")
    unknown = pb.ChannelPrior(channel="radio", roi_low=1, roi_high=2)
    assert await refusal(fitted(shop, priors=[unknown])) == (grpc.StatusCode.INVALID_ARGUMENT, "PRIOR_INVALID")
    empty = pb.ChannelPrior(channel="search", roi_low=2, roi_high=1)
    assert await refusal(fitted(shop, priors=[empty])) == (grpc.StatusCode.INVALID_ARGUMENT, "PRIOR_INVALID")
    assert await refusal(fitted(shop, time_zone="Moon")) == (grpc.StatusCode.INVALID_ARGUMENT, "TIME_ZONE_UNKNOWN")
    backwards = fitted(shop, first_date="2025-06-01", last_date="2025-05-01")
    assert await refusal(backwards) == (grpc.StatusCode.INVALID_ARGUMENT, "WINDOW_INVALID")
