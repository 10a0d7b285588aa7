"""Reading all members of a segment, a page at a time."""

from services.segmentation.ports import Memberships

MEMBERS_A_READ = 1000


async def member_ids(memberships: Memberships, tenant: str, segment_id: str) -> set[str]:
    """The customers who are in the segment."""
    members: set[str] = set()
    after = ""
    while True:
        page, after = await memberships.members(tenant, segment_id, MEMBERS_A_READ, after)
        members.update(customer_id for customer_id, _ in page)
        if not after:
            return members
