"""How the rpcs of reports, notices and prices keep tenants apart."""

from tessera.loyalty.v1 import notice_pb2 as notice
from tessera.loyalty.v1 import report_pb2 as report

from tests.contracts.tenant_rule import Feed, Refused, Rule, Stream

IN_ACMES_CLUB = "PROGRAM_NOT_FOUND"

REPORTS: dict[str, Rule] = {
    "SetPointCost": Refused(
        lambda acme: report.SetPointCostRequest(
            cost=report.PointCost(program_id=acme.own("club"), cost_per_1000_points_minor=1), request_id="pc"
        ),
        IN_ACMES_CLUB,
    ),
    "GetLoyaltyReport": Refused(
        lambda acme: report.GetLoyaltyReportRequest(
            program_id=acme.own("club"), first_date="2026-01-01", last_date="2026-01-31"
        ),
        IN_ACMES_CLUB,
    ),
    "SetExpiryNotices": Refused(
        lambda acme: notice.SetExpiryNoticesRequest(
            notices=notice.ExpiryNotices(program_id=acme.own("club"), lead_days=[7]), request_id="en"
        ),
        IN_ACMES_CLUB,
    ),
    "GetExpiryNotices": Refused(
        lambda acme: notice.GetExpiryNoticesRequest(program_id=acme.own("club")), IN_ACMES_CLUB
    ),
    "FollowNotices": Feed(notice.FollowNoticesRequest(), lambda batch: batch.notices),
    "ExportLedger": Stream(
        lambda acme: report.ExportLedgerRequest(program_id=acme.own("club"), format=report.LEDGER_FILE_FORMAT_CSV)
    ),
}
