"""What members do together, as documents: the collection of each kind with its indexes, and answers kept for replay."""

from services.common.store import Collection, Index
from services.loyalty.domain.account_activity import ACCOUNT_ACTIVITY
from services.loyalty.domain.achievement import ACHIEVEMENT_BOOKS, Achievement
from services.loyalty.domain.achievement_events import CONTRIBUTIONS
from services.loyalty.domain.achievement_progress import PROGRESS
from services.loyalty.domain.leaderboard import LEADERBOARD_BOOKS, LEADERBOARD_NAMES, Leaderboard, LeaderboardName
from services.loyalty.domain.score import RANKINGS, SCORES
from services.loyalty.domain.score_change import SCORE_CHANGES
from services.loyalty.domain.shared_account import SHARED_ACCOUNTS, SharedAccount
from services.loyalty.domain.spending_policy import SPENDING_POLICIES, SPENDING_USAGE, SpendingPolicy
from services.loyalty.domain.spin import SPIN_USAGES, SPINS, Spun
from services.loyalty.domain.transfer import TRANSFERS, Transferred
from services.loyalty.domain.wheel import WHEEL_BOOKS, WHEELS, Wheel

CLUB_RECORDS = {
    collection.name: collection
    for collection in (
        Collection(ACHIEVEMENT_BOOKS.name),
        Collection(SHARED_ACCOUNTS.name),
        Collection(ACCOUNT_ACTIVITY.name, (Index(("program_id", "account_id", "time")), Index(("customer_id",)))),
        Collection(PROGRESS.name, (Index(("member_id", "update_time")),)),
        Collection(CONTRIBUTIONS.name, (Index(("member_id",)),)),
        Collection(SPENDING_POLICIES.name),
        Collection(LEADERBOARD_BOOKS.name),
        Collection(LEADERBOARD_NAMES.name, (Index(("member_id",)),)),
        Collection(SCORES.name, (Index(("ranking", "place")), Index(("member_id",)), Index(("due_day",)))),
        Collection(RANKINGS.name),
        Collection(
            SCORE_CHANGES.name, (Index(("member_id",)), Index(("partner_id",)), Index(("time",))), published=True
        ),
        Collection(SPENDING_USAGE.name, (Index(("member_id",)),)),
        Collection(WHEEL_BOOKS.name),
        Collection(WHEELS.name),
        Collection(SPIN_USAGES.name, (Index(("member_id",)),)),
        Collection(
            SPINS.name,
            (
                Index(("program_id", "wheel_id", "number")),
                Index(("program_id", "member_id", "time")),
                Index(("member_id",)),
            ),
        ),
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
CLUB_ANSWERS: dict[str, type] = {
    "shared_account": SharedAccount,
    "achievement": Achievement,
    "leaderboard": Leaderboard,
    "leaderboard_name": LeaderboardName,
    "spending_policy": SpendingPolicy,
    "transferred": Transferred,
    "wheel": Wheel,
    "spun": Spun,
}
