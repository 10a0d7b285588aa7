"""What members do together, as documents: the collection of each kind with its indexes, and answers kept for replay."""

from services.common.store import Collection, Index
from services.loyalty.domain.spending_policy import SPENDING_POLICIES, SPENDING_USAGE, SpendingPolicy
from services.loyalty.domain.transfer import TRANSFERS, Transferred

CLUB_RECORDS = {
    collection.name: collection
    for collection in (
        Collection(SPENDING_POLICIES.name),
        Collection(SPENDING_USAGE.name, (Index(("member_id",)),)),
        Collection(
            TRANSFERS.name,
            (
                Index(("program_id", "sender_id", "time")),
                Index(("program_id", "receiver_id", "time")),
                Index(("sender_id",)),
                Index(("receiver_id",)),
            ),
        ),
    )
}
CLUB_ANSWERS: dict[str, type] = {"spending_policy": SpendingPolicy, "transferred": Transferred}
