"""Forecasts, hierarchies, anomalies and goals of what customers do beside buying, over a real server."""

import json
from datetime import timedelta

import grpc
import pytest
from tessera.forecasting.v1 import demand_pb2, series_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.forecasting.conftest import Shop, instant, timestamp

FIRST = instant("2026-01-05T10:00")
DAYS = 70
OPENED = {"measure": series_pb2.MEASURE_EVENTS, "event_name": "Email Opened"}


def tracked(name: str, who: int, day: int, hour: int, channel: str) -> profiles.Event:
    return profiles.Event(
        message_id=f"{name}-{who}-{day}-{hour}",
        type=profiles.EVENT_TYPE_TRACK,
        name=name,
        user_id=f"u{who}",
        event_time=timestamp(FIRST + timedelta(days=day, hours=hour)),
        properties_json=json.dumps({"channel": channel, "product_id": "milk", "email_id": "m", "campaign_id": "c"}),
    )


def busy_weekends() -> list[profiles.Event]:
    """Two visits a day, four on Saturdays and Sundays; three mails opened a day, thirty on the last day but one."""
    events = []
    for day in range(DAYS):
        for visit in range(4 if day % 7 >= 5 else 2):
            events.append(tracked("Product Viewed", visit % 3, day, visit, "web"))
        for mail in range(30 if day == DAYS - 2 else 3):
            events.append(tracked("Email Opened", mail, day, 6, "email" if mail % 2 else "app"))
    return events


async def test_what_customers_do_is_forecast_watched_and_aimed_at_as_sales_are(shop: Shop) -> None:
    await shop.sell(busy_weekends())
    header, day = shop.header(), series_pb2.GRANULARITY_DAY

    async def forecast(**key: object) -> list[float]:
        named = {"dimension": series_pb2.DIMENSION_TOTAL, "granularity": day, "horizon": 7} | key
        request = pb.GetForecastRequest(key=pb.ForecastKey(**named))  # type: ignore[arg-type]
        answer = await shop.forecasting.GetForecast(request, metadata=header)
        return [point.value for point in answer.forecast.points]

    # The last complete day is a Saturday: a Sunday follows.
    visits = await forecast(measure=series_pb2.MEASURE_VISITS)
    assert visits[0] > 3 > max(visits[1:6])

    parts = {"hierarchy": series_pb2.HIERARCHY_CHANNEL}
    total = await forecast(**OPENED, **parts)
    channels = [
        await forecast(**OPENED, **parts, dimension=series_pb2.DIMENSION_CHANNEL, value=value)
        for value in ("app", "email")
    ]
    assert total == pytest.approx([sum(step) for step in zip(*channels, strict=True)])

    watched = demand_pb2.DetectAnomaliesRequest(
        **OPENED,  # type: ignore[arg-type]
        dimension=series_pb2.DIMENSION_TOTAL,
        granularity=day,
        period_count=7,
    )
    [odd] = (await shop.forecasting.DetectAnomalies(watched, metadata=header)).anomalies
    assert odd.actual == 30

    aim = demand_pb2.CreateGoalRequest(
        **OPENED,  # type: ignore[arg-type]
        request_id="aim",
        name="mails",
        dimension=series_pb2.DIMENSION_TOTAL,
        first_date="2026-03-01",
        last_date="2026-03-31",
        target=50,
    )
    made = (await shop.forecasting.CreateGoal(aim, metadata=header)).goal
    assert made.event_name == "Email Opened"
    [stands] = (await shop.forecasting.ListGoals(demand_pb2.ListGoalsRequest(), metadata=header)).goals
    assert stands.actual == 3 * 13 + 30  # the last day is not complete
    assert stands.probability == pytest.approx(1.0, abs=0.01)

    refused = {
        "say which events": {"measure": series_pb2.MEASURE_EVENTS},
        "do not add up": {"measure": series_pb2.MEASURE_ACTIVE_CUSTOMERS},
    }
    for told, change in refused.items():
        wrong = demand_pb2.CreateGoalRequest()
        wrong.CopyFrom(aim)
        wrong.event_name, wrong.measure = "", change["measure"]
        with pytest.raises(grpc.aio.AioRpcError, match=told) as error:
            await shop.forecasting.CreateGoal(wrong, metadata=header)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
