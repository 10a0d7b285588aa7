"""The rpcs of achievements."""

import math
from dataclasses import dataclass

from tessera.loyalty.v1 import achievement_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.validation import FieldInvalid
from services.loyalty.domain.achievement import SUM_SCALE, Achievement, AchievementPeriod, Step, StepMeasure
from services.loyalty.domain.achievement_progress import Completion
from services.loyalty.handlers.achievements import (
    Reached,
    create_achievement,
    list_achievements,
    list_member_achievements,
    update_achievement,
)
from services.loyalty.ports import Clubs, Ledger, Programs
from services.loyalty.servicer.calls import Context, micros, named, timestamp
from services.loyalty.servicer.carts import condition_message, read_condition, read_time, time_message

TARGET_MAX = 1e12

# The contract names its values as the domain does, behind the name of their enum.
_PERIODS = {each: pb.AchievementPeriod.Value(f"ACHIEVEMENT_PERIOD_{each.name}") for each in AchievementPeriod}
_PERIODS_ASKED = {number: each for each, number in _PERIODS.items()}
_MEASURES = {each: pb.AchievementMeasure.Value(f"ACHIEVEMENT_MEASURE_{each.name}") for each in StepMeasure}
_MEASURES_ASKED = {number: each for each, number in _MEASURES.items()}


@dataclass(frozen=True, kw_only=True)
class AchievementRpcs(LoyaltyServiceServicer):
    """What members are asked to do."""

    ledger: Ledger
    programs: Programs
    clubs: Clubs
    clock: Clock

    async def CreateAchievement(
        self, request: pb.CreateAchievementRequest, context: Context
    ) -> pb.CreateAchievementResponse:
        made = await create_achievement(self.ledger, named(request), _read(request.program_id, request.achievement))
        return pb.CreateAchievementResponse(achievement=achievement_message(made))

    async def UpdateAchievement(
        self, request: pb.UpdateAchievementRequest, context: Context
    ) -> pb.UpdateAchievementResponse:
        told = _read(request.program_id, request.achievement)
        made = await update_achievement(self.ledger, named(request), told, request.version)
        return pb.UpdateAchievementResponse(achievement=achievement_message(made))

    async def ListAchievements(
        self, request: pb.ListAchievementsRequest, context: Context
    ) -> pb.ListAchievementsResponse:
        found = await list_achievements(self.programs, self.clubs, principal().tenant, request.program_id)
        return pb.ListAchievementsResponse(achievements=map(achievement_message, found))

    async def ListMemberAchievements(
        self, request: pb.ListMemberAchievementsRequest, context: Context
    ) -> pb.ListMemberAchievementsResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        found = await list_member_achievements(
            self.programs, self.clubs, tenant, request.program_id, request.member_id, now
        )
        return pb.ListMemberAchievementsResponse(achievements=map(_reached, found))


def _read(program_id: str, told: pb.Achievement) -> Achievement:
    return Achievement(
        program_id=program_id,
        achievement_id=told.achievement_id,
        name=told.name,
        description=told.description,
        badge=told.badge,
        steps=tuple(_step(step, at) for at, step in enumerate(told.steps)),
        period=_PERIODS_ASKED[told.period],
        length=told.length,
        misses=told.misses,
        start_time=read_time(told, "start_time", 0),
        end_time=micros(told.end_time) if told.HasField("end_time") else None,
        completions_max=told.completions_max,
        reward_points=told.reward_points,
        revoked_by_refund=told.revoked_by_refund,
        active=told.active,
    )


def _step(told: pb.AchievementStep, at: int) -> Step:
    measure = _MEASURES_ASKED[told.measure]
    whole = measure is not StepMeasure.SUM
    if not math.isfinite(told.target) or not 0 < told.target <= TARGET_MAX or (whole and told.target % 1):
        raise FieldInvalid(
            f"achievement.steps[{at}].target must be above zero, and whole unless it is a sum",
            field=f"achievement.steps[{at}].target",
        )
    return Step(
        event_name=told.event_name,
        measure=measure,
        target=int(told.target) if whole else round(told.target * SUM_SCALE),
        name=told.name,
        property_name=told.property_name,
        condition=read_condition(told, "condition"),
    )


def _amount(step: Step, amount: int) -> float:
    return amount / SUM_SCALE if step.measure is StepMeasure.SUM else amount


def achievement_message(achievement: Achievement) -> pb.Achievement:
    """An achievement."""
    return pb.Achievement(
        program_id=achievement.program_id,
        achievement_id=achievement.achievement_id,
        name=achievement.name,
        description=achievement.description,
        badge=achievement.badge,
        steps=[
            pb.AchievementStep(
                name=step.name,
                event_name=step.event_name,
                condition=condition_message(step.condition),
                measure=_MEASURES[step.measure],
                property_name=step.property_name,
                target=_amount(step, step.target),
            )
            for step in achievement.steps
        ],
        period=_PERIODS[achievement.period],
        length=achievement.length,
        misses=achievement.misses,
        start_time=time_message(achievement.start_time, 0),
        end_time=None if achievement.end_time is None else timestamp(achievement.end_time),
        completions_max=achievement.completions_max,
        reward_points=achievement.reward_points,
        revoked_by_refund=achievement.revoked_by_refund,
        active=achievement.active,
        version=achievement.version,
        create_time=timestamp(achievement.create_time),
    )


def _reached(reached: Reached) -> pb.MemberAchievement:
    steps = reached.achievement.steps
    return pb.MemberAchievement(
        achievement=achievement_message(reached.achievement),
        steps=[
            pb.StepProgress(amount=_amount(step, amount), target=_amount(step, step.target))
            for step, amount in zip(steps, reached.amounts, strict=True)
        ],
        streak_length=reached.streak_length,
        completed_count=reached.completed_count,
        completions=map(_completion, reached.completions),
    )


def _completion(completion: Completion) -> pb.AchievementCompletion:
    return pb.AchievementCompletion(
        key=completion.key,
        complete_time=timestamp(completion.time),
        reward_points=completion.points,
        entry_id=completion.entry_id,
        revoke_time=time_message(completion.revoke_time, 0),
    )
