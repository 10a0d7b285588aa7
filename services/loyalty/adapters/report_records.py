"""What reports and notices keep, as documents: the collection of each kind with its indexes."""

from services.common.store import Collection, Index
from services.loyalty.domain.figures import (
    REPORT_COHORTS,
    REPORT_DAYS,
    REPORT_OUTSTANDING,
    REPORT_RETURNS,
    REPORT_VISITS,
)
from services.loyalty.domain.notice import EXPIRY_NOTICES, NOTICES, SWEEPS, ExpiryNotices
from services.loyalty.domain.point_cost import POINT_COSTS, PointCost
from services.loyalty.domain.promotion_figures import REPORT_PROMOTIONS

RENAMED = "renamed"
"""Marks an entry that came into the feed again, under the id that it has as a pseudonym's: it was counted before."""
REPORT_RECORDS = {
    collection.name: collection
    for collection in (
        Collection(POINT_COSTS.name),
        Collection(REPORT_DAYS.name, (Index(("program_id", "basis", "day")),)),
        Collection(REPORT_OUTSTANDING.name),
        Collection(REPORT_COHORTS.name, (Index(("program_id", "month")),)),
        Collection(REPORT_RETURNS.name, (Index(("program_id", "day")),)),
        Collection(REPORT_PROMOTIONS.name, (Index(("currency", "day")),)),
        Collection(NOTICES.name, (Index(("customer_id",)), Index(("time",))), published=True),
        Collection(EXPIRY_NOTICES.name),
        Collection(SWEEPS.name),
        Collection(REPORT_VISITS.name, (Index(("member_id",)),)),
    )
}
REPORT_ANSWERS: dict[str, type] = {"point_cost": PointCost, "expiry_notices": ExpiryNotices}
