"""Funnels, retention, growth and trends as GraphQL answers them."""

from tessera.common.v1 import money_pb2, rule_pb2
from tessera.segmentation.v1 import funnel_pb2, insight_pb2, retention_pb2, segment_value_pb2

from tests.gateway.platform import Backend, Client


async def test_a_funnel_is_asked_with_its_steps_and_answered_by_group(client: Client, backend: Backend) -> None:
    step = funnel_pb2.FunnelStepResult(name="View", customer_count=4, conversion=1, step_conversion=1)
    backend.on(
        "segmentation.GetFunnel",
        lambda _: funnel_pb2.GetFunnelResponse(
            steps=[step], groups=[funnel_pb2.FunnelGroup(group=insight_pb2.GroupValue(others=True), steps=[step])]
        ),
    )
    query = """query ($input: FunnelInput!) { funnel(input: $input) {
        steps { name customerCount conversion medianTime } groups { group { text others } steps { customerCount } }
    } }"""
    asked = {
        "funnel": {
            "steps": [{"filter": {"event": "View"}}, {"filter": {"event": "Buy", "where": []}}],
            "window": "P7D",
            "order": "STRICT",
        },
        "breakdown": {"segments": {"segmentIds": ["s1"]}},
    }
    found = (await client.data(query, {"input": asked}))["funnel"]
    assert found["steps"] == [{"name": "View", "customerCount": 4, "conversion": 1, "medianTime": None}]
    assert found["groups"] == [{"group": {"text": None, "others": True}, "steps": [{"customerCount": 4}]}]
    (request,) = backend.requests("segmentation.GetFunnel")
    assert request.funnel.window.seconds == 7 * 86_400
    assert request.funnel.order == funnel_pb2.FUNNEL_ORDER_STRICT
    assert list(request.breakdown.segments.segment_ids) == ["s1"]


async def test_retention_growth_and_trend_are_answered_period_by_period(client: Client, backend: Backend) -> None:
    revenue = money_pb2.Money(currency="EUR", amount_minor=1250)
    cell = retention_pb2.RetentionCell(offset=1, customer_count=4, retained_count=1, share=0.25, revenue=revenue)
    cohort = retention_pb2.Cohort(period="2026-03-01", customer_count=4, cells=[cell])
    backend.on("segmentation.GetRetention", lambda _: retention_pb2.GetRetentionResponse(cohorts=[cohort]))
    period = retention_pb2.GrowthPeriod(period="2026-03-01", new_count=3, stickiness=0.5, lifetime_value=revenue)
    backend.on("segmentation.GetGrowth", lambda _: retention_pb2.GetGrowthResponse(periods=[period]))
    series = retention_pb2.TrendSeries(values=[1, 2.5])
    backend.on("segmentation.GetTrend", lambda _: retention_pb2.GetTrendResponse(periods=["a", "b"], series=[series]))
    query = """{
        retention(input: {cohortBy: FIRST_SEEN, kind: UNBOUNDED}) {
            cohorts { period group { text } cells { offset share revenue { amount } } } }
        growth(input: {periodUnit: WEEK, timeZone: "Europe/Berlin"}) {
            periods { newCount stickiness lifetimeValue { amount } } }
        trend(input: {filter: {where: [{field: "total", operator: EXISTS}]}}) { periods series { values } } }"""
    found = await client.data(query)
    assert found["retention"]["cohorts"] == [
        {"period": "2026-03-01", "group": None, "cells": [{"offset": 1, "share": 0.25, "revenue": {"amount": "12.50"}}]}
    ]
    assert found["growth"]["periods"] == [{"newCount": 3, "stickiness": 0.5, "lifetimeValue": {"amount": "12.50"}}]
    assert found["trend"] == {"periods": ["a", "b"], "series": [{"values": [1, 2.5]}]}
    (retained,) = backend.requests("segmentation.GetRetention")
    assert (retained.cohort_by, retained.kind) == (retention_pb2.COHORT_BY_FIRST_SEEN, 2)
    (asked,) = backend.requests("segmentation.GetTrend")
    assert asked.filter.where[0].operator == rule_pb2.OPERATOR_EXISTS


async def test_segments_are_valued_side_by_side(client: Client, backend: Backend) -> None:
    value = segment_value_pb2.SegmentValue(segment_id="s1", customer_count=3, growth=0.5)
    backend.on(
        "segmentation.GetSegmentValue",
        lambda _: segment_value_pb2.GetSegmentValueResponse(segments=[value], others=value, everybody=value),
    )
    query = """{ segmentValue(input: {segmentIds: ["s1"], windowDays: 90}) {
        segments { segmentId customerCount growth margin { amount } } others { customerCount } } }"""
    found = (await client.data(query))["segmentValue"]
    assert found["segments"] == [{"segmentId": "s1", "customerCount": 3, "growth": 0.5, "margin": None}]
    (asked,) = backend.requests("segmentation.GetSegmentValue")
    assert (list(asked.segment_ids), asked.window_days) == (["s1"], 90)
