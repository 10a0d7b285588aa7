"""How segments respond to campaigns: by hand, against counting one by one, and over gRPC through merges."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tessera.crm.v1 import crm_service_pb2 as crm
from tessera.crm.v1 import crm_service_pb2_grpc
from tessera.profiles.v1 import erasure_pb2, merge_pb2
from tessera.profiles.v1.person_pb2 import Person
from tessera.segmentation.v1 import segment_value_pb2 as pb

from services.common.rules import Comparison, Operator, Rule
from services.segmentation.adapters.messages import MESSAGES, Sent, message_rows
from services.segmentation.adapters.tables import Observed
from services.segmentation.domain.segment_value import Spans, Worth
from tests.conftest import Keyring
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.platform import Platform, at, identified, platform_of
from tests.segmentation.platform import ordered as bought
from tests.segmentation.studies import Study, did, ordered, told
from tests.whole_platform import until

ROMANS: dict[str, Rule] = {"romans": Comparison("city", Operator.EQUALS, ("Rome",))}
OPENED, CLICKED, DELIVERED = "Email Opened", "Email Link Clicked", "Email Delivered"
_numbers = itertools.count()


async def send(study: Study, tenant: str, *sent: tuple[str, int]) -> None:
    rows = [Sent(tenant, who, f"s{next(_numbers)}", "spring", time) for who, time in sent]
    await study.analytics.apply_listed(message_rows(rows), "crm", f"messages of {tenant}", MESSAGES)


def response(it: Worth) -> tuple[int, ...]:
    reached = (it.messages, it.sent, it.delivered, it.opened, it.clicked)
    return (*reached, it.converted, it.attributed_orders, it.attributed)


async def test_what_came_of_messages_stands_beside_what_segments_are_worth(study: Study) -> None:
    history = [
        *(told(who, NOW - 90 * DAY, city="Rome") for who in ("ann", "bob", "eve")),
        *(told(who, NOW - 90 * DAY, city="Graz") for who in ("cyd", "dan")),
        did("ann", DELIVERED, NOW - 9 * DAY),
        did("ann", CLICKED, NOW - 9 * DAY + 5),
        did("bob", OPENED, NOW - 8 * DAY),
        did("eve", OPENED, NOW - 8 * DAY),  # of a mail that somebody else sent
        did("cyd", OPENED, NOW + DAY),
        ordered("ann", NOW - 8 * DAY, 20),  # a day after, twice
        ordered("ann", NOW - 3 * DAY, 5),
        ordered("ann", NOW - 10 * DAY, 7),  # before
        ordered("bob", NOW - 2 * DAY, 50),  # eight days after
        ordered("cyd", NOW - 9 * DAY, 3),
    ]
    tenant = await study.tenant_with(history)
    week = ("ann", NOW - 9 * DAY)
    await send(study, tenant, week, ("bob", NOW - 10 * DAY), ("cyd", NOW - 9 * DAY), ("dan", NOW - 400 * DAY))
    found = await study.insights.segment_values(tenant, ["romans"], ROMANS, Spans(), "EUR", NOW)
    assert response(found.segments[0]) == (2, 2, 2, 2, 1, 1, 2, 2500)
    assert response(found.others) == (1, 1, 0, 0, 0, 1, 1, 300)
    assert response(found.everybody) == (3, 3, 2, 2, 1, 2, 3, 2800)
    longer = await study.insights.segment_values(tenant, ["romans"], ROMANS, Spans(response_days=8), "EUR", NOW)
    assert response(longer.segments[0]) == (2, 2, 2, 2, 1, 2, 3, 7500)
    dollars = await study.insights.segment_values(tenant, ["romans"], ROMANS, Spans(), "USD", NOW)
    assert response(dollars.segments[0]) == (2, 2, 2, 2, 1, 0, 0, 0)
    earlier = await study.insights.segment_values(tenant, ["romans"], ROMANS, Spans(), "EUR", NOW - 9 * DAY)
    assert response(earlier.segments[0]) == (2, 2, 1, 0, 0, 0, 0, 0)


_who = st.sampled_from(["a", "b"])
_when = st.integers(0, 12).map(lambda days: NOW - days * DAY)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.tuples(_who, _when), max_size=5),
    st.lists(st.tuples(_who, _when, st.integers(1, 9)), max_size=6),
    st.lists(st.tuples(_who, _when, st.sampled_from([DELIVERED, OPENED, CLICKED, "Unsubscribed"])), max_size=5),
    st.integers(1, 5),
)
def test_responses_are_what_counting_one_by_one_finds(
    study: Study,
    sent: list[tuple[str, int]],
    orders: list[tuple[str, int, int]],
    mails: list[tuple[str, int, str]],
    days: int,
) -> None:
    history = [told(who, NOW - 90 * DAY, city="Rome") for who in ("a", "b")]
    history += [ordered(who, time, amount) for who, time, amount in orders]
    history += [did(who, name, time) for who, time, name in mails]
    asyncio.run(assert_counted(study, history, sent, orders, mails, Spans(window_days=10, response_days=days)))


async def assert_counted(
    study: Study,
    history: Sequence[Observed],
    sent: Sequence[tuple[str, int]],
    orders: Sequence[tuple[str, int, int]],
    mails: Sequence[tuple[str, int, str]],
    spans: Spans,
) -> None:
    tenant = await study.tenant_with(history)
    await send(study, tenant, *sent)
    within = [(who, time) for who, time in sent if time > NOW - spans.window]
    told_of = {who for who, _ in within}
    reacted = [(who, name) for who, time, name in mails if time > NOW - spans.window and who in told_of]
    attributed = [
        (who, amount)
        for who, time, amount in orders
        if any(other == who and 0 <= time - left <= spans.response for other, left in within)
    ]
    expected = (
        len(within),
        len(told_of),
        len({who for who, name in reacted if name in (DELIVERED, OPENED, CLICKED)}),
        len({who for who, name in reacted if name in (OPENED, CLICKED)}),
        len({who for who, name in reacted if name == CLICKED}),
        len({who for who, _ in attributed}),
        len(attributed),
        100 * sum(amount for _, amount in attributed),
    )
    found = await study.insights.segment_values(tenant, ["romans"], ROMANS, spans, "EUR", NOW)
    assert response(found.segments[0]) == expected


class Crm(crm_service_pb2_grpc.CrmServiceServicer):
    """A neighbour that tells what a test says it sent."""

    def __init__(self) -> None:
        self.sent: list[crm.MessageEvent] = []

    def send(
        self, customer_id: str, days_ago: float, state: crm.MessageState.ValueType = crm.MESSAGE_STATE_SENT
    ) -> None:
        event = crm.MessageEvent(
            tenant_id="acme",
            message_id=f"m{len(self.sent)}",
            campaign_id="spring",
            customer_id=customer_id,
            origin_customer_id=customer_id,
            state=state,
            event_time=at(days_ago),
        )
        self.sent.append(event)

    async def FollowMessages(  # noqa: N802 (the contract's name)
        self, request: crm.FollowMessagesRequest, context: Any
    ) -> AsyncIterator[crm.FollowMessagesResponse]:
        position = int(request.after_cursor or 0)
        while True:
            if position < len(self.sent):
                events, position = self.sent[position:], len(self.sent)
                yield crm.FollowMessagesResponse(events=events, cursor=str(position), caught_up=True)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def neighbour() -> AsyncIterator[tuple[Crm, str]]:
    server, told_by = grpc.aio.server(), Crm()  # type: ignore[abstract]  # it answers one rpc
    crm_service_pb2_grpc.add_CrmServiceServicer_to_server(told_by, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield told_by, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def responded(platform: Platform, segment_id: str) -> pb.CampaignResponse:
    request = pb.GetSegmentValueRequest(segment_ids=[segment_id], window_days=30, currency="USD")
    answer = await platform.segmentation.GetSegmentValue(request, metadata=platform.metadata)
    return answer.segments[0].campaign_response


async def test_messages_follow_merges_back_and_forth_and_go_with_the_person(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    async with neighbour() as (told_by, address), platform_of(configure, keyring, crm_addr=address) as platform:
        romans = (await platform.create("romans", ROMANS["romans"])).segment_id
        await platform.send(identified("ann", city="Rome"), identified("bob", shoe=42), bought("ann", 1, 25))
        ann, bob = [await platform.customer_id(name) for name in ("ann", "bob")]
        told_by.send(ann, 3)
        told_by.send(ann, 2, crm.MESSAGE_STATE_FAILED)
        told_by.send(bob, 2)

        def wanted(**figures: int) -> Callable[[], Any]:
            async def holds() -> bool:
                found = await responded(platform, romans)
                return all(getattr(found, name) == value for name, value in figures.items())

            return holds

        await until(wanted(message_count=1, sent_customer_count=1, converted_customer_count=1))
        found = await responded(platform, romans)
        assert (found.conversion_rate, found.open_rate, found.attributed_order_count) == (1.0, 0.0, 1)
        assert (found.attributed_revenue.amount_minor, found.attributed_revenue.currency) == (2500, "USD")
        merge = merge_pb2.MergeCustomersRequest(
            request_id="m", customer_id=ann, merged_customer_ids=[bob], reason="the same person"
        )
        merged = (await platform.source.MergeCustomers(merge, metadata=platform.metadata)).merges[0]
        await until(wanted(message_count=2, sent_customer_count=1, attributed_order_count=1))
        told_by.send(bob, 1.5)  # who is ann by now
        await until(wanted(message_count=3, sent_customer_count=1))
        back = merge_pb2.UnmergeCustomerRequest(request_id="u", merge_id=merged.merge_id, reason="they are not")
        await platform.source.UnmergeCustomer(back, metadata=platform.metadata)
        await until(wanted(message_count=1, sent_customer_count=1))
        erase = erasure_pb2.EraseCustomersRequest(request_id="e", persons=[Person(customer_id=ann)])
        erasure_id = (await platform.source.EraseCustomers(erase, metadata=platform.metadata)).erasures[0].erasure_id

        async def acknowledged() -> bool:
            get = erasure_pb2.GetErasureRequest(erasure_id=erasure_id)
            services = (await platform.source.GetErasure(get, metadata=platform.metadata)).erasure.services
            (own,) = [each for each in services if each.service == "segmentation"]
            return {each.kind: each.count for each in own.removed}.get("message_copy") == 1

        await until(acknowledged)
        await until(wanted(message_count=0, sent_customer_count=0, attributed_order_count=0))
