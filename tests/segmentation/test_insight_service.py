"""Questions about history over real gRPC, with a real profiles to follow."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.common.v1 import rule_pb2
from tessera.segmentation.v1 import funnel_pb2, insight_pb2, retention_pb2

from services.common.clock import system_clock
from services.common.grpc_errors import error_info
from tests.segmentation.platform import Platform, identified, ordered

ORDER = insight_pb2.EventFilter(event="Order Completed")
LARGE = insight_pb2.EventFilter(
    event="Order Completed",
    where=[
        rule_pb2.Comparison(
            field="total", operator=rule_pb2.OPERATOR_AT_LEAST, values=[rule_pb2.Value(number_value=50)]
        )
    ],
)


def funnel(*steps: insight_pb2.EventFilter, **more: Any) -> funnel_pb2.Funnel:
    return funnel_pb2.Funnel(steps=[funnel_pb2.FunnelStep(filter=step) for step in steps], **more)


async def refused(call: Any) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info
    return info.reason, dict(info.metadata)


async def test_history_is_answered_as_funnel_cohorts_growth_and_trend(platform: Platform) -> None:
    await platform.send(
        identified("ann", city="Rome"),
        ordered("ann", 3, 20),
        ordered("ann", 2, 60),
        ordered("bob", 3, 70),
        ordered("bob", 1, 10),
    )
    ask = platform.segmentation
    through = funnel(ORDER, LARGE, window=Duration(seconds=2 * 86_400))
    by_city = insight_pb2.Breakdown(trait="city")
    found = await ask.GetFunnel(
        funnel_pb2.GetFunnelRequest(funnel=through, breakdown=by_city), metadata=platform.metadata
    )
    first, second = found.steps
    assert (first.name, first.customer_count, first.conversion, first.step_conversion) == ("Order Completed", 2, 1, 1)
    assert (second.customer_count, second.conversion, second.HasField("median_time")) == (1, 0.5, True)
    assert not first.HasField("median_time")
    assert abs(second.median_time.ToTimedelta() - timedelta(days=1)) < timedelta(minutes=1)
    assert [(group.group.text, group.group.missing, group.steps[1].customer_count) for group in found.groups] == [
        ("Rome", False, 1),
        ("", True, 0),
    ]

    days: dict[str, Any] = {"period_unit": insight_pb2.PERIOD_UNIT_DAY, "period_count": 5}
    cohorts = (await ask.GetRetention(retention_pb2.GetRetentionRequest(**days), metadata=platform.metadata)).cohorts
    began = (system_clock() - timedelta(days=3)).date().isoformat()
    (cohort,) = [each for each in cohorts if each.customer_count]
    assert (cohort.period, cohort.customer_count) == (began, 2)
    assert [cell.retained_count for cell in cohort.cells] == [0, 1, 1, 0]
    assert [cell.share for cell in cohort.cells] == [0, 0.5, 0.5, 0]
    assert [cell.revenue_to_date.amount_minor for cell in cohort.cells] == [9000, 15000, 16000, 16000]

    grown = await ask.GetGrowth(retention_pb2.GetGrowthRequest(**days, activity=ORDER), metadata=platform.metadata)
    figures = [(it.new_count, it.retained_count, it.churned_count, it.repeat_buyer_count) for it in grown.periods]
    assert figures == [(0, 0, 0, 0), (2, 0, 0, 0), (0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 1, 0)]
    assert [it.lifetime_value.amount_minor for it in grown.periods] == [0, 4500, 7500, 8000, 8000]

    large = retention_pb2.GetTrendRequest(filter=LARGE, figure=retention_pb2.TREND_FIGURE_SUM, property="total", **days)
    assert list((await ask.GetTrend(large, metadata=platform.metadata)).series[0].values) == [0, 70, 60, 0, 0]


async def test_a_question_that_makes_no_sense_is_refused_with_its_place(platform: Platform) -> None:
    async def funnels(asked: funnel_pb2.Funnel, **more: Any) -> tuple[str, dict[str, str]]:
        request = funnel_pb2.GetFunnelRequest(funnel=asked, **more)
        return await refused(platform.segmentation.GetFunnel(request, metadata=platform.metadata))

    assert await funnels(funnel(ORDER)) == ("FUNNEL_INVALID", {"field": "funnel.steps"})
    unfinished = insight_pb2.EventFilter(where=[rule_pb2.Comparison(field="total")])
    reason, metadata = await funnels(funnel(ORDER, unfinished))
    assert (reason, metadata["path"]) == ("RULE_INVALID", "funnel.steps[1].filter.where[0].operator")
    assert (await funnels(funnel(ORDER, LARGE), breakdown=insight_pb2.Breakdown()))[0] == "BREAKDOWN_INVALID"
    assert (await funnels(funnel(*[ORDER] * 11)))[0] == "FIELD_INVALID"

    async def growths(**asked: Any) -> str:
        request = retention_pb2.GetGrowthRequest(**asked)
        return (await refused(platform.segmentation.GetGrowth(request, metadata=platform.metadata)))[0]

    assert await growths(time_zone="Mars/Base") == "TIME_ZONE_UNKNOWN"
    assert await growths(breakdown=insight_pb2.Breakdown(property="shop")) == "BREAKDOWN_INVALID"
    by_trait = retention_pb2.GetRetentionRequest(cohort_by=retention_pb2.COHORT_BY_TRAIT)
    assert (await refused(platform.segmentation.GetRetention(by_trait, metadata=platform.metadata)))[0] == (
        "BREAKDOWN_INVALID"
    )
    summed = retention_pb2.GetTrendRequest(figure=retention_pb2.TREND_FIGURE_SUM)
    assert (await refused(platform.segmentation.GetTrend(summed, metadata=platform.metadata)))[0] == "TREND_INVALID"
