"""The value of segments against sums by hand."""

from services.common.rules import Comparison, Operator, Rule
from services.segmentation.domain.segment_value import Spans, Worth
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.studies import Study, ordered, told

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


async def test_without_orders_everything_is_nothing(study: Study) -> None:
    tenant = await study.tenant_with([told("ann", NOW - DAY, city="Rome")])
    found = await study.insights.segment_values(tenant, ["romans"], SEGMENTS, Spans(), "", NOW)
    assert found.segments[0] == Worth(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
