"""The composition root of loyalty: everything is wired here, and nowhere else."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from tessera.loyalty.v1 import loyalty_service_pb2, loyalty_service_pb2_grpc
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.app import Exposed, Serving, background, every, serving
from services.common.channels import connect
from services.common.clock import Clock, system_clock, to_micros
from services.common.erasure import Acknowledgements
from services.common.jobs import Jobs
from services.common.settings import Port, ServiceSettings
from services.common.store import Store, open_store
from services.loyalty.adapters.checks import StoredChecks
from services.loyalty.adapters.clients import price_stream
from services.loyalty.adapters.clubs import StoredClubs
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.erasures import Erasures, StoredPersonalData
from services.loyalty.adapters.events import MembershipFollower, OrderFollower, membership_stream, order_stream
from services.loyalty.adapters.leaderboard_keeper import LeaderboardKeeper
from services.loyalty.adapters.leaderboards import StoredLeaderboards
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.ledger_files import csv_entries, parquet_entries
from services.loyalty.adapters.notices import StoredNotices
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.adapters.price_follower import PriceFollower
from services.loyalty.adapters.prices import StoredPrices
from services.loyalty.adapters.referrals import StoredReferrals
from services.loyalty.adapters.report_keeper import ReportKeeper
from services.loyalty.adapters.reports import StoredReports
from services.loyalty.adapters.store import (
    StoredEntries,
    StoredMembers,
    StoredOrderFeed,
    StoredPrograms,
    StoredRedemptions,
    StoredRewards,
)
from services.loyalty.adapters.stored_records import StoredEarningRules, StoredOccasions
from services.loyalty.adapters.wheels import StoredWheels
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.handlers.celebrate_occasions import Celebrations
from services.loyalty.handlers.coupons import expire_reservations
from services.loyalty.handlers.expire_due_points import expire_due_points
from services.loyalty.handlers.leaderboards import forget_scores_that_are_over
from services.loyalty.handlers.notices import announce_expiring, forget_notices
from services.loyalty.handlers.offers import forget_quotes
from services.loyalty.handlers.orders import apply_order_events
from services.loyalty.handlers.pricing import estimate_all, forget_quoted
from services.loyalty.handlers.referrals import settle_referrals
from services.loyalty.handlers.rewards import expire_redemptions
from services.loyalty.handlers.running_check import RunningCheck
from services.loyalty.servicer import LoyaltyServicer

ESTIMATE_LOOK_SECONDS = 3600.0
"""How often it looks which tenants' price sensitivities have become too old."""


class Settings(ServiceSettings):
    """The environment of loyalty."""

    model_config = SettingsConfigDict(env_prefix="LOYALTY_")
    service: ClassVar[str] = "loyalty"
    port: Port = 50055
    expiry_interval_seconds: float = Field(60.0, gt=0)
    """How often points whose time has passed are taken."""
    check_interval_seconds: float = Field(60.0, gt=0)
    """How often the running check looks at some members."""
    quote_retention_days: int = Field(400, ge=1, le=3650)
    """How long it can be told what a person was quoted, and why."""
    pricing_interval_seconds: float = Field(86_400.0, gt=0)
    """How old what is known of price sensitivities becomes before it is estimated anew."""
    notice_retention_days: int = Field(400, ge=1, le=3650)
    """How long notices are kept for those who follow them."""


@asynccontextmanager
async def serve(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[Serving]:
    """Serve until the block is left."""
    async with (
        open_store(settings, COLLECTIONS) as store,
        connect(settings.profiles_addr, settings) as profiles,
        connect(settings.segmentation_addr, settings) as segmentation,
    ):
        ledger = StoredLedger(store, clock)
        keeper, comparing = ReportKeeper(store), LeaderboardKeeper(store, clock)
        jobs = Jobs(store, clock)
        await jobs.recover(alone=not settings.store_url)
        follower = OrderFollower(order_stream(profiles), StoredOrderFeed(store), partial(apply_order_events, ledger))
        memberships = MembershipFollower(
            membership_stream(segmentation), StoredOrderFeed(store), partial(apply_order_events, ledger)
        )
        stub = ProfilesServiceStub(profiles)
        acknowledgements = Acknowledgements(
            store, settings.service, stub.AcknowledgeErasure, erasure_pb2.AcknowledgeErasureRequest, clock
        )
        erasures = Erasures(store, acknowledgements)
        exposed = Exposed(
            loyalty_service_pb2.DESCRIPTOR.services_by_name["LoyaltyService"],
            loyalty_service_pb2_grpc.add_LoyaltyServiceServicer_to_server,
            _servicer(store, ledger, keeper, comparing, jobs, clock),
        )
        try:
            async with (
                background(follower.run(), "loyalty-orders"),
                background(memberships.run(), "loyalty-memberships"),
                background(erasures.run(), "loyalty-erasures"),
                background(keeper.run(), "loyalty-reports"),
                background(comparing.run(), "loyalty-leaderboards"),
                background(PriceFollower(store, price_stream(profiles)).run(), "loyalty-prices"),
                background(_estimate(settings, store, clock), "loyalty-price-estimates"),
                background(acknowledgements.run(), "loyalty-acknowledgements"),
                background(_expire(settings, store, ledger, comparing, clock), "loyalty-expiry"),
                background(_check(settings, store, clock), "loyalty-check"),
                serving(settings, exposed) as up,
            ):
                yield up
        finally:
            await jobs.close()
            await ledger.close()


def _servicer(
    store: Store,
    ledger: StoredLedger,
    keeper: ReportKeeper,
    comparing: LeaderboardKeeper,
    jobs: Jobs,
    clock: Clock,
) -> LoyaltyServicer:
    return LoyaltyServicer(
        ledger=ledger,
        programs=StoredPrograms(store),
        members=StoredMembers(store),
        entries=StoredEntries(store),
        rewards=StoredRewards(store),
        redemptions=StoredRedemptions(store),
        orders=StoredOrderFeed(store),
        earning_rules=StoredEarningRules(store),
        personal_data=StoredPersonalData(store),
        clock=clock,
        coupons=StoredCoupons(store),
        offers=StoredOffers(store),
        prices=StoredPrices(store),
        referrals=StoredReferrals(store),
        clubs=StoredClubs(store),
        reports=StoredReports(store, keeper),
        notices=StoredNotices(store),
        leaderboards=StoredLeaderboards(store, comparing),
        wheels=StoredWheels(store),
        csv_file=csv_entries,
        parquet_file=parquet_entries,
        checks=StoredChecks(store),
        jobs=jobs,
        draw=os.urandom,
    )


async def _check(settings: Settings, store: Store, clock: Clock) -> None:
    check = RunningCheck(StoredPrograms(store), StoredEntries(store), StoredChecks(store))
    await every(settings.check_interval_seconds, lambda: check.tick(to_micros(clock())))


async def _estimate(settings: Settings, store: Store, clock: Clock) -> None:
    interval, prices = settings.pricing_interval_seconds, StoredPrices(store)
    looks = min(interval, ESTIMATE_LOOK_SECONDS)
    await every(looks, lambda: estimate_all(prices, to_micros(clock()), int(interval * 1_000_000)))


async def _expire(
    settings: Settings, store: Store, ledger: StoredLedger, comparing: LeaderboardKeeper, clock: Clock
) -> None:
    programs, members, coupons = StoredPrograms(store), StoredMembers(store), StoredCoupons(store)
    celebrations = Celebrations(programs, StoredEarningRules(store), StoredOccasions(store), ledger)
    offers, notices = StoredOffers(store), StoredNotices(store)
    leaderboards = StoredLeaderboards(store, comparing)

    async def tick() -> None:
        now = to_micros(clock())
        await expire_due_points(programs, members, ledger, now)
        await expire_reservations(ledger, coupons, now)
        await settle_referrals(ledger, StoredReferrals(store), coupons, now)
        await expire_redemptions(ledger, StoredRedemptions(store), coupons, now)
        await celebrations.tick(now)
        await announce_expiring(programs, members, notices, ledger, now)
        await forget_notices(programs, notices, ledger, now - settings.notice_retention_days * DAY_MICROS)
        await forget_scores_that_are_over(programs, leaderboards, now)
        forgotten = now - settings.quote_retention_days * DAY_MICROS
        await forget_quotes(ledger, offers, coupons, forgotten)
        await forget_quoted(StoredPrices(store), coupons, forgotten, now)

    await every(settings.expiry_interval_seconds, tick)
