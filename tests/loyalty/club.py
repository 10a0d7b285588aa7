"""A client of loyalty that speaks of one programme."""

import itertools
from typing import TYPE_CHECKING, Any

from tessera.loyalty.v1 import loyalty_service_pb2 as pb

if TYPE_CHECKING:
    from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceAsyncStub

NOBODY = "127.0.0.1:1"
"""An address where no profiles answers: the follower waits, everything else works."""


class Club:
    """Calls loyalty as one tenant, in the programme ``club``."""

    def __init__(self, stub: "LoyaltyServiceAsyncStub", metadata: tuple[tuple[str, str], ...]) -> None:
        self.stub, self.metadata = stub, metadata
        self._numbers = itertools.count()

    def new_id(self) -> str:
        return f"r{next(self._numbers)}"

    async def open(self, program_id: str = "club") -> pb.Program:
        request = pb.CreateProgramRequest(
            program_id=program_id,
            name="Club",
            currency="USD",
            points_per_100_minor=1,
            validity_months=12,
            tiers=[
                pb.Tier(tier_id="basic", name="Basic", threshold=0),
                pb.Tier(tier_id="gold", name="Gold", threshold=100),
            ],
            request_id=self.new_id(),
        )
        return (await self.stub.CreateProgram(request, metadata=self.metadata)).program

    async def earn(self, points: int, member_id: str = "ann", **named: Any) -> pb.Entry:
        named.setdefault("request_id", self.new_id())
        request = pb.EarnPointsRequest(program_id="club", member_id=member_id, points=points, **named)
        return (await self.stub.EarnPoints(request, metadata=self.metadata)).entry

    async def burn(self, points: int, member_id: str = "ann", **named: Any) -> pb.Entry:
        named.setdefault("request_id", self.new_id())
        request = pb.BurnPointsRequest(program_id="club", member_id=member_id, points=points, **named)
        return (await self.stub.BurnPoints(request, metadata=self.metadata)).entry

    async def member(self, member_id: str = "ann") -> pb.Member:
        request = pb.GetMemberRequest(program_id="club", member_id=member_id)
        return (await self.stub.GetMember(request, metadata=self.metadata)).member

    async def check(self) -> pb.CheckLedgerResponse:
        return await self.stub.CheckLedger(pb.CheckLedgerRequest(), metadata=self.metadata)

    async def reward(self, reward_id: str, cost: int, stock: int | None) -> pb.Reward:
        request = pb.CreateRewardRequest(
            program_id="club",
            reward_id=reward_id,
            name=reward_id,
            cost_points=cost,
            stock_count=stock,
            request_id=self.new_id(),
        )
        return (await self.stub.CreateReward(request, metadata=self.metadata)).reward

    async def redeem(self, reward_id: str, member_id: str = "ann") -> pb.RedeemRewardResponse:
        request = pb.RedeemRewardRequest(
            program_id="club", member_id=member_id, reward_id=reward_id, request_id=self.new_id()
        )
        return await self.stub.RedeemReward(request, metadata=self.metadata)
