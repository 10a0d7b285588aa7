"""The rpcs of leaderboards."""

from collections.abc import Callable
from dataclasses import dataclass

from tessera.loyalty.v1 import leaderboard_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.validation import FieldInvalid
from services.loyalty.domain.achievement import SUM_SCALE, StepMeasure
from services.loyalty.domain.leaderboard import Leaderboard, Metric
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.leaderboards import (
    Standing,
    create_leaderboard,
    get_standing,
    list_leaderboards,
    list_standings,
    set_leaderboard_name,
    update_leaderboard,
)
from services.loyalty.ports import Clubs, Ledger, Programs
from services.loyalty.ports.comparing import Leaderboards
from services.loyalty.servicer.calls import Context, micros, named, timestamp

PAGE_SIZE_DEFAULT = 20
SALT_BYTES = 16
_METRICS = {each: pb.LeaderboardMetric.Value(f"LEADERBOARD_METRIC_{each.name}") for each in Metric}
_METRICS_ASKED = {number: each for each, number in _METRICS.items()}
_PERIODS = {
    Period.LIFETIME: pb.LEADERBOARD_PERIOD_ALL_TIME,
    Period.DAY: pb.LEADERBOARD_PERIOD_DAY,
    Period.WEEK: pb.LEADERBOARD_PERIOD_WEEK,
    Period.MONTH: pb.LEADERBOARD_PERIOD_MONTH,
    Period.YEAR: pb.LEADERBOARD_PERIOD_YEAR,
}
_PERIODS_ASKED = {number: each for each, number in _PERIODS.items()}


@dataclass(frozen=True, kw_only=True)
class LeaderboardRpcs(LoyaltyServiceServicer):
    """Members compared with each other."""

    ledger: Ledger
    programs: Programs
    clubs: Clubs
    leaderboards: Leaderboards
    clock: Clock
    draw: Callable[[int], bytes]

    async def CreateLeaderboard(
        self, request: pb.CreateLeaderboardRequest, context: Context
    ) -> pb.CreateLeaderboardResponse:
        told = _read(request.program_id, request.leaderboard)
        made = await create_leaderboard(self.ledger, named(request), told, self.draw(SALT_BYTES).hex())
        return pb.CreateLeaderboardResponse(leaderboard=leaderboard_message(made))

    async def UpdateLeaderboard(
        self, request: pb.UpdateLeaderboardRequest, context: Context
    ) -> pb.UpdateLeaderboardResponse:
        made = await update_leaderboard(
            self.ledger,
            named(request),
            program_id=request.program_id,
            leaderboard_id=request.leaderboard_id,
            name=request.name,
            active=request.active,
        )
        return pb.UpdateLeaderboardResponse(leaderboard=leaderboard_message(made))

    async def ListLeaderboards(
        self, request: pb.ListLeaderboardsRequest, context: Context
    ) -> pb.ListLeaderboardsResponse:
        found = await list_leaderboards(self.programs, self.leaderboards, principal().tenant, request.program_id)
        return pb.ListLeaderboardsResponse(leaderboards=map(leaderboard_message, found))

    async def ListStandings(self, request: pb.ListStandingsRequest, context: Context) -> pb.ListStandingsResponse:
        found = await list_standings(
            self.programs,
            self.leaderboards,
            principal().tenant,
            request.program_id,
            request.leaderboard_id,
            self._instant(request),
            request.page_size or PAGE_SIZE_DEFAULT,
            request.page_token,
        )
        unit = await self._unit(found.leaderboard)
        return pb.ListStandingsResponse(
            standings=[_standing(each, unit) for each in found.standings],
            next_page_token=found.next_token,
            member_count=found.members,
            complete=found.complete,
        )

    async def GetStanding(self, request: pb.GetStandingRequest, context: Context) -> pb.GetStandingResponse:
        found = await get_standing(
            self.programs,
            self.leaderboards,
            principal().tenant,
            request.program_id,
            request.leaderboard_id,
            request.member_id,
            self._instant(request),
            request.neighbour_count,
        )
        unit = await self._unit(found.leaderboard)
        return pb.GetStandingResponse(
            standing=_standing(found.own, unit, own=True),
            ahead=[_standing(each, unit) for each in found.ahead],
            behind=[_standing(each, unit) for each in found.behind],
            member_count=found.members,
            complete=found.complete,
        )

    async def SetLeaderboardName(
        self, request: pb.SetLeaderboardNameRequest, context: Context
    ) -> pb.SetLeaderboardNameResponse:
        alias = request.alias.strip()
        if not alias.isprintable():
            raise FieldInvalid("alias must be printable", field="alias")
        name, shown = await set_leaderboard_name(
            self.ledger,
            self.leaderboards,
            named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            alias=alias,
            hidden=request.hidden,
        )
        return pb.SetLeaderboardNameResponse(
            name=pb.LeaderboardName(
                program_id=name.program_id,
                member_id=name.member_id,
                alias=name.alias,
                hidden=name.hidden,
                display_name=shown,
            )
        )

    def _instant(self, request: pb.ListStandingsRequest | pb.GetStandingRequest) -> int:
        return micros(request.time) if request.HasField("time") else to_micros(self.clock())

    async def _unit(self, leaderboard: Leaderboard) -> int:
        """What a score is divided by: sums of achievements are kept in thousandths."""
        if leaderboard.metric is not Metric.ACHIEVEMENT:
            return 1
        book = await self.clubs.achievements(principal().tenant, leaderboard.program_id)
        step = book.get(leaderboard.achievement_id).steps[leaderboard.step]
        return SUM_SCALE if step.measure is StepMeasure.SUM else 1


def _read(program_id: str, told: pb.Leaderboard) -> Leaderboard:
    rolling = told.period == pb.LEADERBOARD_PERIOD_ROLLING_DAYS
    if rolling != bool(told.rolling_days):
        raise FieldInvalid(
            "leaderboard.rolling_days is for ROLLING_DAYS, and needed there", field="leaderboard.rolling_days"
        )
    return Leaderboard(
        program_id=program_id,
        leaderboard_id=told.leaderboard_id,
        name=told.name,
        metric=_METRICS_ASKED[told.metric],
        period=_PERIODS_ASKED.get(told.period, Period.LIFETIME),
        rolling_days=told.rolling_days,
        achievement_id=told.achievement_id,
        step=told.step,
    )


def leaderboard_message(leaderboard: Leaderboard) -> pb.Leaderboard:
    """A leaderboard."""
    rolling = leaderboard.rolling_days > 0
    return pb.Leaderboard(
        program_id=leaderboard.program_id,
        leaderboard_id=leaderboard.leaderboard_id,
        name=leaderboard.name,
        metric=_METRICS[leaderboard.metric],
        period=pb.LEADERBOARD_PERIOD_ROLLING_DAYS if rolling else _PERIODS[leaderboard.period],
        rolling_days=leaderboard.rolling_days,
        achievement_id=leaderboard.achievement_id,
        step=leaderboard.step,
        active=leaderboard.active,
        create_time=timestamp(leaderboard.create_time),
    )


def _standing(standing: Standing, unit: int, *, own: bool = False) -> pb.Standing:
    seen = own or principal().holds("loyalty:admin")
    return pb.Standing(
        rank=standing.rank,
        tied=standing.tied,
        score=standing.score / unit,
        display_name=standing.name,
        member_id=standing.member_id if seen else "",
    )
