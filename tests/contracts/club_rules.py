"""How the rpcs of lots, blocks and what members do together keep tenants apart."""

from tessera.loyalty.v1 import block_pb2 as block
from tessera.loyalty.v1 import lot_pb2 as lot

from tests.contracts.tenant_rule import Refused, Rule

IN_ACMES_CLUB = "PROGRAM_NOT_FOUND"

CLUB: dict[str, Rule] = {
    "ChangeExpiry": Refused(
        lambda acme: lot.ChangeExpiryRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, extend_days=1, reason="x", request_id="ce"
        ),
        IN_ACMES_CLUB,
    ),
    "ListLots": Refused(
        lambda acme: lot.ListLotsRequest(program_id=acme.own("club"), member_id=acme.customer_id), IN_ACMES_CLUB
    ),
    "BlockMember": Refused(
        lambda acme: block.BlockMemberRequest(
            program_id=acme.own("club"),
            member_id=acme.customer_id,
            scope=block.BLOCK_SCOPE_SPENDING,
            reason="x",
            request_id="bm",
        ),
        IN_ACMES_CLUB,
    ),
    "UnblockMember": Refused(
        lambda acme: block.UnblockMemberRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, reason="x", request_id="um"
        ),
        IN_ACMES_CLUB,
    ),
}
