"""Leaderboards in the schema."""

from collections.abc import Sequence

from strawberry import Parent
from tessera.loyalty.v1 import leaderboard_pb2 as pb
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.loyalty import Member, Program
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation
from gateway.schema.scalars import DateTime

_LEADERBOARD = ("leaderboard_id", "name", "metric", "period", "rolling_days", "achievement_id", "step")


@from_proto(pb.Leaderboard, "program_id", *_LEADERBOARD, "active", "create_time")
class Leaderboard: ...


@from_proto(pb.Standing, "rank", "tied", "score", "display_name", "member_id")
class Standing: ...


@from_proto(pb.GetStandingResponse, "standing", "ahead", "behind", "member_count", "complete")
class MemberStanding: ...


@from_proto(pb.LeaderboardName, "program_id", "member_id", "alias", "hidden", "display_name")
class LeaderboardName: ...


@input_from_proto(pb.Leaderboard, *_LEADERBOARD)
class LeaderboardInput: ...


@input_from_proto(pb.CreateLeaderboardRequest, "request_id", "program_id", "leaderboard")
class CreateLeaderboardInput: ...


@from_proto(pb.CreateLeaderboardResponse, "leaderboard")
class CreateLeaderboardPayload: ...


@input_from_proto(pb.UpdateLeaderboardRequest, "request_id", "program_id", "leaderboard_id", "name", "active")
class UpdateLeaderboardInput: ...


@from_proto(pb.UpdateLeaderboardResponse, "leaderboard")
class UpdateLeaderboardPayload: ...


@input_from_proto(pb.SetLeaderboardNameRequest, "request_id", "program_id", "member_id", "alias", "hidden")
class SetLeaderboardNameInput: ...


@from_proto(pb.SetLeaderboardNameResponse, "name")
class SetLeaderboardNamePayload: ...


@edge(Program, by_rpc("loyalty.ListLeaderboards"))
async def leaderboards(program: Parent[loyalty_pb.Program], info: Info) -> list[pb.Leaderboard]:
    """What members are compared by, by id."""
    request = pb.ListLeaderboardsRequest(program_id=program.program_id)
    answer = await info.context.backends.loyalty.ListLeaderboards(request, metadata=info.context.metadata)
    return list(answer.leaderboards)


@edge(Leaderboard, by_rpc("loyalty.ListStandings"))
async def standings(
    leaderboard: Parent[pb.Leaderboard],
    info: Info,
    time: DateTime | None = None,
    first: First = 20,
    after: After = None,
) -> Page[pb.Standing]:
    """Who stands where, best first, in the period in which `time` lies; null: in the present one."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Standing], str]:
        request = pb.ListStandingsRequest(
            program_id=leaderboard.program_id,
            leaderboard_id=leaderboard.leaderboard_id,
            time=time,
            page_size=size,
            page_token=token,
        )
        answer = await info.context.backends.loyalty.ListStandings(request, metadata=info.context.metadata)
        return answer.standings, answer.next_page_token

    return await page(fetch, first, after)


@edge(Member, by_rpc("loyalty.GetStanding"))
async def leaderboard_standing(
    member: Parent[loyalty_pb.Member],
    info: Info,
    leaderboard_id: str,
    time: DateTime | None = None,
    neighbours: int = 0,
) -> pb.GetStandingResponse:
    """Where the member stands on a leaderboard, and who is directly before and behind."""
    request = pb.GetStandingRequest(
        program_id=member.program_id,
        leaderboard_id=leaderboard_id,
        member_id=member.member_id,
        time=time,
        neighbour_count=neighbours,
    )
    return await info.context.backends.loyalty.GetStanding(request, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.CreateLeaderboard"))
async def create_leaderboard(info: Info, input: pb.CreateLeaderboardRequest) -> pb.CreateLeaderboardResponse:
    return await info.context.backends.loyalty.CreateLeaderboard(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UpdateLeaderboard"))
async def update_leaderboard(info: Info, input: pb.UpdateLeaderboardRequest) -> pb.UpdateLeaderboardResponse:
    return await info.context.backends.loyalty.UpdateLeaderboard(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.SetLeaderboardName"))
async def set_leaderboard_name(info: Info, input: pb.SetLeaderboardNameRequest) -> pb.SetLeaderboardNameResponse:
    return await info.context.backends.loyalty.SetLeaderboardName(input, metadata=info.context.metadata)
