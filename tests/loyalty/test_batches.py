"""Many movements in one call: each by itself, in the order of the request, once."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tessera.loyalty.v1 import batch_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub

from services.loyalty.app import Settings, serve
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


def _movement(id: str, points: int, *, burn: bool = False, member_id: str = "ann") -> pb.PointsMovement:
    kind = pb.MOVEMENT_KIND_BURN if burn else pb.MOVEMENT_KIND_EARN
    return pb.PointsMovement(kind=kind, program_id="club", member_id=member_id, points=points, request_id=id)


async def _move(club: Club, *movements: pb.PointsMovement) -> list[pb.MovementResult]:
    request = pb.BatchMovePointsRequest(movements=movements)
    return list((await club.stub.BatchMovePoints(request, metadata=club.metadata)).results)


async def test_one_that_is_refused_keeps_no_other_from_being_made(club: Club) -> None:
    await club.earn(10)
    results = await _move(club, _movement("a", 5), _movement("b", 99, burn=True), _movement("c", 4, burn=True))
    assert [result.refusal_reason for result in results] == ["", "INSUFFICIENT_POINTS", ""]
    assert (await club.member()).balance_points == 11


async def test_a_batch_that_comes_again_is_answered_as_then(club: Club) -> None:
    batch = [_movement(f"m{number}", 3, member_id=f"p{number % 7}") for number in range(300)]
    first = await _move(club, *batch)
    assert await _move(club, *batch) == first
    assert len({result.entry_id for result in first}) == 300
    assert (await club.member("p0")).balance_points == 43 * 3
    [reused] = await _move(club, _movement("m0", 4, member_id="p0"))
    assert reused.refusal_reason == "REQUEST_ID_REUSED"
