"""Earning rules over gRPC, live from profiles and from segmentation, and limits under parallel calls."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tessera.common.v1 import rule_pb2
from tessera.loyalty.v1 import earning_pb2 as pb
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.grpc_errors import error_info
from services.loyalty.app import Settings, serve
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from tests.conftest import Keyring
from tests.loyalty.club import NOBODY, Club


@pytest.fixture
async def club(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Club]:
    settings = configure(Settings, profiles_addr=NOBODY, segmentation_addr=NOBODY)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Club(LoyaltyServiceStub(channel), keyring.header())
        await client.open()
        yield client
        assert list((await client.check()).violations) == []


def _hats(**caps: Any) -> pb.EarningRuleDefinition:
    category = rule_pb2.Comparison(
        field="category",
        operator=rule_pb2.OPERATOR_EQUALS,
        values=[rule_pb2.Value(string_value="hats")],
    )
    return pb.EarningRuleDefinition(
        name="Triple on hats",
        active=True,
        trigger=pb.EARNING_TRIGGER_ORDER,
        items=rule_pb2.Rule(field=category),
        effect=pb.EarningEffect(multiplier_percent=300),
        caps=pb.EarningCaps(**caps),
    )


def _as_kept(definition: pb.EarningRuleDefinition) -> pb.EarningRuleDefinition:
    kept = pb.EarningRuleDefinition()
    kept.CopyFrom(definition)
    kept.effect.rounding = pb.EARNING_ROUNDING_DOWN
    kept.schedule.SetInParent()
    return kept


async def _add(club: Club, rule_id: str, definition: pb.EarningRuleDefinition) -> pb.EarningRule:
    request = pb.CreateEarningRuleRequest(
        program_id="club", rule_id=rule_id, definition=definition, request_id=club.new_id()
    )
    return (await club.stub.CreateEarningRule(request, metadata=club.metadata)).rule


def _order(order_id: str) -> pb.EarningOrder:
    products = [{"price": 5, "quantity": 2, "category": "hats"}, {"price": 10, "category": "socks"}]
    said = json.dumps({"products": products})
    return pb.EarningOrder(order_id=order_id, currency="USD", total_minor=2000, properties_json=said)


async def _sell(club: Club, order_id: str, member_id: str = "ann") -> pb.EarnByRulesResponse:
    request = pb.EarnByRulesRequest(
        program_id="club", member_id=member_id, order=_order(order_id), request_id=club.new_id()
    )
    return await club.stub.EarnByRules(request, metadata=club.metadata)


async def test_a_till_earns_by_rules_and_the_statement_says_which(club: Club) -> None:
    definition = _hats()
    rule = await _add(club, "hats", definition)
    assert (rule.version, rule.definition.items, rule.definition.effect.multiplier_percent) == (
        1,
        definition.items,
        300,
    )
    asked = pb.SimulateEarningRequest(program_id="club", member_id="ann", order=_order("o1"))
    tried = await club.stub.SimulateEarning(asked, metadata=club.metadata)
    assert (tried.outcome.points, tried.balance_points, tried.tier_id) == (40, 40, "basic")
    sold = await _sell(club, "o1")
    assert (sold.outcome, sold.balance_points) == (tried.outcome, 40)
    listed = loyalty.ListEntriesRequest(program_id="club", member_id="ann")
    [entry] = (await club.stub.ListEntries(listed, metadata=club.metadata)).entries
    assert [(share.rule_id, share.points) for share in entry.shares] == [("", 20), ("hats", 20)]
    rules = await club.stub.ListEarningRules(pb.ListEarningRulesRequest(program_id="club"), metadata=club.metadata)
    assert [(each.rule_id, each.given_points, each.given_count) for each in rules.rules] == [("hats", 20, 1)]


async def test_a_budget_holds_under_parallel_sales(club: Club) -> None:
    await _add(club, "hats", _hats(budget_points=110))
    sold = await asyncio.gather(*(_sell(club, f"o{number}", f"m{number % 5}") for number in range(40)))
    given = [share.points for each in sold for share in each.outcome.shares if share.rule_id == "hats"]
    assert sorted(given) == [10, 20, 20, 20, 20, 20]


async def test_limits_are_set_read_and_kept(club: Club) -> None:
    limit = pb.PeriodLimit(period=pb.LIMIT_PERIOD_DAY, points=25, count=2)
    setting = pb.SetEarningLimitsRequest(program_id="club", per_member=[limit], request_id=club.new_id())
    await club.stub.SetEarningLimits(setting, metadata=club.metadata)
    found = await club.stub.GetEarningLimits(pb.GetEarningLimitsRequest(program_id="club"), metadata=club.metadata)
    assert (list(found.limits.per_member), found.limits.version) == ([limit], 1)
    assert [(await _sell(club, f"o{number}")).outcome.points for number in range(3)] == [20, 5, 0]


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (pb.EarningRuleDefinition(name="x", trigger=pb.EARNING_TRIGGER_ORDER), "FIELD_INVALID"),
        (
            pb.EarningRuleDefinition(name="x", trigger=pb.EARNING_TRIGGER_ORDER, effect=pb.EarningEffect()),
            "FIELD_INVALID",
        ),
        (
            pb.EarningRuleDefinition(
                name="x",
                trigger=pb.EARNING_TRIGGER_ORDER,
                effect=pb.EarningEffect(fixed_points=1),
                condition=rule_pb2.Rule(),
            ),
            "RULE_INVALID",
        ),
    ],
)
async def test_a_rule_that_says_nothing_is_refused(
    club: Club, definition: pb.EarningRuleDefinition, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _add(club, "x", definition)
    info = error_info(refused.value)
    assert info
    assert info.reason == reason


async def test_an_event_that_profiles_records_earns_by_its_rule(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with serve_profiles(configure(ProfilesSettings)) as upstream:
        settings = configure(Settings, profiles_addr=upstream.address, segmentation_addr=NOBODY)
        async with (
            serve(settings) as up,
            grpc.aio.insecure_channel(up.address) as channel,
            grpc.aio.insecure_channel(upstream.address) as events,
        ):
            club = Club(LoyaltyServiceStub(channel), keyring.header())
            await club.open()
            review = pb.EarningRuleDefinition(
                name="Review",
                active=True,
                trigger=pb.EARNING_TRIGGER_EVENT,
                event_name="Review Written",
                effect=pb.EarningEffect(fixed_points=30),
            )
            await _add(club, "review", review)
            told = profiles.Event(
                message_id="m1",
                type=profiles.EVENT_TYPE_TRACK,
                name="Review Written",
                user_id="ann",
                properties_json="{}",
            )
            stub = ProfilesServiceStub(events)
            recorded = await stub.IngestEvents(profiles.IngestEventsRequest(events=[told]), metadata=keyring.header())
            assert recorded.recorded_count == 1
            async for batch in club.stub.FollowEntries(loyalty.FollowEntriesRequest(), metadata=club.metadata):
                [entered] = batch.entries
                break
            assert (entered.entry.points, entered.entry.event_id) == (30, "m1")
