"""The value of segments against sums by hand."""

from dataclasses import replace

import pytest

from services.common.rules import Comparison, Operator, Rule
from services.segmentation.domain.segment_value import Spans, Worth
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.studies import Study, ordered, told
from tests.segmentation.test_found_scores import predict, predicted

SEGMENTS: dict[str, Rule] = {
    "romans": Comparison("city", Operator.EQUALS, ("Rome",)),
    "vips": Comparison("vip", Operator.IS_TRUE),
    "nobody": Comparison("city", Operator.EQUALS, ("Atlantis",)),
}


async def test_segments_are_valued_beside_those_in_none_and_everybody(study: Study) -> None:
    history = [
        told("ann", NOW - 500 * DAY, city="Rome"),
        told("bob", NOW - 10 * DAY, city="Rome", vip=True),
        told("cyd", NOW - 500 * DAY, city="Graz"),
        told("dan", NOW - 500 * DAY, city="Graz"),
        ordered("ann", NOW - 400 * DAY, 100),
        ordered("ann", NOW - 100 * DAY, 20, cost=12.5),
        ordered("ann", NOW - 95 * DAY, 30),
        ordered("bob", NOW - DAY, 7, cost=5),
        ordered("cyd", NOW - 400 * DAY, 9),
        ordered("dan", NOW - 2 * DAY, 1.5),
        ordered("dan", NOW + DAY, 99),
    ]
    tenant = await study.tenant_with(history)
    ids = ["romans", "vips", "nobody"]
    found = await study.insights.segment_values(tenant, ids, SEGMENTS, Spans(), "", NOW)
    assert found.currency == "EUR"
    romans, vips, nobody = found.segments
    assert romans == Worth(2, 1, 2, 1, 3, 5700, 2, 1, 2700, 1750)
    assert vips == Worth(1, 0, 1, 0, 1, 700, 1, 0, 700, 500)
    assert nobody == Worth(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert found.others == Worth(2, 2, 1, 0, 1, 150, 2, 1, 0, 0)
    assert found.everybody == Worth(4, 3, 3, 1, 4, 5850, 4, 2, 2700, 1750)
    assert (romans.growth, vips.growth, found.others.growth) == (1.0, 0.0, 0.0)
    month = await study.insights.segment_values(tenant, ["romans"], SEGMENTS, Spans(30, 1, 1), "EUR", NOW)
    assert month.segments[0] == Worth(2, 2, 1, 0, 1, 700, 2, 2, 700, 500)


async def test_what_forecasting_expects_stands_beside_what_was_and_lines_tell_costs(study: Study) -> None:
    lines = [{"price": 5, "quantity": 2, "cost": 1.5}, {"price": 1, "cost": 0.25}]
    history = [
        told("ann", NOW - 9, city="Rome"),
        told("bob", NOW - 9, city="Rome"),
        told("cyd", NOW - 9, city="Graz"),
        ordered("ann", NOW - 8, 11, products=lines),
        ordered("bob", NOW - 8, 11, products=[*lines, {"price": 1}]),
    ]
    tenant = await study.tenant_with(history)
    later = replace(predicted("cyd", 0.9), time=NOW + 1)
    abroad = replace(predicted("bob", 0.3), currency="USD")
    kept = [predicted("ann", 0.5), abroad, later, predicted("nobody", 1.0)]
    await predict(study.insights._columnar, tenant, kept)
    found = await study.insights.segment_values(tenant, ["romans"], SEGMENTS, Spans(), "EUR", NOW)
    (romans,) = found.segments
    assert romans.churn_probability == pytest.approx(0.4)
    expected = Worth(2, 0, 2, 0, 2, 2200, 2, 0, 1100, 325, 2, romans.churn_probability, 1000, 90_000)
    assert romans == expected
    assert found.others == Worth(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)


async def test_without_orders_everything_is_nothing(study: Study) -> None:
    tenant = await study.tenant_with([told("ann", NOW - DAY, city="Rome")])
    found = await study.insights.segment_values(tenant, ["romans"], SEGMENTS, Spans(), "", NOW)
    assert found.segments[0] == Worth(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
