"""Orders at changing prices in, elasticities out, over gRPC."""

from datetime import timedelta

import grpc
import numpy as np
import pytest
from tessera.forecasting.v1 import drivers_pb2, series_pb2
from tessera.forecasting.v1 import elasticity_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2 import Event

from tests.forecasting.conftest import Shop, instant, line, order
from tests.forecasting.test_servicer import refusal

FIRST = instant("2026-01-05T10:00")
DAYS = 60
TRUTH = {"milk": -1.0, "cheese": -3.0, "bread": -1.0}


def orders() -> list[Event]:
    """An order a day with some of each product, whose price is another each week; that of bread never changes."""
    random = np.random.default_rng(1)
    prices = {name: np.exp(0.2 * random.normal(size=DAYS // 5 + 1)) for name in TRUTH}
    prices["bread"][:] = 1.0
    found = []
    for day in range(DAYS):
        rows = []
        for name, elasticity in TRUTH.items():
            price = round(10 * float(prices[name][day // 5]), 2)
            units = int(random.poisson(60 * (price / 10) ** elasticity))
            category = "BAKERY" if name == "bread" else "DAIRY"
            rows.append(line(name, round(price * units, 2), category, units))
        found.append(order(f"o{day}", FIRST + timedelta(days=day), rows))
    return [*found, order("last", FIRST + timedelta(days=DAYS), [line("milk", 10.0, "DAIRY")])]


def asked(
    dimension: series_pb2.Dimension.ValueType = series_pb2.DIMENSION_PRODUCT, *values: str
) -> pb.GetElasticitiesRequest:
    return pb.GetElasticitiesRequest(dimension=dimension, values=values, granularity=series_pb2.GRANULARITY_DAY)


async def test_products_and_categories_answer_to_their_prices(shop: Shop) -> None:
    await shop.sell(orders())
    found = await shop.forecasting.GetElasticities(asked(), metadata=shop.header())
    assert (found.product_count, found.informative_count) == (3, 2)
    by_name = {it.value: it for it in found.elasticities}
    for name in ("milk", "cheese"):
        price = by_name[name].price
        assert price.low < TRUTH[name] < price.high
        assert price.own == pytest.approx(TRUTH[name], abs=0.5)
        assert not by_name[name].warnings
    assert not by_name["bread"].price.HasField("own")
    assert "moved by less than 1 %" in by_name["bread"].warnings[0]
    assert not by_name["milk"].HasField("promotion_lift")
    categories = await shop.forecasting.GetElasticities(
        asked(series_pb2.DIMENSION_CATEGORY, "BAKERY", "DAIRY", "NONE"), metadata=shop.header()
    )
    bakery, dairy = categories.elasticities
    assert (bakery.value, dairy.value) == ("BAKERY", "DAIRY")
    assert "mean over all" in bakery.warnings[0]
    assert dairy.price.low < -2 < dairy.price.high
    assert dairy.units == pytest.approx(by_name["milk"].units + by_name["cheese"].units)
    assert categories.overall.price.low < categories.overall.price.value < categories.overall.price.high
    one = await shop.forecasting.GetElasticities(asked(series_pb2.DIMENSION_PRODUCT, "cheese"), metadata=shop.header())
    assert list(one.elasticities) == [by_name["cheese"]]


async def test_a_recorded_promotion_is_told_apart_from_the_price(shop: Shop) -> None:
    await shop.sell(orders())
    put = drivers_pb2.PutDriverRequest(request_id="leaflet", name="leaflet", default_value=0.0)
    await shop.forecasting.PutDriver(put, metadata=shop.header())
    values = [
        drivers_pb2.DriverValue(
            driver="leaflet",
            dimension=series_pb2.DIMENSION_PRODUCT,
            value="milk",
            first_date=f"{FIRST + timedelta(days=day):%Y-%m-%d}",
            last_date=f"{FIRST + timedelta(days=day + 2):%Y-%m-%d}",
            number=1.0,
        )
        for day in range(0, DAYS, 9)
    ]
    record = drivers_pb2.RecordDriverValuesRequest(request_id="values", values=values)
    await shop.forecasting.RecordDriverValues(record, metadata=shop.header())
    request = asked()
    request.promotion_driver = "leaflet"
    found = await shop.forecasting.GetElasticities(request, metadata=shop.header())
    milk = next(it for it in found.elasticities if it.value == "milk")
    assert milk.promotion_lift.low < 0 < milk.promotion_lift.high
    assert milk.price.low < -1 < milk.price.high


async def test_what_is_wrong_is_said(shop: Shop) -> None:
    error = await refusal(shop.forecasting.GetElasticities(asked(), metadata=shop.header()))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    await shop.sell(orders())
    weekly = asked()
    weekly.granularity = series_pb2.GRANULARITY_WEEK
    error = await refusal(shop.forecasting.GetElasticities(weekly, metadata=shop.header()))
    assert "8 complete periods and 20 are needed" in (error.details() or "")
    error = await refusal(shop.forecasting.GetElasticities(asked(series_pb2.DIMENSION_STORE), metadata=shop.header()))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    unknown = asked()
    unknown.price_driver = "none"
    error = await refusal(shop.forecasting.GetElasticities(unknown, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.NOT_FOUND
    backwards = asked()
    backwards.start_time.seconds, backwards.end_time.seconds = 2_000, 1_000
    error = await refusal(shop.forecasting.GetElasticities(backwards, metadata=shop.header()))
    assert "ends before it starts" in (error.details() or "")
