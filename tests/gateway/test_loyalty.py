"""Pending points and refunds through the gateway: a field's arguments are the request of its rpc."""

from google.protobuf.json_format import MessageToDict
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty

from tests.gateway.platform import Backend, Client


async def test_a_programme_can_make_points_wait_and_refunds_go_below_zero(client: Client, backend: Backend) -> None:
    backend.on(
        "loyalty.CreateProgram",
        lambda asked: loyalty.CreateProgramResponse(
            program=loyalty.Program(program_id="club", pending=asked.pending, refund_policy=asked.refund_policy)
        ),
    )
    data = await client.data(
        """mutation { createProgram(input: {programId: "club", name: "Club", currency: "USD", pointsPer100Minor: 1,
             pending: {release: AFTER_DURATION, duration: "P14D"}, refundPolicy: ALLOW_NEGATIVE})
           { program { programId pending { release duration } refundPolicy } } }"""
    )
    assert data["createProgram"]["program"] == {
        "programId": "club",
        "pending": {"release": "AFTER_DURATION", "duration": "P14D"},
        "refundPolicy": "ALLOW_NEGATIVE",
    }


async def test_a_till_posts_voids_and_refunds(client: Client, backend: Backend) -> None:
    entry = loyalty.Entry(kind=loyalty.ENTRY_KIND_REFUND, points=3, uncollected_points=2, balance_points=-1)
    backend.on("loyalty.RefundOrder", lambda _: loyalty.RefundOrderResponse(entry=entry, left_amount_minor=250))
    data = await client.data(
        """mutation {
          postPending(input: {programId: "club", orderId: "o1", requestId: "p"}) { entry { kind } }
          voidPending(input: {programId: "club", entryId: "e1", reason: "fraud", requestId: "v"}) { entry { kind } }
          refundOrder(input: {programId: "club", orderId: "o1", amountMinor: 750, requestId: "r"})
            { leftAmountMinor entry { kind points uncollectedPoints balancePoints } } }"""
    )
    assert data["refundOrder"] == {
        "leftAmountMinor": 250,
        "entry": {"kind": "REFUND", "points": 3, "uncollectedPoints": 2, "balancePoints": -1},
    }
    asked = [MessageToDict(request, preserving_proto_field_name=True) for _, request in backend.calls]
    assert asked == [
        {"program_id": "club", "order_id": "o1", "request_id": "p"},
        {"program_id": "club", "entry_id": "e1", "reason": "fraud", "request_id": "v"},
        {"program_id": "club", "order_id": "o1", "amount_minor": "750", "request_id": "r"},
    ]


async def test_a_customer_sees_what_waits_apart_from_the_balance(client: Client, backend: Backend) -> None:
    club = loyalty.Program(program_id="club")
    lot = loyalty.PendingLot(entry_id="e1", order_id="o1", points=7)
    member = loyalty.Member(
        program_id="club", member_id="c1", balance_points=5, pending_points=7, refunded_points=2, pending_lots=[lot]
    )
    backend.on("loyalty.ListPrograms", lambda _: loyalty.ListProgramsResponse(programs=[club]))
    backend.on("loyalty.BatchGetMembers", lambda _: loyalty.BatchGetMembersResponse(members=[member]))
    data = await client.data(
        """{ member(customerId: "c1") { balancePoints pendingPoints refundedPoints
             pendingLots { orderId points postTime expireTime } } }"""
    )
    assert data["member"] == {
        "balancePoints": 5,
        "pendingPoints": 7,
        "refundedPoints": 2,
        "pendingLots": [{"orderId": "o1", "points": 7, "postTime": None, "expireTime": None}],
    }
