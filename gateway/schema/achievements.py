"""Achievements, streaks and challenges in the schema."""

from typing import Any

from strawberry import Parent
from tessera.loyalty.v1 import achievement_pb2 as pb
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.forms import input_form
from gateway.schema.loyalty import Member, Program
from gateway.schema.registry import computed, edge, from_proto, input_from_proto, mutation
from gateway.schema.scalars import JSON

_STEP = ("name", "event_name", "condition", "measure", "property_name", "target")
_ACHIEVEMENT = (
    "achievement_id",
    "name",
    "description",
    "badge",
    "steps",
    "period",
    "length",
    "misses",
    "start_time",
    "end_time",
    "completions_max",
    "reward_points",
    "revoked_by_refund",
    "active",
)


@from_proto(pb.AchievementStep, *(name for name in _STEP if name != "condition"))
class AchievementStep: ...


@from_proto(pb.Achievement, "program_id", *_ACHIEVEMENT, "version", "create_time")
class Achievement: ...


@from_proto(pb.StepProgress, "amount", "target")
class StepProgress: ...


@from_proto(pb.AchievementCompletion, "key", "complete_time", "reward_points", "entry_id", "revoke_time")
class AchievementCompletion: ...


@from_proto(pb.MemberAchievement, "achievement", "steps", "streak_length", "completed_count", "completions")
class MemberAchievement: ...


@input_from_proto(pb.AchievementStep, *_STEP)
class AchievementStepInput: ...


@input_from_proto(pb.Achievement, *_ACHIEVEMENT)
class AchievementInput: ...


@input_from_proto(pb.CreateAchievementRequest, "request_id", "program_id", "achievement")
class CreateAchievementInput: ...


@from_proto(pb.CreateAchievementResponse, "achievement")
class CreateAchievementPayload: ...


@input_from_proto(pb.UpdateAchievementRequest, "request_id", "program_id", "achievement", "version")
class UpdateAchievementInput: ...


@from_proto(pb.UpdateAchievementResponse, "achievement")
class UpdateAchievementPayload: ...


@computed(AchievementStep, JSON | None)
def condition(step: pb.AchievementStep) -> dict[str, Any] | None:
    """What must hold of an event, in the form of `RuleInput`; null: always."""
    return input_form(step.condition) if step.HasField("condition") else None


@edge(Program, by_rpc("loyalty.ListAchievements"), name="achievements")
async def achievements_of_program(program: Parent[loyalty_pb.Program], info: Info) -> list[pb.Achievement]:
    """What members are asked to do, by id."""
    request = pb.ListAchievementsRequest(program_id=program.program_id)
    answer = await info.context.backends.loyalty.ListAchievements(request, metadata=info.context.metadata)
    return list(answer.achievements)


@edge(Member, by_rpc("loyalty.ListMemberAchievements"))
async def achievements(member: Parent[loyalty_pb.Member], info: Info) -> list[pb.MemberAchievement]:
    """How far the member is, and what was completed."""
    request = pb.ListMemberAchievementsRequest(program_id=member.program_id, member_id=member.member_id)
    answer = await info.context.backends.loyalty.ListMemberAchievements(request, metadata=info.context.metadata)
    return list(answer.achievements)


@mutation(by_rpc("loyalty.CreateAchievement"))
async def create_achievement(info: Info, input: pb.CreateAchievementRequest) -> pb.CreateAchievementResponse:
    return await info.context.backends.loyalty.CreateAchievement(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UpdateAchievement"))
async def update_achievement(info: Info, input: pb.UpdateAchievementRequest) -> pb.UpdateAchievementResponse:
    return await info.context.backends.loyalty.UpdateAchievement(input, metadata=info.context.metadata)
