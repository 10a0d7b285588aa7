"""How the rpcs of lots, blocks and what members do together keep tenants apart."""

from tessera.loyalty.v1 import achievement_pb2 as achievement
from tessera.loyalty.v1 import block_pb2 as block
from tessera.loyalty.v1 import leaderboard_pb2 as leaderboard
from tessera.loyalty.v1 import lot_pb2 as lot
from tessera.loyalty.v1 import shared_account_pb2 as shared
from tessera.loyalty.v1 import transfer_pb2 as transfer
from tessera.loyalty.v1 import wallet_pb2 as wallet
from tessera.loyalty.v1 import wheel_pb2 as wheel

from tests.contracts.tenant_rule import Refused, Rule

IN_ACMES_CLUB = "PROGRAM_NOT_FOUND"
FIRST_ORDER = achievement.Achievement(
    achievement_id="first-order",
    name="First order",
    period=achievement.ACHIEVEMENT_PERIOD_ONCE,
    steps=[
        achievement.AchievementStep(
            event_name="Order Completed", measure=achievement.ACHIEVEMENT_MEASURE_COUNT, target=1
        )
    ],
)

MOST_SPENT = leaderboard.Leaderboard(
    leaderboard_id="most-spent", name="Most spent", metric=leaderboard.LEADERBOARD_METRIC_SPEND
)

LUCK = wheel.Wheel(
    wheel_id="luck", name="Luck", sectors=[wheel.WheelSector(label="5 points", weight=1, prize_points=5)]
)

CLUB: dict[str, Rule] = {
    "CreateWheel": Refused(
        lambda acme: wheel.CreateWheelRequest(program_id=acme.own("club"), wheel=LUCK, request_id="cf"), IN_ACMES_CLUB
    ),
    "UpdateWheel": Refused(
        lambda acme: wheel.UpdateWheelRequest(program_id=acme.own("club"), wheel_id="luck", request_id="uf"),
        IN_ACMES_CLUB,
    ),
    "ListWheels": Refused(lambda acme: wheel.ListWheelsRequest(program_id=acme.own("club")), IN_ACMES_CLUB),
    "SpinWheel": Refused(
        lambda acme: wheel.SpinWheelRequest(
            program_id=acme.own("club"), wheel_id="luck", member_id=acme.customer_id, request_id="sf"
        ),
        IN_ACMES_CLUB,
    ),
    "ListSpins": Refused(
        lambda acme: wheel.ListSpinsRequest(program_id=acme.own("club"), wheel_id="luck"), IN_ACMES_CLUB
    ),
    "CreateLeaderboard": Refused(
        lambda acme: leaderboard.CreateLeaderboardRequest(
            program_id=acme.own("club"), leaderboard=MOST_SPENT, request_id="cl"
        ),
        IN_ACMES_CLUB,
    ),
    "UpdateLeaderboard": Refused(
        lambda acme: leaderboard.UpdateLeaderboardRequest(
            program_id=acme.own("club"), leaderboard_id="most-points", request_id="ul"
        ),
        IN_ACMES_CLUB,
    ),
    "ListLeaderboards": Refused(
        lambda acme: leaderboard.ListLeaderboardsRequest(program_id=acme.own("club")), IN_ACMES_CLUB
    ),
    "ListStandings": Refused(
        lambda acme: leaderboard.ListStandingsRequest(program_id=acme.own("club"), leaderboard_id="most-points"),
        IN_ACMES_CLUB,
    ),
    "GetStanding": Refused(
        lambda acme: leaderboard.GetStandingRequest(
            program_id=acme.own("club"), leaderboard_id="most-points", member_id=acme.customer_id
        ),
        IN_ACMES_CLUB,
    ),
    "SetLeaderboardName": Refused(
        lambda acme: leaderboard.SetLeaderboardNameRequest(
            program_id=acme.own("club"), member_id=acme.customer_id, alias="x", request_id="sl"
        ),
        IN_ACMES_CLUB,
    ),
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
    "SetSpendingPolicy": Refused(
        lambda acme: transfer.SetSpendingPolicyRequest(
            program_id=acme.own("club"), policy=transfer.SpendingPolicy(transfers_allowed=True), request_id="sp"
        ),
        IN_ACMES_CLUB,
    ),
    "GetSpendingPolicy": Refused(
        lambda acme: transfer.GetSpendingPolicyRequest(program_id=acme.own("club")), IN_ACMES_CLUB
    ),
    "ListTransfers": Refused(
        lambda acme: transfer.ListTransfersRequest(program_id=acme.own("club"), member_id=acme.customer_id),
        IN_ACMES_CLUB,
    ),
    "CreateAchievement": Refused(
        lambda acme: achievement.CreateAchievementRequest(
            program_id=acme.own("club"), achievement=FIRST_ORDER, request_id="ca"
        ),
        IN_ACMES_CLUB,
    ),
    "UpdateAchievement": Refused(
        lambda acme: achievement.UpdateAchievementRequest(
            program_id=acme.own("club"), achievement=FIRST_ORDER, version=1, request_id="ua"
        ),
        IN_ACMES_CLUB,
    ),
    "ListAchievements": Refused(
        lambda acme: achievement.ListAchievementsRequest(program_id=acme.own("club")), IN_ACMES_CLUB
    ),
    "ListMemberAchievements": Refused(
        lambda acme: achievement.ListMemberAchievementsRequest(program_id=acme.own("club"), member_id=acme.customer_id),
        IN_ACMES_CLUB,
    ),
    "OpenSharedAccount": Refused(
        lambda acme: shared.OpenSharedAccountRequest(
            program_id=acme.own("club"), account_id="home", users_max=2, owner_id="x", request_id="oa"
        ),
        IN_ACMES_CLUB,
    ),
    "JoinSharedAccount": Refused(
        lambda acme: shared.JoinSharedAccountRequest(
            program_id=acme.own("club"), account_id="home", customer_id="x", request_id="ja"
        ),
        IN_ACMES_CLUB,
    ),
    "LeaveSharedAccount": Refused(
        lambda acme: shared.LeaveSharedAccountRequest(
            program_id=acme.own("club"), account_id="home", customer_id="x", request_id="la"
        ),
        IN_ACMES_CLUB,
    ),
    "SetAccountRole": Refused(
        lambda acme: shared.SetAccountRoleRequest(
            program_id=acme.own("club"),
            account_id="home",
            customer_id="x",
            role=shared.ACCOUNT_ROLE_OWNER,
            request_id="ra",
        ),
        IN_ACMES_CLUB,
    ),
    "GetSharedAccount": Refused(
        lambda acme: shared.GetSharedAccountRequest(program_id=acme.own("club"), account_id="home"), IN_ACMES_CLUB
    ),
    "ListAccountActivity": Refused(
        lambda acme: shared.ListAccountActivityRequest(program_id=acme.own("club"), account_id="home"), IN_ACMES_CLUB
    ),
    "CreateWallet": Refused(
        lambda acme: wallet.CreateWalletRequest(
            program_id=acme.own("club"), wallet_id="stars", name="Stars", request_id="cw"
        ),
        IN_ACMES_CLUB,
    ),
    "ListWallets": Refused(lambda acme: wallet.ListWalletsRequest(program_id=acme.own("club")), IN_ACMES_CLUB),
    "TransferPoints": Refused(
        lambda acme: transfer.TransferPointsRequest(
            program_id=acme.own("club"), sender_id=acme.customer_id, receiver_id="x", points=1, request_id="tp"
        ),
        IN_ACMES_CLUB,
    ),
}
