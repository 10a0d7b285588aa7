"""Opening and reading programmes."""

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import tier_pb2 as tier_pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.loyalty.domain.operations import CreateProgram
from services.loyalty.domain.program import (
    PendingRelease,
    PendingRule,
    Program,
    Qualification,
    RefundPolicy,
    Tier,
)
from services.loyalty.domain.tier_policy import Downgrade, Measure, QualifyingPeriod, TierPolicy
from services.loyalty.handlers.programs import create_program, get_program, list_programs
from services.loyalty.ports import Ledger, Programs
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.lots import read_validity, validity_message

# The contract names its values as the domain does, behind the name of their enum.
_QUALIFICATIONS = {each: pb.Qualification.Value(f"QUALIFICATION_{each.name}") for each in Qualification}
_RELEASES = {release: pb.PendingRelease.Value(f"PENDING_RELEASE_{release.name}") for release in PendingRelease}
_REFUND_POLICIES = {policy: pb.RefundPolicy.Value(f"REFUND_POLICY_{policy.name}") for policy in RefundPolicy}
_MEASURES = {each: tier_pb.TierMeasure.Value(f"TIER_MEASURE_{each.name}") for each in Measure}
_MEASURES_ASKED = {number: each for each, number in _MEASURES.items()}
_PERIODS = {each: tier_pb.TierPeriod.Value(f"TIER_PERIOD_{each.name}") for each in QualifyingPeriod}
_PERIODS_ASKED = {number: each for each, number in _PERIODS.items()}
_DOWNGRADES = {each: tier_pb.TierDowngrade.Value(f"TIER_DOWNGRADE_{each.name}") for each in Downgrade}
_DOWNGRADES_ASKED = {
    tier_pb.TIER_DOWNGRADE_UNSPECIFIED: Downgrade.BALANCE,
    **{number: each for each, number in _DOWNGRADES.items()},
}
_QUALIFICATIONS_ASKED = {
    pb.QUALIFICATION_UNSPECIFIED: Qualification.LIFETIME_POINTS,
    **{number: each for each, number in _QUALIFICATIONS.items()},
}
_RELEASES_ASKED = {
    pb.PENDING_RELEASE_UNSPECIFIED: PendingRelease.IMMEDIATE,
    **{number: release for release, number in _RELEASES.items()},
}
_REFUND_POLICIES_ASKED = {
    pb.REFUND_POLICY_UNSPECIFIED: RefundPolicy.WITHIN_BALANCE,
    **{number: policy for policy, number in _REFUND_POLICIES.items()},
}


@dataclass(frozen=True, kw_only=True)
class ProgramRpcs(LoyaltyServiceServicer):
    """The rpcs of programmes."""

    ledger: Ledger
    programs: Programs

    async def CreateProgram(self, request: pb.CreateProgramRequest, context: Context) -> pb.CreateProgramResponse:
        opening = CreateProgram(
            program_id=request.program_id,
            name=request.name,
            currency=request.currency,
            points_per_100_minor=request.points_per_100_minor,
            validity_months=request.validity_months,
            qualification=_QUALIFICATIONS_ASKED[request.qualification],
            tiers=tuple(Tier(tier.tier_id, tier.name, tier.threshold, tuple(tier.perks)) for tier in request.tiers),
            pending=_pending_rule(request.pending),
            refund_policy=_REFUND_POLICIES_ASKED[request.refund_policy],
            time_zone=request.time_zone or "UTC",
            tier_policy=_tier_policy(request.tier_policy) if request.HasField("tier_policy") else None,
            validity=read_validity(request.validity) if request.HasField("validity") else None,
        )
        return pb.CreateProgramResponse(
            program=program_message(await create_program(self.ledger, named(request), opening))
        )

    async def GetProgram(self, request: pb.GetProgramRequest, context: Context) -> pb.GetProgramResponse:
        program = await get_program(self.programs, principal().tenant, request.program_id)
        return pb.GetProgramResponse(program=program_message(program))

    async def ListPrograms(self, request: pb.ListProgramsRequest, context: Context) -> pb.ListProgramsResponse:
        found, token = await list_programs(self.programs, principal().tenant, page_size(request), request.page_token)
        return pb.ListProgramsResponse(programs=map(program_message, found), next_page_token=token)


def _pending_rule(rule: pb.PendingRule) -> PendingRule:
    # In the unit of the domain; what is finer is left to it to refuse, not rounded away.
    duration = rule.duration.seconds * 1_000_000 + -(-rule.duration.nanos // 1000)
    return PendingRule(_RELEASES_ASKED[rule.release], duration)


def tier_message(tier: Tier) -> pb.Tier:
    """A tier."""
    return pb.Tier(tier_id=tier.id, name=tier.name, threshold=tier.threshold, perks=tier.perks)


def _tier_policy(told: tier_pb.TierPolicy) -> TierPolicy:
    return TierPolicy(
        _MEASURES_ASKED[told.measure],
        _PERIODS_ASKED[told.period],
        _DOWNGRADES_ASKED[told.downgrade],
        told.grace_days,
    )


def _tier_policy_message(policy: TierPolicy) -> tier_pb.TierPolicy:
    return tier_pb.TierPolicy(
        measure=_MEASURES[policy.measure],
        period=_PERIODS[policy.period],
        downgrade=_DOWNGRADES[policy.downgrade],
        grace_days=policy.grace_days,
    )


def program_message(program: Program) -> pb.Program:
    """A programme."""
    return pb.Program(
        program_id=program.id,
        name=program.name,
        currency=program.currency,
        points_per_100_minor=program.points_per_100_minor,
        validity_months=program.validity_months,
        qualification=_QUALIFICATIONS[program.qualification],
        tiers=map(tier_message, program.tiers),
        create_time=timestamp(program.create_time),
        pending=pb.PendingRule(release=_RELEASES[program.pending.release], duration=_duration(program.pending)),
        refund_policy=_REFUND_POLICIES[program.refund_policy],
        time_zone=program.time_zone,
        tier_policy=_tier_policy_message(program.tier_policy) if program.tier_policy else None,
        validity=validity_message(program.validity) if program.validity else None,
        wallet_of_program_id=program.wallet_of,
    )


def _duration(rule: PendingRule) -> Duration | None:
    return Duration(seconds=rule.duration // 1_000_000) if rule.duration else None
